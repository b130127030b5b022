"""A client that asks, and asks again, as Claude Code does.

Source: what Claude Code 2.1 was seen to do with errors, `Retry-After` and streams that break off. Left out
is the quarter by which it varies its waits.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.attempt import Kept
from ccproxy_trio.audience import Opened
from ccproxy_trio.errand import Ask, NothingLeft, Services
from ccproxy_trio.exchange import answer, stream
from ccproxy_trio.routing.telling import Told
from ccproxy_trio.settings.model import Secret, Tier
from ccproxy_trio.translate.question import Asked, Credential, Sender
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.faults import RequestRefused

MODELS: dict[Tier, str] = {
    "big": "claude-opus-4-5",
    "middle": "claude-sonnet-4-5",
    "small": "claude-haiku-4-5",
}
STREAM_TIMEOUT = 600.0  # seconds that it says it waits
WHOLE_TIMEOUT = 300.0
MOST_REPETITIONS = 10
FIRST_WAIT, LONGEST_WAIT = 0.5, 32.0  # seconds
_AGAIN = frozenset({408, 409, 429})
_OVERLOADED = 529  # here it does not care for `x-should-retry`
_END = b"event: message_stop"

# Claude Code is logged in: for a provider that its login is passed on to.
_SENDER = Sender(
    headers=(("anthropic-version", "2023-06-01"), ("user-agent", "claude-cli/2 (simulated)")),
    query="beta=true",
    credential=Credential("authorization", Secret("Bearer simulated-login")),
)
_SYSTEM = "You are Claude Code, Anthropic's official CLI for Claude. You help with software engineering."
_TOOLS = [
    {
        "name": name,
        "description": f"The tool {name}.",
        "input_schema": {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]},
    }
    for name, field in (("Bash", "command"), ("Read", "file_path"), ("Grep", "pattern"))
]


class Prompt(Struct, frozen=True, kw_only=True):
    """One thing that somebody wants to know. `number` counts all prompts from 1."""

    number: int
    turn: int  # of its session, from 0
    session: str
    tier: Tier
    streams: bool


def body_of(prompt: Prompt, *, streams: bool) -> bytes:
    """The request as it would come over the wire. Turns of a session differ in length, as real ones do."""
    text = f"Turn {prompt.turn}: go on" + " and on" * (prompt.turn % 50) + "."
    return msgspec.json.encode(
        {
            "model": MODELS[prompt.tier],
            "max_tokens": 32_000,
            "stream": streams,
            "system": [{"type": "text", "text": _SYSTEM}],
            "tools": _TOOLS,
            "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
            "metadata": {"user_id": f"user_simulated_session_{prompt.session}"},
        }
    )


class Client:
    """Asks through the exchange's own doors, as the edge does.

    `in_use` holds the services of the moment; `began` is called with a request's id before it is made.
    """

    def __init__(
        self, in_use: Callable[[], AbstractContextManager[Services]], began: Callable[[Prompt, str], None]
    ) -> None:
        self._in_use = in_use
        self._began = began

    async def run(self, prompt: Prompt) -> bool:
        """Ask until there is an answer or no sense in asking; whether there is one."""
        streams, repetition = prompt.streams, 0
        while True:
            told = await self._ask(prompt, repetition, streams=streams)
            if told is None:
                return True
            if isinstance(told, BrokeOff):
                wait: float | None = 0.0
                streams = False
            else:
                wait = comes_again_after(told, repetition)
            if wait is None or repetition >= MOST_REPETITIONS:
                return False
            repetition += 1
            await trio.sleep(wait)

    async def _ask(self, prompt: Prompt, repetition: int, *, streams: bool) -> "Told | BrokeOff | None":
        """Ask once; None for a whole answer."""
        request_id = f"req_{prompt.number:06}" + (f".{repetition}" if repetition else "")
        self._began(prompt, request_id)
        body = body_of(prompt, streams=streams)
        with self._in_use() as in_use:
            services = in_use.open_to(_SENDER, prompt.tier)
            request = decode_request(body)
            ask = Ask(
                kept=Kept(Asked(request=request, body=body, sender=_SENDER)),
                request_id=request_id,
                size=await services.counting.size(request, prompt.tier, body_bytes=len(body), betas=""),
                session=prompt.session,
                client_timeout=STREAM_TIMEOUT if streams else WHOLE_TIMEOUT,
                patient=True,
            )
            return await (_read_along(ask, services) if streams else _wait_for_all(ask, services))


async def _wait_for_all(ask: Ask, services: Services) -> Told | None:
    try:
        await answer(ask, services)
    except NothingLeft as error:
        return error.told
    except RequestRefused as error:
        return Told(error.status, error.kind, error.message)
    return None


async def _read_along(ask: Ask, services: Services) -> "Told | BrokeOff | None":
    told: Told | None = None
    reader = _Reader()
    async with trio.open_nursery() as nursery:

        def started(opened: Opened) -> None:
            nursery.start_soon(reader.read, opened)

        try:
            await stream(ask, services, started=started)
        except NothingLeft as error:  # here, since the nursery would make a group of it
            told = error.told
        except RequestRefused as error:
            told = Told(error.status, error.kind, error.message)
    if told is not None:
        return told
    return None if reader.is_complete else BrokeOff()


class BrokeOff(Struct, frozen=True):
    """A stream had begun and ended without its proper end."""


class _Reader:
    """Reads a stream along, as fast as it comes."""

    def __init__(self) -> None:
        self.is_complete = False

    async def read(self, opened: Opened) -> None:
        async for frame in opened.frames:
            self.is_complete = _END in frame


def comes_again_after(told: Told, repetition: int) -> float | None:
    """Seconds after which Claude Code repeats a request that was told this; None: it shows the text.

    `repetition` counts from 0.
    """
    if told.status != _OVERLOADED:
        if told.should_retry is False:
            return None
        if not told.should_retry and told.status not in _AGAIN and told.status < 500:
            return None
    backoff = min(FIRST_WAIT * 2.0**repetition, LONGEST_WAIT)
    return max(float(told.retry_after or 0), backoff)
