"""How long a provider asks to be left alone: the `Retry-After` family, in seconds.

Wrong, negative and infinite values are as good as none. Absurd ones are passed on as they are; whoever lets
a model rest has a limit.
"""

import email.utils
import math
import re
from collections.abc import Iterator, Mapping

_INTEGER = r"[0-9]{1,12}"
_DECIMAL = rf"{_INTEGER}(?:\.[0-9]{{1,12}})?"
_DURATION = re.compile(
    rf"(?:({_INTEGER})d)?(?:({_INTEGER})h)?(?:({_INTEGER})m(?!s))?(?:({_DECIMAL})s)?(?:({_DECIMAL})ms)?"
)
_IN_TEXT = re.compile(
    rf"(?:try|retry)(?: again)?(?: in| after) ((?:{_INTEGER}h)?(?:{_INTEGER}m(?!s))?(?:{_DECIMAL}(?:s|ms))?)",
    re.IGNORECASE,
)
_INSTANT = re.compile(  # as RFC 3339 writes it
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_ANTHROPICS = "anthropic-ratelimit-"
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,9})?")
_EPOCH_MS = 1e11  # a plain number larger than this is an instant in milliseconds since 1970,
_EPOCH = 1e9  # and one larger than this an instant in seconds


def asked_wait(status: int, headers: Mapping[str, str], *, wall_now: float) -> float | None:
    """The wait that the headers (names in lower case) ask for. `wall_now`: epoch seconds, for dates.

    The reset times of a rate limit come with every answer, so they are believed only of a 429. Anthropic
    writes them as dates, and the one of a subscription as seconds since 1970.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name, ""))
        if milliseconds is not None:
            return milliseconds / 1000.0
    value = headers.get("retry-after", "").strip()
    wait = _number(value)
    if wait is None:
        wait = _until_date(value, wall_now)
    return _reset(headers, wall_now) if wait is None and status == 429 else wait


def duration(text: str) -> float | None:
    """Seconds of "6m0s", "20ms", "1h2m3.5s"; None if it is no duration."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    days, hours, minutes, seconds, milliseconds = (float(part or 0.0) for part in found.groups())
    return days * 86_400.0 + hours * 3600.0 + minutes * 60.0 + seconds + milliseconds / 1000.0


def wait_in_text(text: str) -> float | None:
    """Seconds of "Please try again in 1m2.5s."; None if the text names no time."""
    found = _IN_TEXT.search(text)
    return None if found is None else duration(found.group(1))


def _number(value: str) -> float | None:
    return float(value) if _NUMBER.fullmatch(value.strip()) else None


def _until_date(value: str, wall_now: float) -> float | None:
    """Seconds to an HTTP date; 0 if it is past."""
    try:
        parts = email.utils.parsedate_tz(value)
        if parts is None:
            return None
        # Without a zone the library would take the machine's; HTTP knows only GMT.
        at = email.utils.mktime_tz((*parts[:9], parts[9] or 0))
    except (ValueError, OverflowError, IndexError):
        return None
    return max(0.0, at - wall_now)


def _reset(headers: Mapping[str, str], wall_now: float) -> float | None:
    """When the limit that was hit is fresh again.

    The one that was hit has nothing remaining, or is said to have refused. Where that is not told: the one
    that is over first, since asking once too often costs less than resting for an hour.
    """
    waits = list(_resets(headers, wall_now))
    used_up = [wait for wait, is_used_up in waits if is_used_up]
    if used_up:
        return max(used_up)
    return min((wait for wait, _ in waits), default=None)


def _resets(headers: Mapping[str, str], wall_now: float) -> Iterator[tuple[float, bool]]:
    """Seconds to each limit's reset, and whether it is used up. What is said to allow more is no limit."""
    for name, value in headers.items():
        wait, status = None, ""
        if name.startswith("x-ratelimit-reset"):
            wait = _since(value, wall_now)
        elif name.startswith(_ANTHROPICS) and name.endswith("-reset"):
            wait = _since(value, wall_now)
            status = headers.get(name.removesuffix("reset") + "status", "")
        if wait is not None and not status.startswith("allowed"):
            remaining = headers.get(name.replace("reset", "remaining", 1))
            yield wait, remaining == "0" or status == "rejected"


def _until(value: str, wall_now: float) -> float | None:
    """Seconds to an instant such as 2026-01-31T09:30:00Z; 0 if it is past, None if there is none such."""
    found = _INSTANT.fullmatch(value.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    sign, hours, minutes = found.groups()[6:]
    east = 0 if sign is None else int(sign + "1") * (int(hours) * 3600 + int(minutes) * 60)
    try:
        at = email.utils.mktime_tz((year, month, day, hour, minute, second, 0, 1, 0, east))
    except (ValueError, OverflowError):
        return None
    return max(0.0, at - wall_now)


def _since(value: str, wall_now: float) -> float | None:
    number = _number(value)
    if number is None:
        wait = duration(value)
        return _until(value, wall_now) if wait is None else wait
    if number > _EPOCH_MS:
        number /= 1000.0
    wait = number - wall_now if number > _EPOCH else number
    return max(0.0, wait) if math.isfinite(wait) else None
