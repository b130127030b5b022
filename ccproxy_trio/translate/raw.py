"""JSON that is only passed on, for the moments when it has to be looked into after all."""

import re
from typing import Any

import msgspec
from msgspec import Raw

from ccproxy_trio.wire.faults import RequestRefused

# A surrogate pair, a character, or any other escape: an escaped backslash must not lend its second half.
_ESCAPE = re.compile(r"\\(?:u(d[89ab]..)\\u(d[c-f]..)|u(.{4})|.)", re.IGNORECASE)


def compact(raw: Raw, where: str) -> str:
    """The same JSON text without spaces between tokens and with non-ASCII characters as themselves.

    Numbers and all other escapes stay as they were spelt.

    Raises:
        RequestRefused: nested past the interpreter's limit.
    """
    try:
        text = msgspec.json.format(raw, indent=-1).decode()
    except RecursionError as error:
        raise RequestRefused(f"{where}: nested too deeply") from error
    # Clients that escape would make the model read, and imitate, six characters for every one.
    return _ESCAPE.sub(_character, text) if "\\u" in text else text


def plain(raw: Raw, where: str) -> Any:
    """The value itself.

    Raises:
        RequestRefused: it cannot be held: a number out of range, or nested past the interpreter's limit.
    """
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestRefused(f"{where}: not usable JSON: {error}") from error


def members(raw: Raw, where: str) -> dict[str, Raw]:
    """The members of an object, each still raw.

    Raises:
        RequestRefused: it is not an object, or nested past the interpreter's limit.
    """
    try:
        return msgspec.json.decode(raw, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestRefused(f"{where}: must be a JSON object") from error


def _character(escape: re.Match[str]) -> str:
    high, low, single = escape.groups()
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    code = int(single, 16) if single is not None else 0
    return escape[0] if code < 0x80 else chr(code)
