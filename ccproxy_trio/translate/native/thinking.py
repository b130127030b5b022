"""How thinking is asked for: the client's wish in the form that the model takes."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from ccproxy_trio.translate.dialect import Dialect, Effort
from ccproxy_trio.translate.effort import clamp, wanted
from ccproxy_trio.translate.native.paths import leaves_out
from ccproxy_trio.translate.native.raws import items, made
from ccproxy_trio.translate.raw import members
from ccproxy_trio.wire.anthropic import MessagesRequest, ThinkingConfig
from ccproxy_trio.wire.faults import RequestRefused

LEAST_BUDGET = 1_024  # tokens, Anthropic's least; it also has to be below max_tokens
# What an effort comes to in tokens: within the bounds by which a budget is read as this effort.
_BUDGETS: dict[Effort, int] = {
    "none": 2_048,
    "minimal": 2_048,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 31_999,
}
_OFF = made({"type": "disabled"})
_CLEARING = "clear_thinking_"  # an edit of the history that needs thinking to be on

Change = Raw | UnsetType | None
"""Of a member: what it becomes; None: it is left out; UNSET: it stays."""


class _Edit(Struct):
    type: str = ""


def thinking(request: MessagesRequest, dialect: Dialect, *, limit: int, must_be_off: bool) -> Change:
    """What `thinking` becomes. `limit`: the answer's tokens. `must_be_off`: this time."""
    asked = request.thinking
    if dialect.thinking_style == "none":
        return None
    is_off_already = asked is not None and asked.type == "disabled"
    if dialect.thinking_style == "always" and (is_off_already or must_be_off):
        return None
    if is_off_already:
        return UNSET
    if must_be_off or dialect.thinking_style == "off":
        return _OFF
    return UNSET if asked is None else _styled(request, asked, dialect, limit)


def _styled(request: MessagesRequest, asked: ThinkingConfig, dialect: Dialect, limit: int) -> Change:
    """Thinking that is to be on, as the model is asked for it."""
    if dialect.thinking_style == "adaptive":
        return _adaptive(asked) if asked.type == "enabled" else UNSET
    if dialect.thinking_style == "budget" and asked.type != "enabled":
        return _budget(_tokens(request), limit)
    return _fitted(request, asked, limit)


def is_off(change: Change) -> bool:
    """Whether this takes thinking away that was asked for."""
    return change is None or change is _OFF


def effort(request: MessagesRequest, dialect: Dialect) -> str | None:
    """The effort to name, where the client's own is not to be; None: leave that as it is."""
    if leaves_out(dialect.leave_out, ("output_config", "effort")):
        return None
    named = request.output_config.effort if request.output_config else None
    if named is None:
        return _of_budget(request, dialect)
    known = [effort for effort in _BUDGETS if effort == named]
    lowered = clamp(known[0], dialect.efforts) if known else None
    return None if lowered == named else lowered


def without_clearing(management: Raw) -> Raw | None:
    """`context_management` without the edits that need thinking; None where nothing is left of it."""
    try:
        whole = members(management, "context_management")
        edits = items(whole.get("edits", Raw(b"[]")))
        kinds = [msgspec.json.decode(edit, type=_Edit).type for edit in edits]
    except (RequestRefused, msgspec.DecodeError):
        return management  # of a shape that nobody knows
    kept = [edit for edit, kind in zip(edits, kinds, strict=True) if not kind.startswith(_CLEARING)]
    if len(kept) == len(edits):
        return management
    return made({**whole, "edits": kept}) if kept or len(whole) > 1 else None


def _tokens(request: MessagesRequest) -> int:
    # What Anthropic does where nothing is said of effort.
    return _BUDGETS[wanted(replace(request, thinking=None)) or "high"]


def _budget(tokens: int, limit: int) -> Raw:
    if limit <= LEAST_BUDGET:
        return _OFF
    # An answer needs room beside the thoughts.
    return made({"type": "enabled", "budget_tokens": max(LEAST_BUDGET, min(tokens, limit // 2))})


def _fitted(request: MessagesRequest, asked: ThinkingConfig, limit: int) -> Change:
    """A budget that the lowered limit leaves no room for, lowered with it."""
    budget = asked.budget_tokens
    # One that had no room before goes with a beta that allows it.
    if budget is None or budget < limit or budget >= request.max_tokens:
        return UNSET
    return _budget(budget, limit)


def _of_budget(request: MessagesRequest, dialect: Dialect) -> str | None:
    """The effort that a budget comes to, where a budget cannot be named; None: the usual one."""
    asked = request.thinking
    if dialect.thinking_style != "adaptive" or asked is None or asked.type != "enabled":
        return None
    found = wanted(request)
    return None if found == "high" else found


def _adaptive(asked: ThinkingConfig) -> Raw:
    shown = {"display": asked.display} if asked.display is not None else {}
    return made({"type": "adaptive", **shown})
