"""What the simulated providers say: plausible Chat Completions, as text or as a tool call.

Pure: the request's body in, a reply or its chunks out.
"""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

SHELL_TOOL = "Bash"  # Claude Code's
SHELL_COMMAND = {"command": "ls", "description": "List the files in the current directory"}

_ASKS_FOR_A_TOOL = re.compile(
    r"\b(list|files?|ls|director(y|ies)|folders?|run|commands?|shell|bash|tools?)\b", re.IGNORECASE
)
# Claude Code puts its own remarks into the user's message; they speak of files and tools all the time.
_REMARKS = re.compile(r"<(system-reminder|local-command-[a-z]+|command-[a-z]+)>.*?</\1>", re.DOTALL)


class Part(Struct, frozen=True):
    """A part of a message; only text matters here."""

    type: str
    text: str = ""


class Said(Struct, frozen=True):
    """One message of the conversation."""

    role: str
    content: str | tuple[Part, ...] | None = None

    @property
    def text(self) -> str:
        """All its text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.type == "text")


class Function(Struct, frozen=True):
    """An offered function's name."""

    name: str


class Offered(Struct, frozen=True):
    """One entry of `tools`."""

    function: Function


class Asked(Struct, frozen=True):
    """The part of a chat completion request that a simulated provider looks at."""

    model: str
    messages: tuple[Said, ...]
    tools: tuple[Offered, ...] = ()
    stream: bool = False


class ToolCall(Struct, frozen=True):
    """A call of one offered tool; `arguments` is JSON text."""

    name: str
    arguments: str


class Reply(Struct, frozen=True):
    """What a provider answers: some text, and perhaps a tool call after it."""

    text: str
    call: ToolCall | None = None


def decode(body: bytes) -> Asked:
    """Read a request.

    Raises:
        msgspec.DecodeError: it is no chat completion request.
    """
    return msgspec.json.decode(body, type=Asked)


def reply(asked: Asked, provider: str) -> Reply:
    """What `provider` answers: an end after a tool's result, a tool call if asked for one, else text."""
    news = _since_last_answer(asked.messages)
    results = [said.text for said in news if said.role == "tool"]
    if results:
        return Reply(_on_result(results[-1], provider))
    prompt = _REMARKS.sub("", "\n".join(said.text for said in news if said.role == "user")).strip()
    offered = {tool.function.name for tool in asked.tools}
    if SHELL_TOOL in offered and _ASKS_FOR_A_TOOL.search(prompt):
        arguments = msgspec.json.encode(SHELL_COMMAND).decode()
        return Reply("Let me look at the files.", ToolCall(SHELL_TOOL, arguments))
    return Reply(_on_prompt(prompt, asked.model, provider))


def _since_last_answer(messages: tuple[Said, ...]) -> tuple[Said, ...]:
    spoken = [place for place, said in enumerate(messages) if said.role == "assistant"]
    return messages[spoken[-1] + 1 :] if spoken else messages


def _on_prompt(prompt: str, model: str, provider: str) -> str:
    quoted = _shortened(prompt.splitlines()[-1] if prompt else "nothing at all")
    return (
        f'I am {model} of the simulated provider "{provider}". You wrote: "{quoted}". '
        "I only pretend to think, but everything between us is real: ccproxy_trio translated your request, "
        "chose me, and streams these words back. Ask me to list the files, and I will call a tool."
    )


def _on_result(result: str, provider: str) -> str:
    lines = [line for line in result.splitlines() if line.strip()]
    if not lines:
        return f'The command printed nothing. "{provider}" finishes this turn.'
    many = "one line" if len(lines) == 1 else f"{len(lines)} lines"
    return (
        f'The command printed {many}, the first being "{_shortened(lines[0])}". '
        f'The result came back through the proxy, and "{provider}" finishes this turn.'
    )


def _shortened(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 80 else f"{text[:77]}..."


def chunks(said: Reply, asked: Asked, *, prompt_tokens: int) -> Iterator[bytes]:
    """The reply as chat completion chunks, a word at a time; usage comes last, as with `include_usage`."""
    yield _chunk(asked.model, {"role": "assistant", "content": ""})
    for word in re.findall(r"\S+\s*", said.text):
        yield _chunk(asked.model, {"content": word})
    if said.call:
        for delta in _call_deltas(said.call):
            yield _chunk(asked.model, {"tool_calls": [delta]})
    yield _chunk(asked.model, {}, finish_reason=_finish(said))
    yield _encode(
        {**_head(asked.model, "chat.completion.chunk"), "choices": [], "usage": _usage(said, prompt_tokens)}
    )


def completion(said: Reply, asked: Asked, *, prompt_tokens: int) -> bytes:
    """The reply as one chat completion."""
    message: dict[str, object] = {"role": "assistant", "content": said.text}
    if said.call:
        message["tool_calls"] = [_whole_call(said.call)]
    choice = {"index": 0, "message": message, "finish_reason": _finish(said)}
    return _encode(
        {**_head(asked.model, "chat.completion"), "choices": [choice], "usage": _usage(said, prompt_tokens)}
    )


def _chunk(model: str, delta: dict[str, object], *, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _encode({**_head(model, "chat.completion.chunk"), "choices": [choice]})


def _call_deltas(call: ToolCall) -> Iterator[dict[str, object]]:
    """A call as providers stream it: its name first, then its arguments in pieces."""
    whole = _whole_call(call)
    yield {"index": 0, **whole, "function": {"name": call.name, "arguments": ""}}
    middle = len(call.arguments) // 2
    for piece in (call.arguments[:middle], call.arguments[middle:]):
        yield {"index": 0, "function": {"arguments": piece}}


def _whole_call(call: ToolCall) -> dict[str, object]:
    # Many providers number the calls of every answer from zero; the proxy has to mint ids of its own.
    return {"id": "call_0", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(said: Reply) -> str:
    return "tool_calls" if said.call else "stop"


def _head(model: str, kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-demo", "object": kind, "created": 0, "model": model}


def _usage(said: Reply, prompt_tokens: int) -> dict[str, object]:
    written = len(said.text.split()) + (len(said.call.arguments) // 4 if said.call else 0)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written,
        "total_tokens": prompt_tokens + written,
    }


def _encode(value: dict[str, object]) -> bytes:
    return msgspec.json.encode(value)
