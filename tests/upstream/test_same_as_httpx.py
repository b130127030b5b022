"""Whatever a peer answers and however it is cut: our transport hears what httpx's hears."""

import ssl
from typing import Any

import httpcore
import httpx
import trio
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.upstream.transport.own import TrioTransport
from tests.support.links import Script, cut

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TOKENS = st.text("abcdefgh-", min_size=1, max_size=8).map(str.encode)
FIELDS = st.lists(st.tuples(TOKENS.map(lambda name: b"x-" + name), TOKENS), max_size=4)
PIECES = st.lists(st.binary(min_size=1, max_size=30), max_size=6)
INTERIM = st.lists(
    st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hint\r\nlink: a\r\n\r\n"]), max_size=2
)
STATUSES = st.sampled_from([200, 200, 200, 204, 304, 400, 429, 500])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A legal answer, or one that is a little wrong, or cut short."""
    pieces, status = draw(PIECES), draw(STATUSES)
    fields = [name + b": " + value + b"\r\n" for name, value in draw(FIELDS)]
    match draw(st.sampled_from(["length", "chunks", "end"])):
        case "length":
            fields.append(b"Content-Length: %d\r\n" % len(b"".join(pieces)))
            body = b"".join(pieces)
        case "chunks":
            fields.append(b"Transfer-Encoding: chunked\r\n")
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        case _:
            body = b"".join(pieces)
    head = b"HTTP/1.%d %d Word\r\n%s\r\n" % (draw(st.sampled_from([1, 1, 1, 0])), status, b"".join(fields))
    whole = b"".join(draw(INTERIM)) + head + (b"" if status in (204, 304) else body)
    end = draw(st.none() | st.integers(0, len(whole)))
    if end is None:
        return whole
    return draw(st.sampled_from([whole[:end], whole[:end] + b"#" + whole[end:]]))


def ours(pieces: list[bytes]) -> httpx.AsyncBaseTransport:
    async def connect(*_: object) -> Any:
        return Script(pieces).link()

    return TrioTransport(tls=NO_TLS, connections=1, connect=connect)


def theirs(pieces: list[bytes]) -> httpx.AsyncBaseTransport:
    transport = httpx.AsyncHTTPTransport(verify=NO_TLS)
    transport._pool = httpcore.AsyncConnectionPool(network_backend=httpcore.AsyncMockBackend([*pieces, b""]))
    return transport


async def heard(transport: httpx.AsyncBaseTransport) -> tuple[object, ...]:
    """Status, headers and body, or what went wrong after how much of it."""
    request = httpx.Request("POST", "http://x.example/", content=b"{}")
    body = b""
    seen: tuple[object, ...] = ()
    try:
        response = await transport.handle_async_request(request)
        seen = (response.status_code, tuple(response.headers.raw), response.reason_phrase)
        async for data in response.stream:  # type: ignore[union-attr]
            body += data
        await response.aclose()
    except httpx.TransportError as error:
        return (*seen, body, type(error).__name__)
    finally:
        await transport.aclose()
    return (*seen, body, None)


@given(answers(), st.lists(st.integers(0, 400), max_size=20))
def test_the_same_bytes_in_the_same_pieces_are_heard_alike(answer: bytes, places: list[int]) -> None:
    pieces = [piece for piece in cut(answer, places) if piece]
    assert trio.run(heard, ours(pieces)) == trio.run(heard, theirs(pieces))
