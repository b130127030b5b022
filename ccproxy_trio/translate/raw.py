"""JSON that is only passed on, for the moments when it has to be looked into after all."""

from typing import Any

import msgspec
from msgspec import Raw

from ccproxy_trio.wire.faults import RequestRefused


def compact(raw: Raw, where: str) -> str:
    """The same JSON text without spaces between tokens; numbers and escapes as they were spelt.

    Raises:
        RequestRefused: nested past the interpreter's limit.
    """
    try:
        return msgspec.json.format(raw, indent=-1).decode()
    except RecursionError as error:
        raise RequestRefused(f"{where}: nested too deeply") from error


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
