"""A stream in frames: the same events as any decoder's, and not a byte less than what came."""

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccproxy_trio.translate.native.frames import DELTA, Frame, FrameDecoder, Run, named
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import Decoder, SseEvent

ONE = b'event: content_block_delta\ndata: {"index":0}\n\n'


def frames_of(*reads: bytes, **caps: int) -> tuple[list[Frame], FaultKind | None]:
    """All frames, and the fault that followed them."""
    decoder, frames = FrameDecoder(**caps), []
    try:
        for data in reads:
            frames += decoder.feed(data)
        frames += decoder.end()
    except UpstreamFault as fault:
        return _frames(frames), fault.kind
    return _frames(frames), None


def _frames(events: Sequence[SseEvent]) -> list[Frame]:
    assert all(isinstance(event, Frame) for event in events)
    return [event for event in events if isinstance(event, Frame)]


def events_in(frames: Sequence[Frame]) -> list[tuple[str | None, bytes]]:
    """What the frames say, those of a run one by one."""
    told: list[tuple[str | None, bytes]] = []
    for frame in frames:
        if isinstance(frame, Run):
            told += [(frame.event, line) for line in frame.data.split(b"\n\n")]
        elif frame.data:
            told.append((frame.event, frame.data))
    return told


def raws(frames: Sequence[Frame]) -> bytes:
    return b"".join(frame.raw for frame in frames)


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(edges)]


@pytest.mark.parametrize(
    ("stream", "raw"),
    [
        (b"data: a\n\n", [b"data: a\n\n"]),
        (b"data:a\r\n\r\ndata: b\r\n\r\n", [b"data:a\r\n\r\n", b"data: b\r\n\r\n"]),
        (b"data: a\r\rdata: b\n\n", [b"data: a\r\r", b"data: b\n\n"]),
        (b": hello\n\n: again\n\n", [b": hello\n\n", b": again\n\n"]),
        (b": why\nid: 7\ndata: a\n\n", [b": why\nid: 7\ndata: a\n\n"]),
        (b"\n\ndata: a\n\n", [b"\n", b"\n", b"data: a\n\n"]),
        (b"event: ping\n\n", [b"event: ping\n\n"]),
        (b"data: a", [b"data: a\n\n"]),
        (b"data: a\n", [b"data: a\n\n"]),
        (b"data: a\r", [b"data: a\r\n"]),
        (b": open", [b": open\n\n"]),
        (b"", []),
        (ONE, [ONE]),
        (b": x\n\n" + ONE + ONE + b"data: y\n\n", [b": x\n\n", ONE + ONE, b"data: y\n\n"]),
    ],
)
def test_a_frame_is_everything_up_to_an_empty_line(stream: bytes, raw: list[bytes]) -> None:
    frames, fault = frames_of(stream)
    assert fault is None
    assert [frame.raw for frame in frames] == raw


def test_deltas_behind_each_other_are_one_run_and_one_alone_is_none() -> None:
    (alone,), _ = frames_of(ONE)
    assert alone == Frame(DELTA, b'{"index":0}', ONE)
    (run,), _ = frames_of(ONE * 3)
    assert isinstance(run, Run)
    assert run.data.split(b"\n\n") == [b'{"index":0}'] * 3


def test_a_run_goes_on_in_the_middle_of_a_read_that_cuts_deltas() -> None:
    frames, _ = frames_of((ONE * 4)[:-9], (ONE * 4)[-9:])
    assert [frame.raw for frame in frames] == [ONE * 3, ONE]


def test_a_carriage_return_in_the_usual_spelling_ends_a_line_all_the_same() -> None:
    frames, _ = frames_of(ONE + b'event: content_block_delta\ndata: {"index":\r0}\n\n')
    assert events_in(frames) == [(DELTA, b'{"index":0}'), (DELTA, b'{"index":')]


lines = [b"data: a", b"data:", b"event: x", b"event: content_block_delta", b": why", b"id: 1", b"{}", b"\xff"]
pieces = st.lists(st.sampled_from([*lines, b"", b"\n", b"\r", b"\r\n", b"\n\n", ONE, b"\xef\xbb\xbf"]))


@settings(max_examples=60)
@given(pieces, st.lists(st.integers(min_value=0), max_size=8))
def test_frames_say_what_events_say_and_lose_no_byte_however_they_are_cut(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    plain = Decoder()
    expected = [(event.event, event.data) for event in (*plain.feed(stream), *plain.end())]
    for reads in ([stream], pieces_of(stream, cuts), [stream[at : at + 1] for at in range(len(stream))]):
        frames, fault = frames_of(*reads)
        assert fault is None
        assert [event for event in events_in(frames) if event[1]] == [event for event in expected if event[1]]
        joined = raws(frames)
        assert joined.startswith(stream)
        assert joined[len(stream) :] in (b"", b"\n", b"\n\n")


@settings(max_examples=40)
@given(pieces, st.lists(st.integers(min_value=0), max_size=8))
def test_a_fault_comes_behind_the_same_frames_however_they_are_cut(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    caps = {"max_line_bytes": 50, "max_payload_bytes": 14}
    whole, fault = frames_of(stream, **caps)
    cut, also = frames_of(*pieces_of(stream, cuts), **caps)
    assert also == fault
    assert events_in(cut) == events_in(whole)


def test_a_line_past_its_cap_is_a_fault_behind_what_came_before() -> None:
    decoder = FrameDecoder(max_line_bytes=10)
    assert _frames(decoder.feed(b"data: a\n\ndata: 0123456789\n\n")) == [Frame(None, b"a", b"data: a\n\n")]
    with pytest.raises(UpstreamFault) as caught:
        decoder.feed(b"data: b\n\n")
    assert caught.value.kind is FaultKind.PROTOCOL
    with pytest.raises(UpstreamFault):
        decoder.end()


def test_a_run_of_deltas_is_held_to_the_caps_too() -> None:
    assert frames_of(ONE * 2, max_line_bytes=20)[1] is FaultKind.PROTOCOL
    assert frames_of(ONE * 2, max_payload_bytes=10)[1] is FaultKind.PROTOCOL
    assert frames_of(ONE * 2, max_payload_bytes=11)[1] is None


def test_comments_without_end_are_a_fault() -> None:
    decoder = FrameDecoder()
    comments = (b": " + b"x" * 1000 + b"\n") * 3000
    for _ in range(3):
        assert decoder.feed(comments) == []
    with pytest.raises(UpstreamFault) as caught:
        decoder.feed(comments)
    assert caught.value.kind is FaultKind.PROTOCOL
    assert "frame" in str(caught.value)


def test_a_large_result_of_a_server_tool_is_one_line_and_passes() -> None:
    large = b"data: " + b"x" * (5 * 2**20) + b"\n\n"
    assert raws(frames_of(large)[0]) == large


def test_megabytes_in_little_pieces_take_little_time() -> None:
    stream = b"data: " + b"x" * 3_000_000 + b"\n\n"
    began_at = time.process_time()
    frames, _ = frames_of(*(stream[at : at + 150] for at in range(0, len(stream), 150)))
    assert raws(frames) == stream
    assert time.process_time() - began_at < 10.0


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: {}\n\n", b"event: ping\ndata: {}\n\n"),
        (b": why\r\ndata:{}\r\n\r\n", b"event: ping\n: why\r\ndata:{}\r\n\r\n"),
        (b"event: message\ndata: {}\nid: 1\n\n", b"event: ping\ndata: {}\nid: 1\n\n"),
        (b"{\n}\n\n", b"event: ping\ndata: {\ndata: }\n\n"),
    ],
)
def test_an_event_gets_its_name_and_keeps_everything_else(raw: bytes, expected: bytes) -> None:
    (frame,), _ = frames_of(raw)
    again = named(frame, "ping")
    assert again.raw == expected
    assert events_in(frames_of(again.raw)[0]) == [("ping", frame.data)]
