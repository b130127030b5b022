"""Which provider a session belongs to, so that it finds the prompt caches warm that it has filled.

Rendezvous hashing (Thaler and Ravishankar: "Using name-based mappings to increase hit rates", 1998): each
provider draws a number for each session, and the highest has it. So a provider that comes or goes takes its
own sessions along and moves no other's.
"""

from collections import OrderedDict
from collections.abc import Iterable

from ccproxy_trio.routing.chance import digest
from ccproxy_trio.settings.model import Tier

IDLE = 600.0  # seconds; providers keep a prompt cache for five to ten minutes after its last use
MOST = 4096  # sessions


def by_affinity(session: str, providers: Iterable[str]) -> list[str]:
    """The providers in the session's own order, whatever order they are given in."""
    return sorted(providers, key=lambda name: (_weight(session, name), name), reverse=True)


def _weight(session: str, provider: str) -> bytes:
    # The length keeps ("ab", "c") from meaning the same as ("a", "bc").
    return digest(f"{len(session)} {session}{provider}", size=8)


class Pins:
    """Sessions that were served elsewhere than where they belong, and where their caches are warm now.

    A session has a pin for each tier: another tier is another model with a cache of its own. Pure: `now` is
    monotonic seconds.
    """

    def __init__(self) -> None:
        self._pins: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def served(self, tier: Tier, session: str, *, by: str, home: str, now: float) -> None:
        """`by` has answered the session, which belongs to `home`."""
        key = _key(tier, session)
        self._pins.pop(key, None)
        if by == home:
            return
        self._pins[key] = (now + IDLE, by)
        while len(self._pins) > MOST:
            self._pins.popitem(last=False)

    def of(self, tier: Tier, session: str, now: float) -> str | None:
        """Where it was served last, unless that is home or too long ago."""
        until, provider = self._pins.get(_key(tier, session), (now, ""))
        return provider if now < until else None


def _key(tier: Tier, session: str) -> bytes:
    # What a client calls its session may be as long as a header.
    return digest(f"{tier} {session}", size=16)
