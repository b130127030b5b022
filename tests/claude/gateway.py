"""A gateway that speaks Anthropic's Messages API by script, for what only the client has a part in."""

import json
from collections.abc import Iterable
from typing import Any

from tests.support.scripted import (
    BODY_END,
    Request,
    ScriptedProvider,
    Send,
    Step,
    body,
    head,
    json_reply,
)

Steps = tuple[Step, ...]
_MESSAGE: dict[str, Any] = {
    "id": "msg_scripted",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "stop_sequence": None,
}
_USAGE = {"input_tokens": 5, "output_tokens": 1}


class Gateway(ScriptedProvider):
    """`requests` are those for a message; replies are steps, or `GOOD`: what the request asks for."""

    @property
    def base_url(self) -> str:
        """What `ANTHROPIC_BASE_URL` is set to."""
        return f"http://127.0.0.1:{self._port.number}"

    async def _reply(self, request: Request) -> Steps:
        if request.path != "/v1/messages":
            return json_reply(200, {"input_tokens": 5})
        self.requests.append(request)
        async with self._arrived:
            self._arrived.notify_all()
        reply: Any = self._script(request)
        return answer_to(request) if reply == GOOD else reply


GOOD: Steps = ()


def event(kind: str, **fields: Any) -> Send:
    """One event of a stream."""
    data = json.dumps({"type": kind} | fields)
    return body(f"event: {kind}\ndata: {data}\n\n".encode())


START = event("message_start", message=_MESSAGE | {"content": [], "stop_reason": None, "usage": dict(_USAGE)})
PING = event("ping")
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
BLOCK_STOP = event("content_block_stop", index=0)
DELTA = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=dict(_USAGE))
STOP = event("message_stop")


def words(text: str) -> Send:
    """A piece of the text."""
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def failure(kind: str = "api_error", message: str = "scripted failure") -> Send:
    """An error inside a stream."""
    return event("error", error={"type": kind, "message": message})


def stream(*steps: Step, ends: Iterable[Step] = (BODY_END,)) -> Steps:
    """A stream of these steps, and its end."""
    return (head(), *steps, *ends)


def refused(
    status: int, message: str = "scripted refusal", *, kind: str = "api_error", **headers: str
) -> Steps:
    """An error status. Header names are given with underscores."""
    return json_reply(status, {"type": "error", "error": {"type": kind, "message": message}}, **headers)


def answer_to(request: Request) -> Steps:
    """A good answer: "Here I am."."""
    text = "Here I am."
    if request.body.get("stream"):
        return stream(START, BLOCK, words(text), BLOCK_STOP, DELTA, STOP)
    content = [{"type": "text", "text": text}]
    return json_reply(200, _MESSAGE | {"content": content, "stop_reason": "end_turn", "usage": dict(_USAGE)})
