"""Upstream answers on their way through the two halves of the translation, as the exchange drives them."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ccproxy_trio.translate import stream
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.native.reader import NativeReader
from ccproxy_trio.translate.parts import Part
from ccproxy_trio.translate.question import Answering
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.responses import reader as responses
from ccproxy_trio.wire.events import Event
from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.sse import SseEvent

MESSAGE_ID = "msg_" + "a" * 24
MODEL = "claude-opus-4-8"


def counting_mint() -> Callable[[], str]:
    """Tool ids that count up: toolu_aaa...a2, toolu_aaa...a3."""
    numbers = itertools.count()
    digits = "abcdefghijklmnopqrstuvwxyz234567"

    def mint() -> str:
        high, low = divmod(next(numbers), 32)
        return "a" * 22 + digits[high] + digits[low]

    return mint


def target_of(**switches: Any) -> Target:
    """A target whose dialect is that of an unknown server but for `switches`."""
    return Target(provider="acme", model="up-model", dialect=Dialect(**switches))


def reader_of(
    *,
    names: Mapping[str, str] | None = None,
    show_thinking: bool = True,
    stop_sequences: Iterable[str] = (),
    **switches: Any,
) -> Answering:
    """A reader with everything that a test does not care about, of the wire `wire`."""
    target = target_of(**switches)
    if target.dialect.wire == "anthropic":
        return NativeReader(target=target, mint=counting_mint())
    kind = responses.Reader if target.dialect.wire == "responses" else stream.Reader
    return kind(
        target=target,
        names=names or {},
        show_thinking=show_thinking,
        stop_sequences=tuple(stop_sequences),
        mint=counting_mint(),
    )


def emitter_of(*, input_tokens: int = 25) -> Emitter:
    """An emitter with everything that a test does not care about."""
    return Emitter(message_id=MESSAGE_ID, model=MODEL, input_tokens=input_tokens)


def event(payload: object) -> SseEvent:
    """A stream event with this payload as JSON."""
    return SseEvent(None, json.dumps(payload).encode())


def delta(finish: str | None = None, **members: Any) -> SseEvent:
    """A chunk with one choice."""
    return event({"choices": [{"index": 0, "delta": members, "finish_reason": finish}]})


def call(index: int | None = 0, *, id: str | None = None, name: str | None = None, args: Any = None) -> Any:  # noqa: A002 - the wire's word
    """An item of `tool_calls`; what is None is left out."""
    function = {"name": name, "arguments": args}
    item = {"index": index, "id": id, "function": {k: v for k, v in function.items() if v is not None}}
    return {k: v for k, v in item.items() if v is not None}


def parts_of(reader: Answering, events: Iterable[SseEvent]) -> list[Part]:
    """All parts of a stream that ends after `events`."""
    parts: list[Part] = []
    for each in events:
        if reader.finished:
            break
        parts += reader.feed(each)
    return [*parts, *reader.end()]


def read_stream(reader: Answering, reads: Iterable[bytes]) -> list[Part]:
    """All parts of a stream that arrives in these reads."""
    decoder = reader.decoder
    parts: list[Part] = []
    for data in reads:
        for each in decoder.feed(data):
            parts += reader.feed(each)
    for each in decoder.end():
        parts += reader.feed(each)
    return [*parts, *reader.end()]


def show(reader: Answering, emitter: Emitter, reads: Iterable[bytes]) -> list[Event]:
    """The client's events of a stream that arrives in these reads; a fault becomes the error event."""
    decoder = reader.decoder
    shown: list[Event] = []
    try:
        for data in reads:
            for each in decoder.feed(data):
                shown += emitter.take(reader.feed(each))
        for each in decoder.end():
            shown += emitter.take(reader.feed(each))
        shown += emitter.take(reader.end())
    except UpstreamFault as fault:
        shown += emitter.fail("api_error", str(fault.kind))
    return shown


def show_completion(reader: Answering, emitter: Emitter, body: bytes) -> list[Event]:
    """The client's events of a body that came whole; a fault becomes the error event."""
    try:
        return emitter.take([*reader.feed_completion(body), *reader.end()])
    except UpstreamFault as fault:
        return emitter.fail("api_error", str(fault.kind))
