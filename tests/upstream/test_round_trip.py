"""One round trip on one link: every framing, whole, byte by byte and cut at random; every limit."""

from collections.abc import Callable

import h11
import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from ccproxy_trio.upstream.transport import round_trip as under_test
from ccproxy_trio.upstream.transport.chunks import PlainChunks, Taken
from ccproxy_trio.upstream.transport.limits import Limits
from ccproxy_trio.upstream.transport.round_trip import RoundTrip
from tests.support.links import Script, cut, one_by_one

Cutting = Callable[[bytes], list[bytes]]
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Outcome(Struct):
    """How a round trip went."""

    status: int | None = None
    body: bytes = b""
    items: int = 0
    error: str | None = None
    reusable: bool = False
    told: bytes = b""


async def exchanged(
    pieces: list[bytes], *, method: str = "POST", stays: bool = False, **limits: float
) -> Outcome:
    peer, outcome = Script(pieces, stays=stays), Outcome()
    trip = RoundTrip(peer.link(), Limits(**limits))
    request = h11.Request(method=method, target="/", headers=[("host", "x"), ("content-length", "2")])
    try:
        with trio.fail_after(20):
            head = await trip.ask(request, b"{}")
        outcome.status = head.status_code
        while data := await trip.read():
            outcome.body += data
            outcome.items += 1
        assert trip.over
        assert await trip.read() == b""
    except httpx.TransportError as error:
        outcome.error = f"{type(error).__name__}: {error}"
    outcome.reusable = trip.over and trip.is_reusable
    outcome.told = peer.told
    return outcome


@pytest.mark.parametrize("cutting", [lambda data: [data], one_by_one], ids=["whole", "bytes"])
@pytest.mark.parametrize(
    ("answer", "status", "body", "reusable"),
    [
        (OK + b"content-length: 5\r\n\r\nhello", 200, b"hello", True),
        (OK + b"content-length: 0\r\n\r\n", 200, b"", True),
        (CHUNKED + b"2\r\nhe\r\n003\r\nllo\r\n0\r\n\r\n", 200, b"hello", True),
        (CHUNKED + b"2;a=b\r\nhe\r\n3 \r\nllo\r\n0\r\nx-trailer: 1\r\n\r\n", 200, b"hello", True),
        (CHUNKED + b"A\r\n0123456789\r\n00\r\n\r\n", 200, b"0123456789", True),
        (OK + b"\r\nto the end", 200, b"to the end", False),
        (b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold", 200, b"old", False),
        (OK + b"connection: close\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", False),
        (b"HTTP/1.1 204 No\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Same\r\ncontent-length: 9\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 304 Same\r\ntransfer-encoding: chunked\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 304 Same\r\ntransfer-encoding: chunked\r\n\r\n1\r\nmore", 304, b"", False),
        (
            b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hint\r\nlink: x\r\n\r\n"
            + OK
            + b"content-length: 1\r\n\r\nx",
            200,
            b"x",
            True,
        ),
        (OK + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
        (OK + b"content-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n", 200, b"x", False),
        (CHUNKED + b"1\r\nx\r\n0\r\n\r\nmore", 200, b"x", False),
        (
            OK + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            200,
            b"x",
            False,
        ),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
        (b"HTTP/1.1 200 OK\ncontent-length: 1\n\nx", 200, b"x", True),
    ],
)
async def test_an_answer_is_read_as_it_is_framed(
    cutting: Cutting, answer: bytes, status: int, body: bytes, reusable: bool
) -> None:
    outcome = await exchanged(cutting(answer))
    assert (outcome.status, outcome.body, outcome.error) == (status, body, None)
    # Cut into bytes, what follows an answer has not come yet; the pool finds it unread on the link.
    has_more = answer.endswith((b"more", b"xHTTP/1.1 200 OK\r\n"))
    assert outcome.reusable == (reusable or (cutting is one_by_one and has_more))


@pytest.mark.parametrize("framing", [b"content-length: 9", b"transfer-encoding: chunked"])
async def test_the_answer_to_head_has_no_body(framing: bytes) -> None:
    outcome = await exchanged([OK + framing + b"\r\n\r\n"], method="HEAD", stays=True)
    assert (outcome.body, outcome.error, outcome.reusable) == (b"", None, True)


@pytest.mark.parametrize("cutting", [lambda data: [data], one_by_one], ids=["whole", "bytes"])
@pytest.mark.parametrize(
    ("answer", "body", "error"),
    [
        (b"", b"", "RemoteProtocolError: Server disconnected"),
        (b"HTTP/1.1 20", b"", "RemoteProtocolError: Server disconnected"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", b"", "RemoteProtocolError: what it sends is no response"),
        (b"\x15\x03\x01\x00\x02\x02\x46", b"", "RemoteProtocolError: what it sends is no response"),
        (b"\r\n\r\n", b"", "RemoteProtocolError"),
        (OK + b"content-length: x\r\n\r\n", b"", "RemoteProtocolError"),
        (OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", b"", "RemoteProtocolError"),
        (OK + b"transfer-encoding: gzip\r\n\r\n", b"", "RemoteProtocolError"),
        (OK + b"bad header\r\n\r\n", b"", "RemoteProtocolError"),
        (b"HTTP/1.1 101 Up\r\nupgrade: x\r\n\r\n", b"", "RemoteProtocolError"),
        (OK + b"content-length: 9\r\n\r\nshort", b"short", "RemoteProtocolError: peer closed connection"),
        (CHUNKED + b"5\r\nab", b"ab", "RemoteProtocolError: peer closed connection"),
        (CHUNKED + b"2\r\nab", b"ab", "RemoteProtocolError: peer closed connection"),
        (CHUNKED + b"2\r\nab\r\n", b"ab", "RemoteProtocolError: peer closed connection"),
        (CHUNKED + b"2\r\nab\r\n5", b"ab", "RemoteProtocolError: peer unexpectedly closed"),
        (CHUNKED + b"2\r\nab\r\n0\r\n", b"ab", "RemoteProtocolError: peer"),
        (CHUNKED + b"2\r\nabc\r\n", b"ab", "RemoteProtocolError: malformed chunk footer"),
        (CHUNKED + b"2\r\nab\rx", b"ab", "RemoteProtocolError: malformed chunk footer"),
        (CHUNKED + b"2\r\nab\r\nzz\r\n", b"ab", "RemoteProtocolError: illegal chunk header"),
        (CHUNKED + b"-2\r\nab\r\n", b"", "RemoteProtocolError: illegal chunk header"),
    ],
)
async def test_a_broken_answer_gives_what_was_good_and_then_says_what_broke(
    cutting: Cutting, answer: bytes, body: bytes, error: str
) -> None:
    outcome = await exchanged(cutting(answer))
    assert outcome.error is not None
    assert outcome.error.startswith(error)
    assert (outcome.body, outcome.reusable) == (body, False)


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 100 Go on\r\n\r\n" * 17,
        b"HTTP/1.1 102 Busy\r\nx: " + b"y" * 9000 + b"\r\n\r\n" + OK + b"x: " + b"y" * 57_000 + b"\r\n\r\n",
        OK + b"x: " + b"y" * 66_000,
        OK + b"a:b\r\n" * 300 + b"\r\n",
        CHUNKED + b"1;" + b"x" * 17_000,
        CHUNKED + b"0\r\n" + b"a: b\r\n" * 4000,
    ],
    ids=["informational", "heads-together", "head", "headers", "chunk-size", "trailers"],
)
@pytest.mark.parametrize("size", [7, 1000, 65_536])
async def test_what_grows_without_an_end_is_cut(flood: bytes, size: int) -> None:
    pieces = [flood[begin : begin + size] for begin in range(0, len(flood), size)]
    with trio.fail_after(10):
        outcome = await exchanged(pieces, stays=True)
    assert outcome.error is not None
    assert outcome.error.startswith("RemoteProtocolError")


async def test_what_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RoundTrip, "_parsed", lambda *_: pytest.fail("it was parsed"))
    outcome = await exchanged([OK + b"a:b\r\n" * 300 + b"\r\n"], stays=True)
    assert "more lines" in str(outcome.error)


async def test_one_read_is_one_item_however_many_chunks_it_has() -> None:
    read = b"".join(b"5\r\nhello\r\n" for _ in range(100))
    outcome = await exchanged([CHUNKED, read, read + b"0\r\n\r\n"])
    assert (outcome.items, outcome.body) == (2, b"hello" * 200)


async def test_a_read_that_brings_no_content_is_no_item() -> None:
    outcome = await exchanged([CHUNKED, b"5", b"\r\n", b"hel", b"lo", b"\r\n", b"0\r\n", b"\r\n"])
    assert (outcome.items, outcome.body) == (2, b"hello")


async def test_the_request_goes_out_in_one_piece() -> None:
    outcome = await exchanged([OK + b"content-length: 0\r\n\r\n"])
    assert outcome.told == b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("size", [2, 200_000])
@pytest.mark.parametrize("status", [200, 413])
async def test_a_peer_that_takes_no_more_may_have_answered(size: int, status: int) -> None:
    peer = Script([b"HTTP/1.1 %d X\r\ncontent-length: 4\r\n\r\ntext" % status])
    peer.is_deaf = True
    trip = RoundTrip(peer.link(), Limits())
    request = h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", str(size))])
    with trio.fail_after(5):
        assert (await trip.ask(request, b"x" * size)).status_code == status
        assert await trip.read() == b"text"
    assert trip.over
    assert not trip.is_reusable


@pytest.mark.parametrize("size", [2, 200_000])
async def test_a_peer_that_takes_no_more_and_says_nothing_has_disconnected(size: int) -> None:
    peer = Script([])
    peer.is_deaf = True
    trip = RoundTrip(peer.link(), Limits())
    request = h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", str(size))])
    with trio.fail_after(5), pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
        await trip.ask(request, b"x" * size)
    assert not trip.heard


@pytest.mark.parametrize("pieces", [[], [OK], [OK + b"content-length: 3\r\n\r\n", b"x"]])
async def test_a_peer_that_falls_silent_is_a_read_timeout(
    pieces: list[bytes], autojump_clock: trio.testing.MockClock
) -> None:
    outcome = await exchanged(pieces, stays=True, read=3.0)
    assert (outcome.error, trio.current_time()) == ("ReadTimeout: not within 3 s", 3.0)


# -- against h11 alone --

SIZES = st.sampled_from([b"%x", b"%X", b"%04x", b"%x;ext", b'%x;a="b"', b"%x \t", b"%09x", b"%x ; a"])
CHUNK = st.builds(
    lambda size, data, end: size % len(data) + b"\r\n" + data + end,
    SIZES,
    st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n"]),
    st.sampled_from([b"\r\n"] * 30 + [b"\n", b"", b"\rx", b"x\r\n"]),
)
LAST = st.sampled_from(
    [b"0\r\n\r\n"] * 6 + [b"", b"0", b"0\r\nx: y\r\n\r\n", b"00;x\r\n\r\n", b"0\r\nbad\r\n\r\n", b"g\r\n"]
)
BODIES = st.builds(
    lambda chunks, last, rest: b"".join(chunks) + last + rest,
    st.lists(CHUNK, max_size=12),
    LAST,
    st.sampled_from([b""] * 5 + [b"x", b"HTTP/1.1 200 OK\r\n\r\n"]),
)
PLACES = st.lists(st.integers(0, 400), max_size=30)


class Untouched:
    """Stands in for `PlainChunks`: nothing is plain, so h11 does it all."""

    held = b""

    def feed(self, data: bytes) -> Taken:
        return Taken([], rest=data)


@given(BODIES, PLACES)
def test_plain_chunks_are_read_as_h11_reads_them(body: bytes, places: list[int]) -> None:
    pieces = [CHUNKED, *cut(body, places)]
    ours = trio.run(exchanged, pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test, "PlainChunks", Untouched)
        judged = trio.run(exchanged, pieces)
    assert (ours.body, ours.reusable) == (judged.body, judged.reusable)
    assert _gist(ours) == _gist(judged)


def _gist(outcome: Outcome) -> str | None:
    # h11 quotes the bytes it found; how many of them had come then is not worth agreeing on.
    return outcome.error and outcome.error.partition(": bytearray")[0].partition(" (expected")[0]


@pytest.mark.parametrize(
    "pieces", [[b"5", b"\r", b"\nhel", b"lo\r", b"\n", b"1\r\nx\r\n"], [b"5\r\nhello\r\n1\r\nx\r\n"]]
)
def test_plain_chunks_are_no_case_for_h11_wherever_they_are_cut(pieces: list[bytes]) -> None:
    chunks = PlainChunks()
    taken = [chunks.feed(piece) for piece in pieces]
    assert [each.rest for each in taken] == [None] * len(pieces)
    assert b"".join(piece for each in taken for piece in each.pieces) == b"hellox"
