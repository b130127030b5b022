"""What can be made to go wrong with a provider, from when and for how long; and how that is written."""

import enum
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from ccproxy_trio.settings.fault import did_you_mean, listed
from ccproxy_trio.settings.model import ProviderSettings, Settings
from ccproxy_trio.simulation.times import HOW_TO_WRITE, BadTime, seconds_of, short

HOW_TO_SAY = "NAME=DURATION@START[:KIND], for example {name}=30s@10s or {name}=2m@1m:429"
USUAL_START = 10.0  # seconds; also how long nothing happens in a rehearsal that names no outage
USUAL_REST = 20.0  # seconds that a 429 asks for
USUAL_SLOWNESS = 5.0
FOREVER = "forever"


class Kind(enum.StrEnum):
    """How a provider is out of order."""

    REFUSED = "refused"
    BLACKHOLE = "blackhole"
    HANG = "hang"
    RESET = "reset"
    TLS = "tls"
    SILENT = "silent"
    STALL = "stall"
    DIES = "dies"
    EMPTY = "empty"
    GARBAGE = "garbage"
    SLOW = "slow"
    QUOTA = "quota"
    STATUS = "status"  # written as the number


# What `--help` and an error say of each. In the order in which a connection meets them.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "refused": "nobody listens; answers under way are cut off",
        "blackhole": "packets vanish: connecting takes its whole time-out, answers under way fall silent",
        "hang": "it takes requests and says nothing; answers under way freeze until it is over",
        "reset": "the connection is lost before any answer",
        "tls": "its certificate is not accepted",
        "silent": "200, and then only keep-alive comments",
        "stall": "answers begin, then nothing more comes",
        "dies": "answers begin, then the connection is lost",
        "empty": "answers without any content",
        "garbage": "a web page instead of an answer",
        "slow[=FACTOR]": f"everything takes FACTOR times as long ({USUAL_SLOWNESS:g} if left out)",
        "quota": "429, the account is empty",
        "429[=REST]": f"rate limited, with a Retry-After of REST ({short(USUAL_REST)} if left out)",
        "500, 401, ...": "any status from 400 to 599, [=REST] for a Retry-After",
        "flap[=KIND]": "every second request meets KIND (refused if left out), the others do well",
    }
)


class Trouble(Struct, frozen=True, kw_only=True):
    """What a request meets: `status` and `rest` (seconds of Retry-After) are those of STATUS and QUOTA."""

    kind: Kind = Kind.REFUSED
    status: int = 0
    rest: float | None = None
    factor: float = 1.0
    every_second: bool = False

    def __str__(self) -> str:
        """As it is written behind the colon."""
        text = str(self.status) if self.kind is Kind.STATUS else str(self.kind)
        if self.kind is Kind.SLOW:
            text += f"={self.factor:g}"
        if self.rest is not None:
            text += f"={short(self.rest)}"
        return f"flap={text}" if self.every_second else text


class Outage(Struct, frozen=True, kw_only=True):
    """One provider's trouble, from `begins_at` on for `lasts` seconds of virtual time."""

    provider: str
    begins_at: float
    lasts: float
    trouble: Trouble

    @property
    def ends_at(self) -> float:
        """The first instant at which it is over."""
        return self.begins_at + self.lasts

    def covers(self, now: float) -> bool:
        """Whether it is on at this instant."""
        return self.begins_at <= now < self.ends_at

    def __str__(self) -> str:
        """As `--outage` takes it."""
        return f"{self.provider}={short(self.lasts)}@{short(self.begins_at)}:{self.trouble}"


class BadOutage(ValueError):
    """It cannot be read, or is of nobody. The text says what to write."""


def parse_outage(text: str, settings: Settings) -> Outage:
    """Read one `--outage`.

    Raises:
        BadOutage: with what is wrong and what to write.
    """
    name, rest = split_name(text, settings, option="--outage", form=HOW_TO_SAY)
    when, _, kind = rest.partition(":")
    lasts, at, start = when.partition("@")
    try:
        return Outage(
            provider=name,
            lasts=math.inf if lasts.strip().lower() == FOREVER else _positive(lasts),
            begins_at=seconds_of(start) if at else USUAL_START,
            trouble=parse_trouble(kind),
        )
    except (BadTime, BadOutage) as error:
        form = HOW_TO_SAY.format(name=name)
        raise BadOutage(f"--outage {text}: {error}. Write {form}.") from None


def parse_trouble(text: str) -> Trouble:
    """Read the part behind the colon; nothing is `refused`.

    Raises:
        BadTime, BadOutage: it cannot be read.
    """
    word, has_value, value = (part.strip().lower() for part in text.partition("="))
    name = word.replace("-", "").replace("_", "").replace(" ", "")
    if not has_value and not name:
        return Trouble()
    if name == "flap":
        inner = parse_trouble(value)
        if inner.every_second:
            raise BadOutage("flap cannot flap")
        return Trouble(
            kind=inner.kind, status=inner.status, rest=inner.rest, factor=inner.factor, every_second=True
        )
    if name == "slow":
        return Trouble(kind=Kind.SLOW, factor=_factor(value) if has_value else USUAL_SLOWNESS)
    if name.isdecimal():
        return _status(name, value)
    known = {kind.value: kind for kind in Kind if kind not in (Kind.STATUS, Kind.SLOW)}
    if name not in known:
        words = [*known, "slow", "flap", "429", "500", "401"]
        hint = did_you_mean(word, words)
        raise BadOutage(f"there is no kind {word!r}.{hint} There is {listed(words)} (or another status)")
    if has_value:
        raise BadOutage(f"{name} takes no value")
    return Trouble(kind=known[name])


def split_name(text: str, settings: Settings, *, option: str, form: str) -> tuple[str, str]:
    """The enabled provider that an option's value begins with, and what follows its `=`.

    Names may hold any of the signs used here, so they are looked for rather than cut out.

    Raises:
        BadOutage: there is none, or it is disabled.
    """
    names = [provider.name for provider in settings.enabled()]
    for name in sorted(names, key=len, reverse=True):
        if text.startswith(f"{name}="):
            return name, text.removeprefix(f"{name}=")
    wanted = text.partition("=")[0]
    usable = f"Providers that take part: {', '.join(names)}."
    how = form.format(name=wanted if wanted in names else names[0])
    if "=" not in text:
        raise BadOutage(f"{option} {text}: there is no `=` in it. Write {how}. {usable}")
    if any(provider.name == wanted for provider in _disabled(settings)):
        raise BadOutage(
            f'{option} {text}: {wanted} takes no part in anything, since it says "enabled": false. {usable}'
        )
    hint = did_you_mean(wanted, names)
    raise BadOutage(f"{option} {text}: there is no provider {wanted!r}.{hint} {usable}")


def usual_outage(provider: str) -> Outage:
    """What is rehearsed where nothing was asked for: half a minute without this provider."""
    return Outage(provider=provider, begins_at=USUAL_START, lasts=30.0, trouble=Trouble())


def _disabled(settings: Settings) -> Sequence[ProviderSettings]:
    return [provider for provider in settings.providers if not provider.enabled]


def _positive(text: str) -> float:
    seconds = seconds_of(text) if text.strip() else 0.0
    if seconds <= 0:
        raise BadOutage(f"how long? Give {HOW_TO_WRITE}, or {FOREVER}")
    return seconds


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1 < factor <= 1000:
        raise BadOutage("slow takes a factor above 1, such as slow=5")
    return factor


def _status(name: str, value: str) -> Trouble:
    status = int(name) if len(name) == 3 else 0
    if not 400 <= status <= 599:
        raise BadOutage(f"{name} is no status that tells of a trouble; those go from 400 to 599")
    rest = seconds_of(value) if value else (USUAL_REST if status == 429 else None)
    return Trouble(kind=Kind.STATUS, status=status, rest=rest)
