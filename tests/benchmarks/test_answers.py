"""The canned answers are OpenAI's, framed as HTTP wants it, and as long as the model's name says."""

import h11
import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from benchmarks.answers import (
    END_OF_ANSWER,
    STAMP,
    WORD,
    Shape,
    burst,
    json_answer,
    models_answer,
    shape_of,
    stream,
    unknown_model,
    whole,
)


def _shape(name: str) -> Shape:
    shape = shape_of(name)
    assert shape is not None
    return shape


def _read(response: bytes) -> tuple[int, bytes]:
    """Status and body, and that the response ends where its bytes do."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(response)
    head = connection.next_event()
    assert isinstance(head, h11.Response)
    body = bytearray()
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)
    return head.status_code, bytes(body)


def _chunks(response: bytes) -> list[ChatCompletionChunk]:
    status, body = _read(response)
    assert status == 200
    *events, done, rest = body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [ChatCompletionChunk.model_validate_json(event.removeprefix(b"data: ")) for event in events]


def _text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("burst-100", Shape(words=100, word_bytes=0, rate=0, held=False)),
        ("burst-7x40", Shape(words=7, word_bytes=40, rate=0, held=False)),
        ("paced-9-at-50", Shape(words=9, word_bytes=0, rate=50, held=False)),
        ("paced-9x64-at-50", Shape(words=9, word_bytes=64, rate=50, held=False)),
        ("held-2", Shape(words=2, word_bytes=0, rate=0, held=True)),
        ("openai/held-2", Shape(words=2, word_bytes=0, rate=0, held=True)),
        ("gpt-5", None),
        ("burst-0", None),
        ("burst-5-at-5", None),
        ("paced-5", None),
        ("paced-5-at-0", None),
        ("burst-5-mini", None),
    ],
)
def test_a_model_s_name_means_a_shape_or_none(name: str, shape: Shape | None) -> None:
    assert shape_of(name) == shape


@pytest.mark.parametrize("name", ["burst-1", "burst-5", "burst-5x40"])
def test_stream_and_whole_answer_say_the_same_words(name: str) -> None:
    shape = _shape(name)
    chunks = _chunks(burst(name, shape, usage="untold"))
    status, body = _read(whole(name, shape))
    message = ChatCompletion.model_validate_json(body)
    assert (status, message.choices[0].finish_reason) == (200, "stop")
    assert message.choices[0].message.content == _text(chunks)
    assert _text(chunks).count(WORD.decode()) == shape.words
    assert _text(chunks).endswith(END_OF_ANSWER.decode())
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {message.model} == {name}


def test_words_are_as_long_as_asked_for() -> None:
    text = _text(_chunks(burst("burst-3x50", _shape("burst-3x50"), usage="untold")))
    assert len(text) == 3 * 50 + len(END_OF_ANSWER)


def test_a_stream_tells_its_usage_only_to_who_asked() -> None:
    shape = _shape("burst-5")
    told = _chunks(burst("burst-5", shape, usage="told"))[-1]
    assert told.choices == []
    assert told.usage is not None
    assert told.usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in _chunks(burst("burst-5", shape, usage="untold")))


def test_a_word_carries_the_digits_it_is_given_or_else_its_number() -> None:
    answer = stream("burst-3", _shape("burst-3"), usage="untold")
    assert STAMP.findall(answer.numbered(1)) == [b"%018d" % 1]
    assert STAMP.findall(answer.numbered(1, 123456789012)) == [b"%018d" % 123456789012]
    assert END_OF_ANSWER in answer.numbered(2)
    assert END_OF_ANSWER not in answer.numbered(1)


def test_other_answers_are_json() -> None:
    assert _read(unknown_model("x"))[0] == 404
    status, body = _read(models_answer())
    assert status == 200
    assert msgspec.json.decode(body)["object"] == "list"
    assert _read(json_answer(200, [1])) == (200, b"[1]")
