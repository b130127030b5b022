"""What the canned upstream answers: bytes made once, chosen by the name of the model that is asked for.

    burst-100          100 words; as a stream all of them in one send
    burst-100x40       the same, each word 40 bytes long
    paced-100-at-50    100 words, as a stream 50 of them a second; each carries the instant it was sent
    held-20            20 words; as a stream the first, then silence until the upstream is told to go on

A prefix such as `openai/` is allowed. Whoever does not ask for a stream gets the same words as one whole
JSON answer, at once. Every word is `word-` and 18 digits: its number, or, where it is paced, CLOCK_MONOTONIC
in nanoseconds at its sending. The last word is followed by `end-of-answer`.
"""

import functools
import re

import msgspec
from msgspec import Struct

WORD = b"word-"
STAMP = re.compile(rb"word-(\d{18})")
STAMP_BYTES = 23  # of a whole `word-` with its digits
END_OF_ANSWER = b"end-of-answer"
PROMPT_TOKENS = 19_000
_NAME = re.compile(r"(?P<kind>burst|paced|held)-(?P<words>\d+)(?:x(?P<bytes>\d+))?(?:-at-(?P<rate>\d+))?$")


class Shape(Struct, frozen=True, kw_only=True):
    """How many words an answer has and how it comes. `rate`: words a second, 0 for all at once."""

    words: int
    word_bytes: int
    rate: int
    held: bool


class Stream(Struct, frozen=True, kw_only=True):
    """A streamed answer: `opening` goes out with the head, `words` and `ending` follow; all HTTP-chunked.

    A word is (before the digits, after them). Of `words`, the last one is followed by `END_OF_ANSWER`.
    """

    shape: Shape
    opening: bytes
    word: tuple[bytes, bytes]
    last_word: tuple[bytes, bytes]
    ending: bytes

    def numbered(self, number: int, digits: int | None = None) -> bytes:
        """Word `number` (from 0) as one HTTP chunk, with `digits` or else its number in it."""
        before, after = self.last_word if number == self.shape.words - 1 else self.word
        return b"%b%018d%b" % (before, number if digits is None else digits, after)


def shape_of(model: str) -> Shape | None:
    """The shape that a model's name means; None for a name that means none.

    >>> shape_of("openai/paced-100-at-50").rate
    50
    """
    found = _NAME.search(model)
    if found is None or int(found["words"]) == 0:
        return None
    paced = found["kind"] == "paced"
    if paced != (found["rate"] is not None) or (paced and int(found["rate"]) == 0):
        return None
    return Shape(
        words=int(found["words"]),
        word_bytes=int(found["bytes"] or 0),
        rate=int(found["rate"] or 0),
        held=found["kind"] == "held",
    )


@functools.lru_cache(maxsize=64)
def whole(model: str, shape: Shape) -> bytes:
    """Head and body of an answer without stream."""
    words = [_word(str(number).zfill(18), shape, number) for number in range(shape.words)]
    message = {"role": "assistant", "content": "".join(words), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = _common(model, "chat.completion") | {"choices": [choice], "usage": _usage(shape)}
    return json_answer(200, body)


@functools.lru_cache(maxsize=64)
def stream(model: str, shape: Shape, *, usage: str) -> Stream:
    """A streamed answer; `usage` is "told" or "untold": some clients ask for it, others cannot read it."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    role = _chunk(model, {"role": "assistant", "content": ""})
    ending = _chunk(model, {}, finish_reason="stop")
    if usage == "told":
        ending += _event(_common(model, "chat.completion.chunk") | {"choices": [], "usage": _usage(shape)})
    return Stream(
        shape=shape,
        opening=head + role,
        word=_around_digits(model, shape, number=-1),
        last_word=_around_digits(model, shape, number=shape.words - 1),
        ending=ending + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n",
    )


@functools.lru_cache(maxsize=64)
def burst(model: str, shape: Shape, *, usage: str) -> bytes:
    """A streamed answer as one piece of bytes, head and all."""
    answer = stream(model, shape, usage=usage)
    return answer.opening + b"".join(map(answer.numbered, range(shape.words))) + answer.ending


def json_answer(status: int, body: object) -> bytes:
    """Head and body of any answer in JSON."""
    data = msgspec.json.encode(body)
    head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, b"OK" if status == 200 else b"Not Found", len(data)) + data


def models_answer() -> bytes:
    """The answer to GET /v1/models."""
    entry = {"id": "burst-100", "object": "model", "created": 1_700_000_000, "owned_by": "benchmarks"}
    return json_answer(200, {"object": "list", "data": [entry]})


def unknown_model(model: str) -> bytes:
    """The answer where a name means no shape; it spoils whatever is measured."""
    told = {"message": f"no shape has the name {model!r}", "type": "invalid_request_error"}
    return json_answer(404, {"error": told | {"param": "model", "code": "model_not_found"}})


def _word(digits: str, shape: Shape, number: int) -> str:
    text = f"word-{digits} "
    padding = "." * max(0, shape.word_bytes - len(text))
    return text + padding + (END_OF_ANSWER.decode() if number == shape.words - 1 else "")


def _around_digits(model: str, shape: Shape, *, number: int) -> tuple[bytes, bytes]:
    # The length of an HTTP chunk stands before it, so the digits' number is fixed.
    mark = "#" * 18
    before, after = _chunk(model, {"content": _word(mark, shape, number)}).split(mark.encode())
    return before, after


def _usage(shape: Shape) -> dict[str, int]:
    told = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": shape.words}
    return told | {"total_tokens": PROMPT_TOKENS + shape.words}


def _common(model: str, kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-canned", "object": kind, "created": 1_700_000_000, "model": model}


def _chunk(model: str, delta: dict[str, str], *, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event(_common(model, "chat.completion.chunk") | {"choices": [choice]})


def _event(data: dict[str, object]) -> bytes:
    return _framed(b"data: " + msgspec.json.encode(data) + b"\n\n")


def _framed(data: bytes) -> bytes:
    """One HTTP chunk: providers flush each event, so each is a chunk of its own."""
    return b"%x\r\n%b\r\n" % (len(data), data)
