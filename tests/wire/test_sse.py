import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from ccproxy_trio.wire.sse import Decoder, SseEvent, encode


def decode(*reads: bytes, **caps: int) -> list[SseEvent]:
    decoder = Decoder(**caps)
    return [event for data in reads for event in decoder.feed(data)] + decoder.end()


def outcome(*reads: bytes, **caps: int) -> tuple[list[SseEvent], FaultKind | None]:
    """All events, and the fault that followed them."""
    decoder, events = Decoder(**caps), []
    try:
        for data in reads:
            events += decoder.feed(data)
        events += decoder.end()
    except UpstreamFault as fault:
        return events, fault.kind
    return events, None


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [SseEvent(None, b"a")]),
        (b"data:a\r\n\r\ndata: b\r\n\r\n", [SseEvent(None, b"a"), SseEvent(None, b"b")]),
        (b"data: a\r\rdata: b\n\n", [SseEvent(None, b"a"), SseEvent(None, b"b")]),
        (b"data: a\r\ndata: b\r\n\r\n", [SseEvent(None, b"a\nb")]),
        (b"data:  a\n\n", [SseEvent(None, b" a")]),
        (b"data: a\ndata: b\ndata\n\n", [SseEvent(None, b"a\nb\n")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [SseEvent("error", b"a"), SseEvent(None, b"b")]),
        (b"event: ping\n\ndata: b\n\n", [SseEvent(None, b"b")]),
        (b": comment\nid: 7\nretry: 10\nnonsense\ndata: a\n\n", [SseEvent(None, b"a")]),
        (b"\n\n\r\n\n", []),
        (b"data:\n\n", [SseEvent(None, b"")]),
        (b"\xef\xbb\xbfdata: a\n\n", [SseEvent(None, b"a")]),
        (b'error: {"code":500}\n\n', [SseEvent("error", b'{"code":500}')]),
        (b'{"error": 5}', [SseEvent(None, b'{"error": 5}')]),
        (
            b'{\n "data":\ndata: 5\n}\n\ndata: a\n\n',
            [SseEvent(None, b'{\n "data":\ndata: 5\n}'), SseEvent(None, b"a")],
        ),
        (b": x\n{}\r\n\r\n{}\n", [SseEvent(None, b"{}"), SseEvent(None, b"{}")]),
        (b"data: a\n{}\n\n", [SseEvent(None, b"a")]),
        (b"data: a", [SseEvent(None, b"a")]),
        (b"data: a\ndata: b\n", [SseEvent(None, b"a\nb")]),
        (b"event: caf\xff\ndata: a\n\n", [SseEvent("caf\ufffd", b"a")]),
        ("data: \u2028\u0085\x0b\x0c\n\n".encode(), [SseEvent(None, "\u2028\u0085\x0b\x0c".encode())]),
        (b"", []),
    ],
)
def test_streams_decode_the_same_whole_and_byte_by_byte(stream: bytes, events: list[SseEvent]) -> None:
    assert decode(stream) == events
    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == events
    for at in range(len(stream)):
        assert decode(stream[:at], b"", stream[at:]) == events


def test_an_event_is_given_out_with_the_line_that_ends_it() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\r") == [SseEvent(None, b"a")]
    assert decoder.feed(b"\ndata: b\n\n") == [SseEvent(None, b"b")]


@given(
    st.lists(st.sampled_from([b"data: a", b"data:", b"event: x", b":", b"", b"\n", b"\r", b"\r\n", b"\xff"])),
    st.lists(st.integers(min_value=0, max_value=60)),
)
def test_any_cut_gives_the_same_events_and_the_same_fault(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    reads = [stream[start:stop] for start, stop in pairwise(edges)]
    caps = {"max_line_bytes": 12, "max_payload_bytes": 6}
    assert outcome(*reads, **caps) == outcome(stream, **caps)


@given(st.binary())
def test_any_bytes_give_events_or_a_protocol_fault(stream: bytes) -> None:
    assert outcome(stream, max_line_bytes=20, max_payload_bytes=10)[1] in (None, FaultKind.PROTOCOL)


def test_a_line_past_its_cap_is_a_fault_before_it_ends() -> None:
    decoder = Decoder(max_line_bytes=10)
    decoder.feed(b"data: 6789")
    with pytest.raises(UpstreamFault) as caught:
        decoder.feed(b"0")
    assert caught.value.kind is FaultKind.PROTOCOL
    assert decode(b"data: 6789\n\n", max_line_bytes=10) == [SseEvent(None, b"6789")]


def test_a_payload_past_its_cap_is_a_fault() -> None:
    assert decode(b"data: 12\ndata: 45\n\n", max_payload_bytes=5) == [SseEvent(None, b"12\n45")]
    assert outcome(b"data: 12\ndata: 456\n\n", max_payload_bytes=5) == ([], FaultKind.PROTOCOL)
    assert outcome(b"data: 12\ndata: 456", max_payload_bytes=5) == ([], FaultKind.PROTOCOL)


def test_events_before_a_fault_are_given_out_first() -> None:
    decoder = Decoder(max_line_bytes=10)
    assert decoder.feed(b"data: a\n\ndata: 0123456789\n\n") == [SseEvent(None, b"a")]
    with pytest.raises(UpstreamFault):
        decoder.feed(b"data: b\n\n")
    with pytest.raises(UpstreamFault):
        decoder.end()


def test_a_megabyte_of_events_takes_little_time_however_it_arrives() -> None:
    stream = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n' * 17_000
    began = time.process_time()
    assert len(decode(stream)) == 17_000
    assert time.process_time() - began < 0.5
    line = b"data: " + b"x" * 1_000_000
    began = time.process_time()
    assert len(decode(*(line[at : at + 10] for at in range(0, len(line), 10)))) == 1  # quadratic: minutes
    assert time.process_time() - began < 2


def test_encoded_events_decode_to_themselves() -> None:
    stream = encode(b'{"a":1}') + encode(b"[DONE]", "done")
    assert decode(stream) == [SseEvent(None, b'{"a":1}'), SseEvent("done", b"[DONE]")]
