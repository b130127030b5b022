"""Rests after rate limits, and models left out because their provider does not have them.

A rate limit is not a failure: the provider works and wants to be left alone, so none of this touches the
breaker. Quotas are usually per deployment, so a rest belongs to one model unless the provider spoke of the
account.
"""

from ccproxy_trio.health.snapshot import EVERY_MODEL
from ccproxy_trio.settings.model import BreakerSettings
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

EXCLUSION = 600.0  # seconds a model stays out
LONGEST_GUESS = 60.0  # seconds, where the provider named no time


class CoolDowns:
    """One provider's rests. Pure: `now` is monotonic seconds."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.reconfigure(settings)
        self._until: dict[str, float] = {}
        self._excluded: dict[str, float] = {}
        self._barred: set[str] = set()  # of those excluded at any time
        self._streaks: dict[str, int] = {}  # rests in a row, without a success between

    def reconfigure(self, settings: BreakerSettings) -> None:
        """Go by these numbers from now on. A rest under way stays as it is."""
        self._default = settings.cooldown_default
        self._longest = settings.cooldown_max

    def forget(self) -> None:
        """Rest no more: what was refused to one key may be granted to another."""
        self._until.clear()
        self._excluded.clear()
        self._barred.clear()
        self._streaks.clear()

    def limit(self, model: str, fault: UpstreamFault, now: float) -> float:
        """Let `model` rest, or the whole provider where the fault speaks of the account; seconds it rests.

        As long as the provider asked, up to `cooldown_max`. Where it named no time: `cooldown_default`,
        twice as long at each rest without a success between, up to a minute. A rest is never shortened.
        """
        key = EVERY_MODEL if fault.whole_provider or fault.kind is FaultKind.QUOTA else model
        until = self._until.get(key, now)
        if until <= now:  # what was already under way when the rest began does not lengthen the next one
            self._streaks[key] = self._streaks.get(key, 0) + 1
        until = max(until, now + self._seconds(key, fault.retry_after))
        self._until[key] = until
        return until - now

    def _seconds(self, key: str, asked: float | None) -> float:
        if asked is not None:
            return min(max(asked, 0.0), self._longest)
        doublings = min(self._streaks.get(key, 1) - 1, 30)
        guess: float = self._default * 2.0**doublings
        return min(guess, LONGEST_GUESS, self._longest)

    def exclude(
        self,
        model: str,
        now: float,
        *,
        why: FaultKind = FaultKind.MODEL_NOT_FOUND,
        seconds: float = EXCLUSION,
    ) -> None:
        """Leave `model` out: its provider does not have it, or (MODEL_ACCESS) not for us."""
        if why is FaultKind.MODEL_ACCESS:
            self._barred.add(model)
        else:
            self._barred.discard(model)
        self._excluded[model] = max(self._excluded.get(model, now), now + seconds)

    def succeeded(self, model: str) -> None:
        """`model` has answered: the next guess starts small again. A rest under way goes on."""
        self._streaks.pop(model, None)
        self._streaks.pop(EVERY_MODEL, None)

    def ready_at(self, model: str, now: float) -> float:
        """The earliest instant, `now` or later, at which `model` neither rests nor is left out."""
        rests = max(self._until.get(model, now), self._until.get(EVERY_MODEL, now))
        return max(now, rests, self._excluded.get(model, now))

    def cooling(self, now: float) -> dict[str, float]:
        """Until when each resting model (or `EVERY_MODEL`) rests."""
        return {key: until for key, until in self._until.items() if until > now}

    def excluded(self, now: float) -> dict[str, float]:
        """Until when each model that is left out stays out."""
        return {model: until for model, until in self._excluded.items() if until > now}

    def barred(self, now: float) -> frozenset[str]:
        """Those of the models left out that the provider has, but not for us."""
        return frozenset(self.excluded(now).keys() & self._barred)
