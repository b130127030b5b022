"""The tour: what Claude Code would do, played through the proxy's real HTTP endpoint.

It relies on the moody provider's first moods (`providers.MOODY_FIRST`) and on phoenix being down at first.
"""

from collections.abc import Awaitable, Callable, Mapping

import h11
import msgspec
import trio
from msgspec import Struct

from ccproxy_trio.demo import answers
from ccproxy_trio.demo.screen import TITLE, VISITOR, Screen
from ccproxy_trio.demo.visitor import Heard, Visitor
from ccproxy_trio.logs.lines import DIM, marked

TOUR_WITHIN = 60.0  # seconds
PAUSE = 0.5  # seconds, in which the proxy logs the end of what was just shown
ROUNDING = 0.1  # seconds; /health gives tenths
BIG, MIDDLE = "claude-opus-4-8", "claude-sonnet-5"
LISTING = "README.md\nmain.py\ntests"  # what the pretended command prints

_BASH = {
    "name": answers.SHELL_TOOL,
    "description": "Run a shell command.",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
}


class _ProviderHealth(Struct, frozen=True):
    state: str
    open_for_s: float | None = None


class _Health(Struct, frozen=True):
    providers: Mapping[str, _ProviderHealth]


class OffScript(Exception):
    """An act went another way than it should; the text says how."""


class Tour:
    """Four acts for one visitor."""

    def __init__(self, visitor: Visitor, screen: Screen, *, phoenix_is_up: trio.Event) -> None:
        self._visitor = visitor
        self._screen = screen
        self._phoenix_is_up = phoenix_is_up

    async def play(self) -> bool:
        """All acts in order; returns whether each went as it should. Takes about 15 s, a minute at most."""
        acts: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("A streamed answer", self._streamed_answer),
            ("Two providers fail, and the answer comes all the same", self._failover),
            ("A tool call, finished by another provider than the one that began it", self._tool_call),
            ("A provider comes back: one trial request decides", self._recovery),
        )
        try:
            with trio.fail_after(TOUR_WITHIN):
                for number, (title, act) in enumerate(acts, start=1):
                    self._screen.line()
                    self._screen.line((f"🎬 {number} of {len(acts)}: {title}", TITLE))
                    await act()
                    await trio.sleep(PAUSE)
        except (OffScript, OSError, h11.RemoteProtocolError, trio.TooSlowError) as fault:
            self._screen.line(marked("error", f"The tour ends here: {str(fault) or type(fault).__name__}"))
            return False
        return True

    async def _streamed_answer(self) -> None:
        await self._ask(BIG, [_user("What are you?")])

    async def _failover(self) -> None:
        self._remark("moody is about to answer 500, and nobody listens where phoenix should be.")
        await self._ask(MIDDLE, [_user("Are you still there?")])

    async def _tool_call(self) -> None:
        said = [_user("Please list the files.")]
        heard = await self._ask(BIG, said)
        if heard.tool is None:
            raise OffScript("a tool call was expected")
        self._screen.line(("  calls  › ", VISITOR), f"{heard.tool.name} {heard.tool.arguments}")
        self._remark("The tour pretends to run it. moody will answer the result with 429.")
        use = {
            "type": "tool_use",
            "id": heard.tool.id,
            "name": heard.tool.name,
            "input": msgspec.Raw(heard.tool.arguments.encode()),
        }
        result = {"type": "tool_result", "tool_use_id": heard.tool.id, "content": LISTING}
        said += [_said("assistant", [{"type": "text", "text": heard.text}, use]), _said("user", [result])]
        await self._ask(BIG, said)

    async def _recovery(self) -> None:
        self._remark("phoenix's circuit is open now: no request waits for it. Soon its server is started ...")
        await self._phoenix_is_up.wait()
        self._remark("... and is up. The proxy finds out by itself when the circuit may be tried again.")
        rest = (await self._health())["phoenix"].open_for_s or 0.0
        await trio.sleep(rest + ROUNDING)
        self._remark("moody hangs up before its first word; the next in line is phoenix, on trial.")
        await self._ask(BIG, [_user("Who is answering now?")])
        if (await self._health())["phoenix"].state != "closed":
            raise OffScript("phoenix should be back by now")

    async def _ask(self, model: str, messages: list[dict[str, object]]) -> Heard:
        last = messages[-1]["content"]
        self._screen.line(
            (f"  {model} ‹ ", VISITOR), last if isinstance(last, str) else "(the tool's result)"
        )
        body = {"model": model, "max_tokens": 1024, "stream": True, "messages": messages, "tools": [_BASH]}
        heard = await self._visitor.ask(msgspec.json.encode(body), self._screen.piece)
        self._screen.end_line()
        if heard.error or heard.status != 200:
            raise OffScript(f"HTTP {heard.status}: {heard.error}")
        return heard

    async def _health(self) -> Mapping[str, _ProviderHealth]:
        return msgspec.json.decode(await self._visitor.get("/health"), type=_Health).providers

    def _remark(self, text: str) -> None:
        self._screen.line((f"  {text}", DIM))


def _user(text: str) -> dict[str, object]:
    return _said("user", text)


def _said(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}
