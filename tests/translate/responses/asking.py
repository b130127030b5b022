"""Requests on the Responses wire, and answers to them, written short."""

import json
from collections.abc import Iterable
from typing import Any

from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.question import Asked
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.responses.question import ResponsesQuestion, put
from ccproxy_trio.wire.anthropic import MessagesRequest
from ccproxy_trio.wire.sse import SseEvent
from tests.translate.asking import provider

MODEL = "gpt-5.4"


def dialect(profile: str = "openai", *, model: str = MODEL, **options: Any) -> Dialect:
    return resolve(provider(profile, **options), model)


def question(
    asked: MessagesRequest,
    profile: str = "openai",
    *,
    model: str = MODEL,
    put_in: Dialect | None = None,
    name: str = "alpha",
    **options: Any,
) -> ResponsesQuestion:
    spoken = dialect(profile, model=model, **options) if put_in is None else put_in
    return put(Asked(request=asked), Target(provider=name, model=model, dialect=spoken))


def body(asked: ResponsesQuestion) -> dict[str, Any]:
    """The body as the upstream reads it."""
    read: dict[str, Any] = json.loads(asked.outgoing().body)
    return read


def event(kind: str, **members: Any) -> SseEvent:
    return SseEvent(kind, json.dumps({"type": kind, **members}).encode())


def frames(events: Iterable[SseEvent]) -> bytes:
    return b"".join(
        b"event: " + (each.event or "").encode() + b"\ndata: " + each.data + b"\n\n" for each in events
    )


def text_delta(text: str, place: int = 0) -> SseEvent:
    return event("response.output_text.delta", output_index=place, content_index=0, delta=text)


def completed(**members: Any) -> SseEvent:
    return event("response.completed", response={"status": "completed", **members})
