"""Each journal entry as a coloured line: who, what, why, how long.

Pure: an entry and a palette in, a `rich.text.Text` out. Nothing is measured or printed here.
"""

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct
from rich.style import Style
from rich.text import Text

from ccproxy_trio.journal import (
    ActorCrashed,
    AttemptEnded,
    BreakerMoved,
    Cooling,
    Entry,
    ExchangeEnded,
    FellOver,
    GrammarViolated,
    Hedged,
    ModelExcluded,
    Note,
    ParameterLearned,
    Probed,
    RaceDecided,
)
from ccproxy_trio.logs.colour import Palette

# Two spaces after the marks that end in a variation selector: terminals draw two cells but move on by one.
MARKS = {"ok": "✅ ", "error": "❌ ", "warning": "⚠️  ", "info": "ℹ️  ", "debug": "·  "}
COLOURS = {
    "ok": Style.parse("green"),
    "error": Style.parse("red"),
    "warning": Style.parse("yellow"),
    "info": Style.parse("cyan"),
    "debug": Style.parse("dim"),
}
DIM = Style.parse("dim")
BOLD = Style.parse("bold")


class Line(Struct, frozen=True):
    """One line: its level ("debug" to "error"), its dotted event name, and its text with mark."""

    level: str
    event: str
    text: Text


def render(entry: Entry, palette: Palette) -> Line:
    """The line that tells an entry."""
    match entry:
        case AttemptEnded():
            return _attempt_ended(entry, palette)
        case FellOver() | Hedged() | RaceDecided():
            return _went_on(entry, palette)
        case BreakerMoved():
            return _breaker_moved(entry, palette)
        case Cooling():
            return _cooling(entry, palette)
        case ModelExcluded():
            return _model_excluded(entry, palette)
        case ParameterLearned():
            return _parameter_learned(entry, palette)
        case Probed():
            return _probed(entry, palette)
        case ExchangeEnded():
            return _exchange_ended(entry, palette)
        case ActorCrashed():
            return _actor_crashed(entry)
        case GrammarViolated():
            return _grammar_violated(entry)
        case Note():
            return _note(entry, palette)
    assert_never(entry)


def marked(mark: str, *parts: str | Text | tuple[str, Style]) -> Text:
    """A text behind its status mark; `mark` is ok, error, warning, info or debug."""
    return Text.assemble((MARKS[mark], COLOURS[mark]), *parts)


def tag(provider: str, palette: Palette) -> Text:
    """A provider's name in brackets and in its colour."""
    return Text(f"[{provider}]", palette.of(provider))


def span(seconds: float) -> str:
    """A duration for people: `85 ms`, `2.3 s`, `2 min 5 s`, `3 h 20 min`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def tokens(count: int) -> str:
    """A token count in four characters or so: `812`, `12.3k`, `1.2M`."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 999_950 else f"{count / 1e6:.1f}M"


def _candidate(provider: str, model: str, palette: Palette) -> Text:
    return Text.assemble(tag(provider, palette), f" {model}")


def _dots(parts: Iterable[str]) -> str:
    """The parts that say something, with dots between them."""
    return "".join(f" · {part}" for part in parts if part)


def _attempt_ended(entry: AttemptEnded, palette: Palette) -> Line:
    first = (
        "" if entry.first_content_seconds is None else f"first content {span(entry.first_content_seconds)}"
    )
    status = "" if entry.status is None else f"HTTP {entry.status}"
    told = _dots([entry.outcome, status, entry.detail, span(entry.seconds), first, entry.request_id])
    who = _candidate(entry.provider, entry.model, palette)
    return Line("debug", "attempt.ended", marked("debug", "attempt ", who, (told, DIM)))


def _went_on(entry: FellOver | Hedged | RaceDecided, palette: Palette) -> Line:
    match entry:
        case FellOver():
            return _fell_over(entry, palette)
        case Hedged():
            return _hedged(entry, palette)
        case RaceDecided():
            return _race_decided(entry, palette)
    assert_never(entry)


def _fell_over(entry: FellOver, palette: Palette) -> Line:
    source = _candidate(entry.from_provider, entry.from_model, palette)
    target = _candidate(entry.to_provider, entry.to_model, palette)
    told = f" · {entry.reason} after {span(entry.seconds)}"
    text = marked(
        "warning", ("Falling over: ", BOLD), source, " → ", target, told, (f" · {entry.request_id}", DIM)
    )
    return Line("warning", "failover", text)


def _hedged(entry: Hedged, palette: Palette) -> Line:
    silent = _candidate(entry.provider, entry.model, palette)
    other = _candidate(entry.to_provider, entry.to_model, palette)
    told = f" is silent after {span(entry.seconds)}; asking "
    text = marked("info", ("Hedging: ", BOLD), silent, told, other, " too", (f" · {entry.request_id}", DIM))
    return Line("info", "hedge.started", text)


def _race_decided(entry: RaceDecided, palette: Palette) -> Line:
    winner = _candidate(entry.winner, entry.winner_model, palette)
    loser = _candidate(entry.loser, entry.loser_model, palette)
    told = f" answered first, after {span(entry.seconds)}; "
    left = f" had nothing after {span(entry.loser_seconds)}"
    trace = (f" · {entry.request_id}", DIM)
    return Line("info", "hedge.decided", marked("info", winner, told, loser, left, trace))


def _breaker_moved(entry: BreakerMoved, palette: Palette) -> Line:
    who = tag(entry.provider, palette)
    because = f": {entry.reason}" if entry.reason else ""
    match entry.after:
        case "open":
            later = "" if entry.reopens_in is None else f"; next trial in {span(entry.reopens_in)}"
            text = marked("error", who, (" Circuit open", BOLD), f"{because}{later}")
            return Line("warning", "breaker.opened", text)
        case "half_open":
            return Line(
                "info", "breaker.half_open", marked("info", who, (" Circuit half-open", BOLD), because)
            )
        case _:
            return Line(
                "info", f"breaker.{entry.after}", marked("ok", who, (" Circuit closed", BOLD), because)
            )


def _cooling(entry: Cooling, palette: Palette) -> Line:
    who = tag(entry.provider, palette)
    which = f" {entry.model}" if entry.model else ""
    why = entry.reason.replace("_", " ").capitalize()
    return Line(
        "warning",
        "cooldown.set",
        marked("warning", who, which, f" {why}: rests for {span(entry.seconds)}"),
    )


def _model_excluded(entry: ModelExcluded, palette: Palette) -> Line:
    who = _candidate(entry.provider, entry.model, palette)
    because = f" Left out for {span(entry.seconds)}: {entry.reason}"
    return Line("warning", "model.excluded", marked("warning", who, because))


def _parameter_learned(entry: ParameterLearned, palette: Palette) -> Line:
    who = _candidate(entry.provider, entry.model, palette)
    told = f" Refused and learned: {entry.lesson}"
    shared = f"; it then holds for {', '.join(entry.others)} too" if entry.others else ""
    advice = f" · to save the detour for good, in {entry.provider}'s entry: {entry.line}{shared}"
    return Line("info", "parameter.learned", marked("info", who, told, (advice, DIM)))


def _probed(entry: Probed, palette: Palette) -> Line:
    who = tag(entry.provider, palette)
    fine = entry.result in ("ok", "unsupported")
    told = f" Health probe: {entry.result}" + _dots([entry.detail, span(entry.seconds)])
    return Line(
        "debug" if fine else "warning", "probe.ended", marked("debug" if fine else "warning", who, told)
    )


def _exchange_ended(entry: ExchangeEnded, palette: Palette) -> Line:
    level, mark, told = _OUTCOMES.get(entry.how, ("error", "error", entry.how))
    parts: list[str | Text | tuple[str, Style]] = [entry.model]
    if entry.provider and entry.upstream_model:
        parts += [" → ", tag(entry.provider, palette), f" {entry.upstream_model}"]
    failed = entry.how != "complete"
    facts = [
        told,
        f"{entry.status}{' ' + entry.error_type if entry.error_type else ''}" if failed else "",
        _token_counts(entry),
        span(entry.seconds),
        f"{entry.attempts} attempts" if entry.attempts > 1 else "",
    ]
    parts.append(_dots(facts))
    if failed:
        parts.append((f" · {entry.request_id}", DIM))
    if entry.detail:
        parts.append((f"\n            {entry.detail}", DIM))
    return Line(level, "exchange.ended", marked(mark, *parts))


# how an exchange ended -> level, mark, words. "complete" needs no words: its line has tokens and a time.
_OUTCOMES = {
    "complete": ("info", "ok", ""),
    "cancelled": ("info", "info", "the client hung up"),
    "drained": ("warning", "warning", "ended, since the proxy is being stopped"),
    "refused": ("warning", "warning", "refused"),
    "error": ("error", "error", "failed"),
    "midfail": ("error", "error", "broke off in the middle of the answer"),
}


def _token_counts(entry: ExchangeEnded) -> str:
    if entry.input_tokens is None or entry.output_tokens is None:
        return ""
    scaled = "" if entry.scale == 1 else f" (told ×{entry.scale:.3g})"
    return f"{tokens(entry.input_tokens)} tokens in, {tokens(entry.output_tokens)} out{scaled}"


def _actor_crashed(entry: ActorCrashed) -> Line:
    later = "giving up" if entry.restart_in is None else f"restarting in {span(entry.restart_in)}"
    text = marked("error", (f"{entry.actor} crashed", BOLD), f": {entry.error}; {later}")
    return Line("error", "actor.crashed", text)


def _grammar_violated(entry: GrammarViolated) -> Line:
    told = f": this proxy was about to send {' '.join(entry.kinds)}"
    trace = f" · {entry.request_id}" if entry.request_id else ""
    text = marked("error", ("Event out of place", BOLD), told, (trace, DIM))
    return Line("error", "grammar.violated", text)


def _note(entry: Note, palette: Palette) -> Line:
    level = entry.level if entry.level in ("debug", "info", "warning", "error") else "info"
    who = Text.assemble(tag(entry.provider, palette), " ") if entry.provider else Text("")
    trace = f" · {entry.request_id}" if entry.request_id else ""
    return Line(level, entry.event, marked(level, who, entry.text, (trace, DIM)))
