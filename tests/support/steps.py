"""What a scripted provider writes, step by step, and how the bytes of its replies are put together."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Literal

import trio
from msgspec import Struct

from tests.support.chunks import DONE, Chunk, sse


class Send(Struct, frozen=True):
    """Write these bytes."""

    data: bytes


class Repeat(Struct, frozen=True):
    """Write each of these pieces, `every` seconds apart, over and over until the client leaves."""

    pieces: tuple[bytes, ...]
    every: float


class Pause(Struct, frozen=True):
    """Write nothing for so many seconds."""

    seconds: float


class Hold(Struct, frozen=True):
    """Write nothing until the test sets the event."""

    gate: trio.Event


class Linger(Struct, frozen=True):
    """Write nothing until the client leaves."""


class Cut(Struct, frozen=True):
    """Close the connection: an orderly FIN, or a RST."""

    how: Literal["fin", "rst"]


Step = Send | Repeat | Pause | Hold | Linger | Cut


# -- replies as bytes --

BODY_END = Send(b"0\r\n\r\n")


def head(status: int = 200, *, headers: Mapping[str, str] | None = None) -> Send:
    """A response head; without other headers that of an event stream in chunked framing."""
    fields = headers or {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in _PHRASES else 'Odd'}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return Send("\r\n".join([*lines, "", ""]).encode())


def body(data: bytes) -> Send:
    """A piece of a chunked body."""
    return Send(b"%x\r\n%s\r\n" % (len(data), data))


def stream_of(chunks: Iterable[Chunk]) -> tuple[Step, ...]:
    """Each chunk as an event in an HTTP chunk of its own."""
    return tuple(body(sse([chunk])) for chunk in chunks)


def stream_reply(chunks: Iterable[Chunk]) -> tuple[Step, ...]:
    """A whole stream of these chunks, with `[DONE]`."""
    return (head(), *stream_of(chunks), body(DONE), BODY_END)


def json_reply(status: int, content: object, **headers: str) -> tuple[Step, ...]:
    """A whole response with a JSON body. Header names are given with underscores."""
    return raw_reply(status, json.dumps(content).encode(), content_type="application/json", **headers)


def raw_reply(status: int, content: bytes, **headers: str) -> tuple[Step, ...]:
    """A whole response. Header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (head(status, headers=named | {"content-length": str(len(content))}), Send(content))


def stream_frames(frames: Iterable[bytes]) -> tuple[Step, ...]:
    """Each frame in an HTTP chunk of its own."""
    return tuple(map(body, frames))


_PHRASES = frozenset(HTTPStatus)
