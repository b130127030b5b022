"""Three simulated OpenAI-compatible providers: one steady, one moody, one that is down at first."""

import enum
import itertools
from collections.abc import Iterator

import msgspec
import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
    Scope,
)

from ccproxy_trio.demo import answers

LARGEST_BODY = 32 * 2**20
WORD_EVERY = 0.03  # seconds


class Mood(enum.Enum):
    """How a provider meets one request for a completion."""

    FINE = "fine"
    BROKEN = "broken"  # 500
    LIMITED = "limited"  # 429 with Retry-After
    DYING = "dying"  # 200, then the connection ends before any content


# In order, then over again from `MOODY_AGAIN`. The first five are those that the tour meets.
MOODY_FIRST = (Mood.FINE, Mood.BROKEN, Mood.FINE, Mood.LIMITED, Mood.DYING)
MOODY_AGAIN = (Mood.FINE, Mood.FINE, Mood.DYING, Mood.FINE, Mood.BROKEN, Mood.FINE, Mood.FINE, Mood.LIMITED)
RETRY_AFTER = 2  # seconds


def moody_moods() -> Iterator[Mood]:
    """The moody provider's moods, without end, the same in every run."""
    return itertools.chain(MOODY_FIRST, itertools.cycle(MOODY_AGAIN))


def steady_moods() -> Iterator[Mood]:
    """Always fine."""
    return itertools.repeat(Mood.FINE)


class SimulatedProvider:
    """An ASGI app that answers `GET .../models` and `POST .../chat/completions`, in its mood of the moment.

    `word_every` is the time in seconds between two words of a streamed answer.
    """

    def __init__(self, name: str, *, moods: Iterator[Mood], word_every: float = WORD_EVERY) -> None:
        self.name = name
        self._moods = moods
        self._word_every = word_every

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request, or take part in the server's lifespan."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            body = await _body(receive)
            await self._answer(scope["method"], scope["path"], body=body, send=send)

    async def _answer(self, method: str, path: str, *, body: bytes, send: ASGISendCallable) -> None:
        if method == "GET" and path.endswith("/models"):
            await _json(send, 200, {"object": "list", "data": []})
        elif method == "POST" and path.endswith("/chat/completions"):
            await self._complete(body, send)
        else:
            await _error(send, 404, f"no such path: {path}", "not_found")

    async def _complete(self, body: bytes, send: ASGISendCallable) -> None:
        try:
            asked = answers.decode(body)
        except msgspec.DecodeError as error:
            await _error(send, 400, str(error), "invalid_request_error")
            return
        match next(self._moods):
            case Mood.BROKEN:
                await _error(send, 500, f"{self.name} is in a bad mood", "server_error")
            case Mood.LIMITED:
                await _error(send, 429, f"{self.name} wants a break", "rate_limit_exceeded")
            case Mood.DYING:
                await _start(send, 200, "text/event-stream")
                await _more(send, b": one moment\n\n")  # and then the response is left unfinished
            case Mood.FINE:
                await self._say(asked, body, send)

    async def _say(self, asked: answers.Asked, body: bytes, send: ASGISendCallable) -> None:
        said = answers.reply(asked, self.name)
        prompt_tokens = len(body) // 4
        if not asked.stream:
            await trio.sleep(self._word_every * len(said.text.split()))
            await _start(send, 200, "application/json")
            await _more(send, answers.completion(said, asked, prompt_tokens=prompt_tokens))
            await _end(send)
            return
        await _start(send, 200, "text/event-stream")
        for chunk in answers.chunks(said, asked, prompt_tokens=prompt_tokens):
            await _more(send, b"data: " + chunk + b"\n\n")
            await trio.sleep(self._word_every)
        await _more(send, b"data: [DONE]\n\n")
        await _end(send)


async def _lifespan(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: ASGIReceiveCallable) -> bytes:
    body = bytearray()
    while len(body) <= LARGEST_BODY:
        event = await receive()
        if event["type"] != "http.request":
            break
        body += event["body"]
        if not event["more_body"]:
            break
    return bytes(body)


async def _error(send: ASGISendCallable, status: int, message: str, kind: str) -> None:
    await _json(send, status, {"error": {"message": message, "type": kind, "param": None, "code": kind}})


async def _json(send: ASGISendCallable, status: int, value: dict[str, object]) -> None:
    await _start(send, status, "application/json")
    await _more(send, msgspec.json.encode(value))
    await _end(send)


async def _start(send: ASGISendCallable, status: int, content_type: str) -> None:
    headers = [(b"content-type", content_type.encode())]
    if status == 429:
        headers.append((b"retry-after", str(RETRY_AFTER).encode()))
    await send(
        HTTPResponseStartEvent(type="http.response.start", status=status, headers=headers, trailers=False)
    )


async def _more(send: ASGISendCallable, data: bytes) -> None:
    await send(HTTPResponseBodyEvent(type="http.response.body", body=data, more_body=True))


async def _end(send: ASGISendCallable) -> None:
    await send(HTTPResponseBodyEvent(type="http.response.body", body=b"", more_body=False))
