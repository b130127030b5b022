"""Whether a program's answers are what Anthropic's clients need: fields that are missing are named.

The load generator sees to it that every answer has all its words and its end. A client reads more than that:
who leaves it out does less, and is not counted among those that translate.

Source: Anthropic's reference of Messages and of their streaming; the fields it gives as always there.
"""

import http.client
from collections.abc import Iterator, Sequence

import msgspec
import trio

from benchmarks.load import Ask
from benchmarks.peers import Does
from benchmarks.peers_launch import SMALL
from benchmarks.peers_process import Contender
from benchmarks.subjects import Mode

ANSWER_WITHIN = 30.0  # seconds
MESSAGE = ("id", "type", "role", "content", "model", "stop_reason", "usage")
STARTED = tuple(field for field in MESSAGE if field != "stop_reason")
EVENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("message_start", tuple(f"message.{field}" for field in STARTED)),
    ("content_block_start", ("index", "content_block.type")),
    ("content_block_delta", ("index", "delta.type")),
    ("content_block_stop", ("index",)),
    ("message_delta", ("delta.stop_reason", "usage.output_tokens")),
    ("message_stop", ()),
)


async def flaws(contender: Contender) -> tuple[str, ...]:
    """What is missing in a whole answer of it and in a streamed one. Relays are not looked at.

    Raises:
        OSError: it does not answer at all.
    """
    if contender.peer.does is Does.RELAY:
        return ()
    whole, stream = await _body(contender, Mode.WHOLE), await _body(contender, Mode.STREAM)
    return (*flaws_of_whole(whole), *flaws_of_stream(stream))


async def _body(contender: Contender, mode: Mode) -> bytes:
    return await trio.to_thread.run_sync(_asked, contender.port, contender.ask(SMALL, mode))


def _asked(port: int, wanted: Ask) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN)
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "any"}
    try:
        connection.request("POST", wanted.path, wanted.body, headers | dict(wanted.headers))
        return connection.getresponse().read()
    except http.client.HTTPException as error:
        raise OSError(f"no answer to look at: {type(error).__name__}") from error
    finally:
        connection.close()


def flaws_of_whole(body: bytes) -> Sequence[str]:
    """What a whole answer lacks."""
    return list(_lacking("the whole answer", _decoded(body), MESSAGE))


def flaws_of_stream(body: bytes) -> Sequence[str]:
    """What the events of a stream lack: the first of each kind is looked at."""
    first: dict[object, object] = {}
    for line in body.splitlines():
        if line.startswith(b"data:"):
            event = _decoded(line.removeprefix(b"data:"))
            first.setdefault(_at(event, "type"), event)
    return [
        flaw
        for kind, fields in EVENTS
        for flaw in (_lacking(kind, first[kind], fields) if kind in first else [f"there is no {kind}"])
    ]


def _lacking(where: str, found: object, fields: Sequence[str]) -> Iterator[str]:
    missing = [field for field in fields if _at(found, field) is None]
    if missing:
        yield f"{where} lacks {', '.join(missing)}"


def _at(found: object, path: str) -> object:
    """What stands at a path of keys joined by dots; None where nothing does."""
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _decoded(text: bytes) -> object:
    try:
        decoded: object = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return decoded
