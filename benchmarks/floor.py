"""The floor: what the proxy's libraries cost before it does anything of its own.

A Quart-Trio application under Hypercorn that reads a request, asks the upstream over bare Trio and h11 with
a request of the same size, reads the stream to its end and answers with a message made beforehand. It
translates nothing, keeps no health, checks and logs nothing. `FLOOR_UPSTREAM` is the upstream's port,
`FLOOR_MODEL` the name of the shape it is asked for.
"""

import os

import h11
import msgspec
import trio
from quart import Response, request
from quart_trio import QuartTrio

from benchmarks.answers import END_OF_ANSWER, WORD, shape_of
from benchmarks.asking import CHUNK_BYTES
from benchmarks.prompt import completion_request


class Upstream:
    """Connections to the upstream; each is used by one request at a time and kept afterwards."""

    def __init__(self, port: int, body: bytes) -> None:
        self._port = port
        self._body = body
        self._idle: list[tuple[h11.Connection, trio.SocketStream]] = []

    async def ask(self) -> bytes:
        """The whole stream of one answer."""
        if self._idle:
            connection, stream = self._idle.pop()
        else:
            connection, stream = (
                h11.Connection(h11.CLIENT),
                await trio.open_tcp_stream("127.0.0.1", self._port),
            )
        await stream.send_all(self._request(connection))
        answer = bytearray()
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(CHUNK_BYTES))
            elif isinstance(event, h11.Data):
                answer += event.data
        connection.start_next_cycle()
        self._idle.append((connection, stream))
        return bytes(answer)

    def _request(self, connection: h11.Connection) -> bytes:
        headers = [
            ("host", f"127.0.0.1:{self._port}"),
            ("content-type", "application/json"),
            ("content-length", str(len(self._body))),
            ("authorization", "Bearer none"),
        ]
        head = h11.Request(method="POST", target="/v1/chat/completions", headers=headers)
        events = (head, h11.Data(data=self._body), h11.EndOfMessage())
        return b"".join(connection.send(event) or b"" for event in events)


def create_app() -> QuartTrio:
    """The application, for `hypercorn -k trio "benchmarks.floor:create_app()"`."""
    model = os.environ["FLOOR_MODEL"]
    body = msgspec.json.decode(completion_request()) | {"model": model}
    upstream = Upstream(int(os.environ["FLOOR_UPSTREAM"]), msgspec.json.encode(body))
    message = _message(model)
    app = QuartTrio(__name__)

    @app.get("/health/live")
    async def live() -> str:
        return "live"

    @app.post("/v1/messages")
    async def messages() -> Response:
        await request.get_data()
        await upstream.ask()
        return Response(message, content_type="application/json")

    return app


def _message(model: str) -> bytes:
    shape = shape_of(model)
    words = (WORD + b"%018d " % number for number in range(shape.words if shape else 0))
    text = (b"".join(words) + END_OF_ANSWER).decode()
    content = [{"type": "text", "text": text}]
    usage = {"input_tokens": 19_000, "output_tokens": 20}
    told = {"id": "msg_floor", "type": "message", "role": "assistant", "model": model, "content": content}
    return msgspec.json.encode(told | {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
