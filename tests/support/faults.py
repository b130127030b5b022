"""The ways in which a provider fails, as replies for a `ScriptedProvider`.

Those that say something of an answer first say it in the words of a `wire`.
"""

import json
from collections.abc import Iterable
from typing import Any, Literal

import trio

from tests.support.chunks import Chunk, Turn, says, sse
from tests.support.scripted import (
    BODY_END,
    Cut,
    Hold,
    Linger,
    Pause,
    Repeat,
    Send,
    Step,
    body,
    head,
    json_reply,
    raw_reply,
    stream_frames,
)
from tests.support.told import Told, Wire, error_body, error_frame, told, whole

Steps = tuple[Step, ...]
Ending = Literal["fin", "rst", "clean"]
Piece = Chunk | bytes  # of a stream: a chunk of Chat Completions, or a frame of any wire


_ANTHROPICS_KINDS = {"server_error": "api_error", "insufficient_quota": "billing_error"}


def status(
    code: int,
    message: str = "scripted failure",
    *,
    kind: str = "server_error",
    wire: Wire = "chat",
    **headers: str,
) -> Steps:
    """An error status with the wire's envelope. Header names are given with underscores.

    `kind` is OpenAI's word; on Anthropic's wire its own stands for the two that it has no such word for.
    """
    word = _ANTHROPICS_KINDS.get(kind, kind) if wire == "anthropic" else kind
    return json_reply(code, error_body(wire, message, kind=word), **headers)


def bad_request(
    message: str, *, code: str | None = None, param: str | None = None, wire: Wire = "chat"
) -> Steps:
    """A 400 with the wire's envelope; Anthropic's has neither a code nor the parameter's name."""
    also: dict[str, Any] = {} if wire == "anthropic" else {"param": param}
    return json_reply(400, error_body(wire, message, kind="invalid_request_error", code=code, **also))


def too_long(*, prompt: int, limit: int, wire: Wire = "chat") -> Steps:
    """A context overflow in the words of OpenAI's two wires or of Anthropic. Both numbers are tokens.

    On the Responses wire OpenAI tells no numbers.
    """
    if wire == "anthropic":
        return bad_request(f"prompt is too long: {prompt} tokens > {limit} maximum", wire=wire)
    if wire == "responses":
        words = "Your input exceeds the context window of this model. Please adjust your input and try again."
        return bad_request(words, code="context_length_exceeded", param="input")
    text = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
        f"{prompt} tokens. Please reduce the length of the messages."
    )
    return bad_request(text, code="context_length_exceeded", param="messages")


def too_long_for_gemini(*, prompt: int, limit: int) -> Steps:
    """A context overflow in Gemini's words, and in the list that its compatible endpoint wraps errors in."""
    text = f"The input token count ({prompt}) exceeds the maximum number of tokens allowed ({limit})."
    return json_reply(400, [{"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}])


def too_long_for_llama(*, prompt: int, limit: int) -> Steps:
    """A context overflow of llama.cpp: the numbers stand in fields."""
    text = "the request exceeds the available context size, try increasing it"
    numbers = {"n_prompt_tokens": prompt, "n_ctx": limit}
    error = {"code": 400, "message": text, "type": "exceed_context_size_error"} | numbers
    return json_reply(400, {"error": error})


def too_long_with_answer(*, prompt: int, answer: int, limit: int) -> Steps:
    """Prompt and answer together are too long, in the words of vLLM and DeepSeek, and in vLLM's envelope."""
    text = (
        f"This model's maximum context length is {limit} tokens. However, you requested {prompt + answer} "
        f"tokens ({prompt} in the messages, {answer} in the completion). Please reduce the length of the "
        "messages or completion."
    )
    return json_reply(400, {"object": "error", "message": text, "type": "BadRequestError", "code": 400})


def begun(*pieces: str, wire: Wire = "chat") -> Steps:
    """The head of a stream and its beginning: with `pieces` of text, if there are any, in an open block."""
    return (head(), *stream_frames(_begun(*pieces, wire=wire).begun))


def _begun(*pieces: str, wire: Wire) -> Told:
    return told(says(*pieces), wire)


def silent() -> Steps:
    """The request is taken, and then nothing."""
    return (Linger(),)


def headers_then_silent() -> Steps:
    """A good response head, and then nothing."""
    return (head(), Linger())


def headers_dripped(*, every: float = 0.1) -> Steps:
    """A response head that never ends, a byte at a time."""
    return (Send(b"HTTP/1.1 200 OK\r\nx-drip: "), Repeat((b"a",), every))


def comments_for_ever(*, every: float = 0.1) -> Steps:
    """A stream of keep-alive comments without any content."""
    return (head(), Repeat((body(b": PROCESSING\n\n").data,), every))


def closes(how: Literal["fin", "rst"] = "fin") -> Steps:
    """The connection is closed instead of an answer."""
    return (Cut(how),)


def garbage() -> Steps:
    """What answers is not HTTP."""
    return (Send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), Cut("fin"))


def web_page() -> Steps:
    """A captive portal: 200, and HTML."""
    page = (
        b"<html><head><title>Please log in</title></head><body>"
        + b"<p>canary-page</p>" * 20
        + b"</body></html>"
    )
    return raw_reply(200, page, content_type="text/html")


def bad_status_line() -> Steps:
    """HTTP by its first letters, but no status."""
    return (Send(b"HTTP/1.1 abc Whatever\r\ncontent-length: 0\r\n\r\n"), Cut("fin"))


def http2_preface() -> Steps:
    """What answers speaks HTTP/2, and says so as a client would."""
    return (Send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), Cut("fin"))


def flood_of_informational(turn: Turn, *, count: int = 50, wire: Wire = "chat") -> Steps:
    """So many 103 responses, and then a good stream."""
    hints = Send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * count)
    return (hints, head(), *stream_frames(told(turn, wire).frames), BODY_END)


def two_lengths(turn: Turn, *, wire: Wire = "chat") -> Steps:
    """A good answer whose head gives its length twice, and not the same."""
    content = json.dumps(whole(turn, wire)).encode()
    lengths = f"content-length: {len(content)}\r\ncontent-length: {len(content) + 9}\r\n\r\n"
    return (Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + lengths.encode()), Send(content))


def length_and_chunks(turn: Turn, *, wire: Wire = "chat") -> Steps:
    """A good stream in chunks whose head gives a length too."""
    fields = {"content-type": "text/event-stream", "content-length": "5", "transfer-encoding": "chunked"}
    return (head(headers=fields), *stream_frames(told(turn, wire).frames), BODY_END)


def bad_chunk_size(*pieces: str, wire: Wire = "chat") -> Steps:
    """A stream that turns into a chunk whose size is no number, after `pieces` of text if there are any."""
    return (*begun(*pieces, wire=wire), Send(b"zz\r\nhello\r\n"), Linger())


def dies_inside_chunk(*pieces: str, how: Literal["fin", "rst"] = "fin", wire: Wire = "chat") -> Steps:
    """A stream that breaks off in the middle of an HTTP chunk, after `pieces` of text if there are any."""
    half = body(_begun("never shown", wire=wire).content[-1]).data[:60]
    return (*begun(*pieces, wire=wire), Send(half), Cut(how))


def unframed(pieces: Iterable[Piece]) -> Steps:
    """A stream of these pieces whose end is told by nothing but the end of the connection."""
    content = b"".join(map(_frame, pieces))
    return (head(headers={"content-type": "text/event-stream"}), Send(content), Cut("fin"))


def without_mark(*pieces: str, finish: str | None = "stop", wire: Wire = "chat") -> Steps:
    """A stream of text that ends well as HTTP, but without its last word; None: without a reason too.

    The last word is `[DONE]`, `response.completed`, `message_stop`.
    """
    stream = told(Turn(text=pieces, finish=finish), wire)
    return (head(), *stream_frames(stream.unmarked if finish else stream.begun), BODY_END)


def falls_short(content: bytes, content_type: str, *, by: int = 50) -> Steps:
    """A body that ends before the length that its head gave."""
    fields = {"content-type": content_type, "content-length": str(len(content) + by)}
    return (head(headers=fields), Send(content), Cut("fin"))


def compressed(content: bytes, content_type: str = "text/event-stream") -> Steps:
    """A body in gzip, which nobody asked for. Cut `content` short, or let it be a bomb, to make it worse."""
    return raw_reply(200, content, content_type=content_type, content_encoding="gzip")


def endless_line(size: int, *pieces: str, wire: Wire = "chat") -> Steps:
    """A stream that turns into one line of `size` bytes, after `pieces` of text if there are any."""
    piece = body(b"x" * 65536)
    return (*begun(*pieces, wire=wire), body(b"data: "), *[piece] * (size // 65536), BODY_END)


def bad_text(text: bytes, *pieces: str, then: str = "end", wire: Wire = "chat") -> Steps:
    """A stream with these bytes in the place of a text, after `pieces` if there are any; then a good end."""
    spoiled = told(says(*pieces, "@", then), wire)
    frames = [frame.replace(b'"@"', b'"' + text + b'"') for frame in spoiled.frames]
    return (head(), *stream_frames(frames), BODY_END)


def bad_utf8(*pieces: str, then: str = "end", wire: Wire = "chat") -> Steps:
    """The same with a text that is no UTF-8."""
    return bad_text(b"\xff\xfe", *pieces, then=then, wire=wire)


def dies(pieces: Iterable[Piece], how: Ending) -> Steps:
    """A stream that breaks off after `pieces`: FIN, RST, or a well-formed end of body without a finish."""
    ending = BODY_END if how == "clean" else Cut(how)
    return (head(), *stream_frames(map(_frame, pieces)), ending)


def dies_before_content(how: Ending = "fin", *, wire: Wire = "chat") -> Steps:
    """The same after what comes before all content."""
    return dies(_begun(wire=wire).opening, how)


def dies_after_text(*pieces: str, how: Ending = "fin", wire: Wire = "chat") -> Steps:
    """The same after visible text."""
    return dies(_begun(*pieces, wire=wire).begun, how)


def error_in_stream(
    *pieces: str,
    message: str = "The server had an error",
    code: int | str | None = 500,
    kind: str = "server_error",
    wire: Wire = "chat",
) -> Steps:
    """A stream with status 200 that turns into an error, after `pieces` of text if there are any."""
    error = error_frame(wire, message, code=code, kind=kind)
    return (*begun(*pieces, wire=wire), body(error), BODY_END)


def no_json(*pieces: str, wire: Wire = "chat") -> Steps:
    """A stream that turns into something that is not JSON, after `pieces` of text if there are any."""
    return (*begun(*pieces, wire=wire), body(b"data: {oops\n\n"), BODY_END)


def _frame(piece: Piece) -> bytes:
    return piece if isinstance(piece, bytes) else sse([piece])


def stops_talking(*pieces: str, wire: Wire = "chat") -> Steps:
    """Some text, and then silence on an open connection."""
    return (*begun(*pieces, wire=wire), Linger())


def slow(turn: Turn, *, before: float, within: float, wire: Wire = "chat") -> Steps:
    """A good answer behind a silence of `before` seconds, with another of `within` behind its first text."""
    frames = told(turn, wire).frames
    first_text = len(told(Turn(reasoning=turn.reasoning, text=turn.text[:1]), wire).begun)
    return (
        Pause(before),
        head(),
        *stream_frames(frames[:first_text]),
        Pause(within),
        *stream_frames(frames[first_text:]),
        BODY_END,
    )


def paused(before: str, gate: trio.Event, after: str, *, wire: Wire = "chat") -> Steps:
    """A good answer in two halves; the second comes when the test sets `gate`."""
    frames = told(says(before, after), wire).frames
    half = len(_begun(before, wire=wire).begun)
    return (
        head(),
        *stream_frames(frames[:half]),
        Hold(gate),
        *stream_frames(frames[half:]),
        BODY_END,
    )
