"""JSON that is only passed on, for the moments when it has to be looked into after all."""

import codecs
import re
from typing import Any

import msgspec
from msgspec import Raw

from ccproxy_trio.wire.faults import RequestRefused

# A run of escaped characters beyond ASCII. Backslashes in pairs are escaped themselves and must lend none to
# a "u" behind them. The pattern begins with a backslash and only then looks behind, so that the search jumps
# from one backslash to the next: arguments may be a megabyte of code, full of line ends.
_ESCAPES = re.compile(
    r"\\(?<!\\\\)((?:\\\\)*)u((?!00[0-7])[0-9a-f]{4}(?:\\u(?!00[0-7])[0-9a-f]{4})*)", re.IGNORECASE
)


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
    return _ESCAPES.sub(_characters, text) if "\\u" in text else text


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


def _characters(escapes: re.Match[str]) -> str:
    backslashes, units = escapes.groups()
    text, _ = codecs.utf_16_be_decode(bytes.fromhex(units.replace("\\u", "")), "surrogatepass", True)
    return f"{backslashes}{text}"
