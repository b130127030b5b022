"""Whether an error says that a prompt, or the answer asked for, is too long: the engine over `wordings`."""

import re

from msgspec.structs import replace

from ccproxy_trio.translate.wordings import ALLOWANCE, CODES, WORDINGS, Wording
from ccproxy_trio.wire.faults import FaultKind, Overflow


def _compiled(pattern: str) -> re.Pattern[str]:
    for name in "PLCT":
        pattern = pattern.replace("{" + name + "}", rf"(?P<{name}>\d[\d,_]*)")
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE | re.DOTALL)


_COMPILED = tuple((wording, _compiled(wording.pattern)) for wording in WORDINGS)
_COMPILED_ALLOWANCE = _compiled(ALLOWANCE)


def recognise(text: str, codes: frozenset[str]) -> tuple[FaultKind, Overflow] | None:
    """CONTEXT_OVERFLOW or OUTPUT_OVERFLOW with the numbers in `text`; None if it speaks of neither.

    `codes` are the error's codes and types in lower case.
    """
    for wording, pattern in _COMPILED:
        found = pattern.search(text)
        if found is not None:
            overflow = _numbers(found)
            if wording.exclusive and overflow.limit is not None:
                overflow = replace(overflow, limit=overflow.limit - 1)
            return _kind(wording, overflow), overflow
    return (FaultKind.CONTEXT_OVERFLOW, Overflow()) if codes & CODES else None


def beyond_allowance(text: str) -> Overflow | None:
    """The numbers of a rate limit that this request alone exceeds."""
    found = _COMPILED_ALLOWANCE.search(text)
    if found is None:
        return None
    overflow = _numbers(found)
    return overflow if (overflow.prompt or 0) > (overflow.limit or 0) else None


def _kind(wording: Wording, overflow: Overflow) -> FaultKind:
    """The prompt fits where, without the answer asked for, it would be below the limit."""
    if wording.of_output:
        return FaultKind.OUTPUT_OVERFLOW
    prompt, limit, completion = overflow.prompt, overflow.limit, overflow.completion
    if prompt is None or limit is None or completion is None:
        return FaultKind.CONTEXT_OVERFLOW
    return FaultKind.OUTPUT_OVERFLOW if prompt < limit else FaultKind.CONTEXT_OVERFLOW


def _numbers(found: re.Match[str]) -> Overflow:
    groups = {name: _integer(value) for name, value in found.groupdict().items() if value is not None}
    prompt, total, completion = groups.get("P"), groups.get("T"), groups.get("C")
    if total is not None and completion is not None:
        prompt = total - completion  # whatever else was listed: functions, tool input
    return Overflow(prompt=prompt, limit=groups.get("L"), completion=completion)


def _integer(digits: str) -> int:
    return int(digits.replace(",", "").replace("_", "")[:18])
