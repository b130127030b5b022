"""Answers on Anthropic's own wire, and what a client gets of them, as the exchange drives it."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.native.reader import NativeReader
from ccproxy_trio.translate.parts import Part, Passage
from ccproxy_trio.translate.scale import UNSCALED, Scale
from ccproxy_trio.wire.events import Event, encode_frames
from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.sse import Decoder
from tests.support.answers import MESSAGE_ID, MODEL, counting_mint, target_of

THEIR_ID = "msg_01XFDUDYJgAACzvnptvVoYEL"
THEIR_MODEL = "claude-opus-4-8-20260801"
Json = dict[str, Any]


def frame(event: Json) -> bytes:
    """An event as Anthropic's API spells it."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {text}\n\n".encode()


def message_start(**members: Any) -> Json:
    message: Json = {
        "id": THEIR_ID,
        "type": "message",
        "role": "assistant",
        "model": THEIR_MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1},
    }
    return {"type": "message_start", "message": {**message, **members}}


def start(index: int, block: Json) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, said: str) -> Json:
    names = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
    body = {"type": kind, names.get(kind, "partial_json"): said}
    return {"type": "content_block_delta", "index": index, "delta": body}


def stop(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def text_block(index: int, *pieces: str) -> list[Json]:
    deltas = [delta(index, "text_delta", piece) for piece in pieces]
    return [start(index, {"type": "text", "text": ""}), *deltas, stop(index)]


def thinking_block(index: int, thought: str, signature: str = "Eo8BCkYIBxgC") -> list[Json]:
    return [
        start(index, {"type": "thinking", "thinking": "", "signature": ""}),
        *([delta(index, "thinking_delta", thought)] if thought else []),
        delta(index, "signature_delta", signature),
        stop(index),
    ]


def tool_block(index: int, name: str, *pieces: str, id: str = "toolu_01T1x1fJ34qAmk2tNTrN7Up6") -> list[Json]:  # noqa: A002 - the wire's word
    deltas = [delta(index, "input_json_delta", piece) for piece in pieces]
    return [start(index, {"type": "tool_use", "id": id, "name": name, "input": {}}), *deltas, stop(index)]


def message_delta(reason: str | None = "end_turn", **usage: Any) -> Json:
    ending = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 15, **usage}}


PING: Json = {"type": "ping"}
MESSAGE_STOP: Json = {"type": "message_stop"}


def answer(*blocks: Sequence[Json], reason: str | None = "end_turn") -> list[Json]:
    """The events of a whole answer."""
    inner = [event for block in blocks for event in block]
    return [message_start(), PING, *inner, message_delta(reason), MESSAGE_STOP]


def stream_of(events: Iterable[Json]) -> bytes:
    return b"".join(map(frame, events))


HELLO = answer(text_block(0, "Hello", " world"))


def native_reader() -> NativeReader:
    return NativeReader(target=target_of(wire="anthropic"), mint=counting_mint())


def parts_of(*reads: bytes, reader: NativeReader | None = None) -> list[Part]:
    """All parts of a stream that arrives in these reads."""
    reader = reader or native_reader()
    parts: list[Part] = []
    for data in reads:
        for each in reader.decoder.feed(data):
            parts += reader.feed(each)
    for each in reader.decoder.end():
        parts += reader.feed(each)
    return parts + reader.end()


class Client:
    """The client's half: everything that was sent is in `sent`, checked on its way."""

    def __init__(self, *, scale: Scale = UNSCALED, input_tokens: int = 25) -> None:
        self.emitter = Emitter(message_id=MESSAGE_ID, model=MODEL, input_tokens=input_tokens, scale=scale)
        self.grammar = Grammar()
        self.sent = b""

    def show(self, events: Sequence[Event]) -> None:
        self.grammar.check(events)
        self.sent += encode_frames(events)

    def take(self, parts: Sequence[Part]) -> None:
        self.show(self.emitter.take(parts))

    def beat(self) -> None:
        self.show(self.emitter.heartbeat())

    def relay(self, *reads: bytes, reader: NativeReader | None = None) -> bytes:
        """All that is sent of a body that arrives in these reads; a fault becomes the error event."""
        reader = reader or native_reader()
        try:
            for data in reads:
                for each in reader.decoder.feed(data):
                    self.take(reader.feed(each))
            for each in reader.decoder.end():
                self.take(reader.feed(each))
            self.take(reader.end())
        except UpstreamFault as fault:
            self.show(self.emitter.fail("api_error", str(fault.kind)))
        return self.sent


def relayed(*reads: bytes) -> bytes:
    """What a client gets of a body that arrives in these reads."""
    return Client().relay(*reads)


def renamed(data: bytes) -> bytes:
    """What a client should get of `data`: the model has the name that it asked for."""
    return data.replace(THEIR_MODEL.encode(), MODEL.encode())


def read_events(data: bytes) -> list[Json]:
    """The events of a stream, however they are spelt; what is no JSON is left out."""
    decoder = Decoder(max_line_bytes=2**30)
    return [json.loads(each.data) for each in (*decoder.feed(data), *decoder.end()) if each.data[:1] == b"{"]


def passages(parts: Iterable[Part]) -> list[Passage]:
    return [part for part in parts if isinstance(part, Passage)]


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(edges)]
