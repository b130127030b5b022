"""The load generator knows a whole answer from one that is not, however its bytes arrive."""

import time
from collections.abc import Iterator

import pytest

from benchmarks.answers import burst, shape_of, stream, whole
from benchmarks.received import Answer, Expected, Samples, Wrong

NAME = "burst-3"
EXPECTED = Expected(words=3, ends_with=b"[DONE]", within=1.0)


def _stream() -> bytes:
    shape = shape_of(NAME)
    assert shape is not None
    return burst(NAME, shape, usage="told")


def _whole() -> bytes:
    shape = shape_of(NAME)
    assert shape is not None
    return whole(NAME, shape)


def _split(data: bytes, size: int) -> Iterator[memoryview]:
    for at in range(0, len(data), size):
        yield memoryview(data)[at : at + size]


def _heard(data: bytes, *, size: int = 1 << 20, expected: Expected = EXPECTED) -> tuple[Answer, Samples]:
    samples = Samples()
    answer = Answer(expected, samples)
    for part in _split(data, size):
        assert not answer.whole
        answer.add(part)
    return answer, samples


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize(("data", "ends_with"), [(_stream(), b"[DONE]"), (_whole(), b'"stop"')])
def test_an_answer_is_whole_with_its_last_byte(data: bytes, ends_with: bytes, size: int) -> None:
    expected = Expected(words=3, ends_with=ends_with, within=1.0)
    answer, samples = _heard(data, size=size, expected=expected)
    assert answer.whole
    assert not answer.closes
    answer.check()
    for times in (samples.to_head, samples.to_first_content, samples.to_end):
        assert len(times) == 1
    assert samples.lateness == []


def _in_chunks_of(size: int) -> bytes:
    head, body = _stream().split(b"\r\n\r\n", 1)
    content = b"".join(body.split(b"\r\n")[1::2])
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in _split(content, size))
    return head + b"\r\n\r\n" + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [7, 20, 300])
def test_words_that_http_chunks_cut_in_two_are_counted(size: int) -> None:
    answer, _ = _heard(_in_chunks_of(size))
    assert answer.whole
    answer.check()


def test_an_answer_without_one_word_in_one_piece_cannot_be_timed() -> None:
    answer, _ = _heard(_in_chunks_of(1))
    assert answer.whole
    with pytest.raises(Wrong, match="in one piece"):
        answer.check()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_stream().replace(b"200 OK", b"503 No"), "not status 200"),
        (_stream().replace(b"word-", b"wor--", 1), "2 words where 3"),
        (_stream().replace(b"end-of-answer", b"end-of-nobody"), "end is missing"),
        (_stream().replace(b"[DONE]", b"[OVER]"), "end is missing"),
        (_stream().replace(b"word-", b"longer-word", 1), "no HTTP chunk begins with"),
    ],
)
def test_a_wrong_answer_is_found_out(data: bytes, says: str) -> None:
    answer, _ = _heard(data)
    assert answer.whole
    with pytest.raises(Wrong, match=says):
        answer.check()


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\ncontent-", _stream()[:-5], _whole()[:-1]])
def test_an_answer_whose_connection_ends_too_early_is_cut_off(data: bytes) -> None:
    answer, _ = _heard(data)
    assert not answer.whole
    with pytest.raises(Wrong, match="in the middle"):
        answer.end()


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    head = b"HTTP/1.0 200 OK\r\n\r\n"
    answer, samples = _heard(head + b"word-1 word-2 word-3 end-of-answer [DONE]")
    assert not answer.whole
    answer.end()
    assert answer.whole
    assert answer.closes
    answer.check()
    assert len(samples.to_end) == 1


def test_a_server_that_means_to_close_is_understood() -> None:
    answer, _ = _heard(_stream().replace(b"cache-control: no-cache", b"Connection: close"))
    assert answer.closes


@pytest.mark.parametrize("size", [1, 40, 1 << 20])
def test_lateness_is_the_time_since_the_stamp_of_each_word(size: int) -> None:
    shape = shape_of("paced-3-at-9")
    assert shape is not None
    answer = stream("paced-3-at-9", shape, usage="untold")
    sent_at = time.monotonic_ns() - 2_000_000_000
    words = b"".join(answer.numbered(number, sent_at) for number in range(3))
    _, samples = _heard(answer.opening + words + answer.ending, size=size)
    assert len(samples.lateness) == 3
    assert all(2.0 <= late < 4.0 for late in samples.lateness)


def test_an_answer_is_late_after_its_time() -> None:
    samples = Samples()
    assert Answer(Expected(words=1, ends_with=b"", within=-1.0), samples).is_late()
    assert not Answer(Expected(words=1, ends_with=b"", within=60.0), samples).is_late()
