"""The tour's client against scripted bytes."""

import h11
import pytest
import trio

from ccproxy_trio.demo.visitor import Heard, ToolUse, Visitor

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
TOOL_STREAM = b"""event: message_start
data: {"type":"message_start","message":{"id":"msg_1"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Let me "}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"look."}}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t_1","name":"Bash"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\\"a\\""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":":1}"}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}}

event: message_stop
data: {"type":"message_stop"}

"""
ERROR = (
    b'{"type":"error","error":{"type":"api_error","message":"All providers failed."},"request_id":"req_1"}'
)


@pytest.fixture
async def answering(nursery):
    """Start a server that answers with these bytes; gives a visitor of it, and what the visitor sent."""

    async def start(answer):
        requests = []

        async def serve(stream):
            requests.append(await stream.receive_some())
            await stream.send_all(answer)
            await stream.aclose()

        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        return Visitor("127.0.0.1", port, key="my-key"), requests

    return start


async def test_an_answer_is_heard_piece_by_piece_and_as_a_whole(answering):
    visitor, requests = await answering(HEAD + TOOL_STREAM)
    pieces = []
    heard = await visitor.ask(b"{}", pieces.append)
    assert pieces == ["Let me ", "look."]
    assert heard == Heard(200, "Let me look.", ToolUse("t_1", "Bash", '{"a":1}'), "tool_use", None)
    assert requests[0].startswith(b"POST /v1/messages?beta=true HTTP/1.1\r\n")
    assert b"x-api-key: my-key\r\n" in requests[0]


async def test_an_error_is_heard_with_its_status(answering):
    head = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: %d\r\n\r\n" % len(ERROR)
    visitor, _ = await answering(head + ERROR)
    assert await visitor.ask(b"{}", pytest.fail) == Heard(502, error="All providers failed.")


async def test_an_error_inside_the_stream_is_heard(answering):
    visitor, _ = await answering(HEAD + b"event: error\ndata: " + ERROR + b"\n\n")
    assert (await visitor.ask(b"{}", pytest.fail)).error == "All providers failed."


async def test_an_answer_that_breaks_off_is_an_error(answering):
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    visitor, _ = await answering(head + b"5\r\nevent\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        await visitor.ask(b"{}", pytest.fail)


async def test_nobody_there_is_an_os_error():
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the machine
        await Visitor("127.0.0.1", 1).get("/health")
