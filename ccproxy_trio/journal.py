"""What the proxy has to tell its operator, as facts. Who renders them is not known here.

Floors below `app` get a `Journal` handed down and write to it where they handle something; nothing imports
a logger. No entry ever holds a key, a URL or a body.
"""

from collections.abc import Callable

from msgspec import Struct


class AttemptEnded(Struct, frozen=True, kw_only=True):
    """One attempt is over. `outcome` is "ok", a `FaultKind` value, "cancelled", "refused" or "outrun".

    Outrun: another provider's content came first. Times in seconds.
    """

    request_id: str
    provider: str
    model: str
    outcome: str
    status: int | None = None
    detail: str = ""
    seconds: float
    first_content_seconds: float | None = None


class FellOver(Struct, frozen=True, kw_only=True):
    """A request went on with another candidate. `seconds` is how long the failed one took."""

    request_id: str
    from_provider: str
    from_model: str
    to_provider: str
    to_model: str
    reason: str
    seconds: float


class Hedged(Struct, frozen=True, kw_only=True):
    """A provider was silent for `seconds`, and another was asked the same beside it."""

    request_id: str
    provider: str
    model: str
    to_provider: str
    to_model: str
    seconds: float


class RaceDecided(Struct, frozen=True, kw_only=True):
    """Of two attempts at the same time, one had content; the other was ended.

    `seconds` is what the winner needed to its first content, `loser_seconds` what the other had had by then.
    """

    request_id: str
    winner: str
    winner_model: str
    seconds: float
    loser: str
    loser_model: str
    loser_seconds: float


class BreakerMoved(Struct, frozen=True, kw_only=True):
    """A provider's breaker changed state. `reopens_in` is seconds until its next trial, when open."""

    provider: str
    before: str
    after: str
    reason: str
    reopens_in: float | None = None


class Cooling(Struct, frozen=True, kw_only=True):
    """A provider (or one of its models) rests, because it asked for that. `reason` is a `FaultKind` value."""

    provider: str
    model: str | None
    reason: str
    seconds: float


class ModelExcluded(Struct, frozen=True, kw_only=True):
    """A model is left out for a while because its provider does not have it (or not for us)."""

    provider: str
    model: str
    reason: str
    seconds: float


class ParameterLearned(Struct, frozen=True, kw_only=True):
    """A model refused a part of a request and took it when asked in another way, as it is from now on.

    `lesson` says what and how. `line` makes it permanent when put into the provider's entry of the
    configuration; it then holds for the provider's `others` too.
    """

    provider: str
    model: str
    lesson: str
    line: str
    others: tuple[str, ...] = ()


class Probed(Struct, frozen=True, kw_only=True):
    """A health probe ended: `result` is one of ok, unsupported, fail, auth, limited."""

    provider: str
    result: str
    detail: str = ""
    seconds: float


class ExchangeEnded(Struct, frozen=True, kw_only=True):
    """One client request is over. `how`: complete, error, midfail, cancelled, drained, refused.

    `detail` is the sentence that the client was told, where it did not get an answer. Tokens are what was
    really used; the client was told `scale` times as many.
    """

    request_id: str
    session: str | None
    model: str
    tier: str
    stream: bool
    how: str
    status: int
    provider: str | None
    upstream_model: str | None
    attempts: int
    seconds: float
    first_content_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error_type: str | None = None
    detail: str = ""
    scale: float = 1.0


class ActorCrashed(Struct, frozen=True, kw_only=True):
    """A supervised actor raised. It is restarted after `restart_in` seconds, or not (None)."""

    actor: str
    error: str
    restart_in: float | None


class GrammarViolated(Struct, frozen=True, kw_only=True):
    """An event was about to be sent that may not stand where it stood: a bug of ours.

    `kinds` are the kinds of the stream's last events, the offending one at the end, without any content.
    """

    request_id: str | None
    kinds: tuple[str, ...]


class Note(Struct, frozen=True, kw_only=True):
    """Anything else worth a line: `level` is debug, info, warning or error; `event` is a dotted name."""

    level: str
    event: str
    text: str
    provider: str | None = None
    request_id: str | None = None


def bottom(error: BaseException) -> BaseException:
    """The error inside the groups that nurseries put around it; the first where there are several."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def blame(error: BaseException) -> str:
    """Which error it was at bottom, and where: `KeyError at Incarnation.handle:91`.

    Its text stays out of it, since an exception may quote a key.
    """
    error = bottom(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = "" if where is None else f" at {where.tb_frame.f_code.co_qualname}:{where.tb_lineno}"
    return f"{type(error).__name__}{place}"


Entry = (
    AttemptEnded
    | FellOver
    | Hedged
    | RaceDecided
    | BreakerMoved
    | Cooling
    | ModelExcluded
    | ParameterLearned
    | Probed
    | ExchangeEnded
    | ActorCrashed
    | GrammarViolated
    | Note
)
Journal = Callable[[Entry], None]


class Tally:
    """A journal that counts what should never happen, on its way to another.

    Since the process began: `grammar` violations of the event grammar, `actors` crashed, `others`.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.grammar = 0
        self.actors = 0
        self.others = 0

    def __call__(self, entry: Entry) -> None:
        """Count and pass on."""
        match entry:
            case GrammarViolated():
                self.grammar += 1
            case ActorCrashed():
                self.actors += 1
            case Note(event="internal.error"):
                self.others += 1
        self._journal(entry)
