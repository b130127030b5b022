"""The ways in which a provider fails, as replies for a `ScriptedProvider`."""

import json
from collections.abc import Iterable
from typing import Literal

import trio

from tests.support.chunks import DONE, Chunk, Turn, error_chunk, finish_chunk, role_chunk, sse, text_chunks
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
    stream_of,
    stream_reply,
)

Steps = tuple[Step, ...]
Ending = Literal["fin", "rst", "clean"]


def status(
    code: int, message: str = "scripted failure", *, kind: str = "server_error", **headers: str
) -> Steps:
    """An error status with OpenAI's envelope. Header names are given with underscores."""
    return json_reply(
        code, {"error": {"message": message, "type": kind, "param": None, "code": None}}, **headers
    )


def bad_request(message: str, *, code: str | None = None, param: str | None = None) -> Steps:
    """A 400 with OpenAI's envelope."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json_reply(400, {"error": error})


def too_long(*, prompt: int, limit: int) -> Steps:
    """A context overflow in OpenAI's words. Both numbers are tokens."""
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


def flood_of_informational(turn: Turn, *, count: int = 50) -> Steps:
    """So many 103 responses, and then a good stream."""
    return (Send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * count), *stream_reply(turn.chunks()))


def two_lengths(turn: Turn) -> Steps:
    """A good answer whose head gives its length twice, and not the same."""
    content = json.dumps(turn.completion()).encode()
    lengths = f"content-length: {len(content)}\r\ncontent-length: {len(content) + 9}\r\n\r\n"
    return (Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + lengths.encode()), Send(content))


def length_and_chunks(turn: Turn) -> Steps:
    """A good stream in chunks whose head gives a length too."""
    fields = {"content-type": "text/event-stream", "content-length": "5", "transfer-encoding": "chunked"}
    return (head(headers=fields), *stream_of(turn.chunks()), body(DONE), BODY_END)


def bad_chunk_size(*pieces: str) -> Steps:
    """A stream that turns into a chunk whose size is no number, after `pieces` of text if there are any."""
    return (head(), *stream_of([role_chunk(), *text_chunks(*pieces)]), Send(b"zz\r\nhello\r\n"), Linger())


def dies_inside_chunk(*pieces: str, how: Literal["fin", "rst"] = "fin") -> Steps:
    """A stream that breaks off in the middle of an HTTP chunk, after `pieces` of text if there are any."""
    chunks = [role_chunk(), *text_chunks(*pieces)]
    half = body(sse(text_chunks("never shown"))).data[:60]
    return (head(), *stream_of(chunks), Send(half), Cut(how))


def unframed(chunks: Iterable[Chunk], *, done: bytes = b"") -> Steps:
    """A stream whose end is told by nothing but the end of the connection. `done` is its last bytes."""
    return (head(headers={"content-type": "text/event-stream"}), Send(sse(chunks) + done), Cut("fin"))


def without_done(*pieces: str, finish: str | None = "stop") -> Steps:
    """A stream of text that ends well as HTTP, but without `[DONE]`; None: without a finish reason too."""
    chunks = [role_chunk(), *text_chunks(*pieces), *([finish_chunk(finish)] if finish else [])]
    return (head(), *stream_of(chunks), BODY_END)


def falls_short(content: bytes, content_type: str, *, by: int = 50) -> Steps:
    """A body that ends before the length that its head gave."""
    fields = {"content-type": content_type, "content-length": str(len(content) + by)}
    return (head(headers=fields), Send(content), Cut("fin"))


def compressed(content: bytes, content_type: str = "text/event-stream") -> Steps:
    """A body in gzip, which nobody asked for. Cut `content` short, or let it be a bomb, to make it worse."""
    return raw_reply(200, content, content_type=content_type, content_encoding="gzip")


def endless_line(size: int, *pieces: str) -> Steps:
    """A stream that turns into one line of `size` bytes, after `pieces` of text if there are any."""
    piece = body(b"x" * 65536)
    chunks = [role_chunk(), *text_chunks(*pieces)]
    return (head(), *stream_of(chunks), body(b"data: "), *[piece] * (size // 65536), BODY_END)


def bad_utf8(*pieces: str, then: str = "end") -> Steps:
    """A stream with a text that is no UTF-8, after `pieces` of text if there are any, and then a good end."""
    text = sse(text_chunks("@")).replace(b"@", b"\xff\xfe")
    rest = [*text_chunks(then), finish_chunk("stop")]
    chunks = [role_chunk(), *text_chunks(*pieces)]
    return (head(), *stream_of(chunks), body(text), *stream_of(rest), body(DONE), BODY_END)


def dies(chunks: Iterable[Chunk], how: Ending) -> Steps:
    """A stream that breaks off after `chunks`: FIN, RST, or a well-formed end of body without a finish."""
    ending = BODY_END if how == "clean" else Cut(how)
    return (head(), *stream_of(chunks), ending)


def dies_before_content(how: Ending = "fin") -> Steps:
    """The same after the role chunk alone."""
    return dies([role_chunk()], how)


def dies_after_text(*pieces: str, how: Ending = "fin") -> Steps:
    """The same after visible text."""
    return dies([role_chunk(), *text_chunks(*pieces)], how)


def error_in_stream(*pieces: str, message: str = "The server had an error", code: int | None = 500) -> Steps:
    """A stream with status 200 that turns into an error object, after `pieces` of text if there are any."""
    chunks = [role_chunk(), *text_chunks(*pieces), error_chunk(message, code=code)]
    return (head(), *stream_of(chunks), BODY_END)


def no_json(*pieces: str) -> Steps:
    """A stream that turns into something that is not JSON, after `pieces` of text if there are any."""
    chunks = [role_chunk(), *text_chunks(*pieces)]
    return (head(), *stream_of(chunks), body(b"data: {oops\n\n"), BODY_END)


def stops_talking(*pieces: str) -> Steps:
    """Some text, and then silence on an open connection."""
    return (head(), *stream_of([role_chunk(), *text_chunks(*pieces)]), Linger())


def slow(turn: Turn, *, before: float, within: float) -> Steps:
    """A good answer behind a silence of `before` seconds, with another of `within` behind its first text."""
    chunks = turn.chunks()
    first_text = next(place for place, each in enumerate(chunks) if _text_of(each)) + 1
    return (
        Pause(before),
        head(),
        *stream_of(chunks[:first_text]),
        Pause(within),
        *stream_of(chunks[first_text:]),
        body(DONE),
        BODY_END,
    )


def paused(before: str, gate: trio.Event, after: str) -> Steps:
    """A good answer in two halves; the second comes when the test sets `gate`."""
    rest = [*text_chunks(after), finish_chunk("stop")]
    return (
        head(),
        *stream_of([role_chunk(), *text_chunks(before)]),
        Hold(gate),
        *stream_of(rest),
        body(DONE),
        BODY_END,
    )


def _text_of(piece: Chunk) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in piece["choices"])
