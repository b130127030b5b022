import base64
import json
import struct
from typing import Any

import pytest
from msgspec import Raw

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.state import ReplayState, seal, text_detail
from ccproxy_trio.translate.tokens import Text, by_bytes, count_request, gather, seen_by
from ccproxy_trio.wire.anthropic import CountRequest, decode_count
from ccproxy_trio.wire.faults import RequestRefused
from tests.translate.asking import assistant, call, instruct, request, result, text, tool, user


def counted(*messages: dict[str, Any], **fields: Any) -> int:
    return count_request(decode_count(json.dumps({"model": "m", "messages": messages, **fields}).encode()))


def test_bytes_make_tokens() -> None:
    assert counted(user("hi")) == 1 + 4
    assert counted(user("x" * 42)) == 10 + 4
    assert counted(user("日" * 14)) == 10 + 4
    assert counted() == 0


def test_system_and_tools_of_a_real_session_weigh_thousands() -> None:
    tools = [tool(f"Tool{n}", description="d" * 2_600) for n in range(24)]
    small, large = counted(user("hi")), counted(user("hi"), system="s" * 4_000, tools=tools)
    assert large - small > 5_000
    assert large == counted(
        user("hi"), system=[text("x-anthropic-billing-header: x"), text("s" * 4_000)], tools=tools
    )


@pytest.mark.parametrize(
    "message",
    [
        user(text("x" * 420)),
        user(result("t", "x" * 420)),
        user(result("t", [text("x" * 420)])),
        user(result("t", [{"type": "tool_reference", "tool_name": "x" * 420}])),
        user(result("t", [{"type": "browser_state", "tabs": ["x" * 416]}])),
        user({"type": "document", "source": {"type": "text", "data": "x" * 420}}),
        user({"type": "document", "source": {"type": "content", "content": "x" * 420}}),
        user({"type": "document", "source": {"type": "content", "content": [text("x" * 420)]}}),
        user({"type": "document", "title": "x" * 420, "source": {"type": "url", "url": "https://x"}}),
        user({"type": "search_result", "source": "x" * 200, "title": "", "content": [text("x" * 220)]}),
        user({"type": "compaction", "content": "x" * 420}),
        user({"type": "hologram" * 42}),
        assistant(call("t", "x" * 410, a=""), ),
        assistant({"type": "server_tool_use", "id": "s", "name": "x" * 418, "input": {}}),
        assistant({"type": "mcp_tool_use", "id": "s", "name": "x" * 418, "server_name": "s", "input": {}}),
        assistant({"type": "web_search_tool_result", "tool_use_id": "s", "content": "x" * 418}),
        instruct("x" * 420),
        instruct(text("x" * 420)),
    ],
)  # fmt: skip
def test_every_kind_of_text_is_counted(message: dict[str, Any]) -> None:
    assert 100 + 4 <= counted(message) <= 200


@pytest.mark.parametrize(
    "message",
    [
        assistant({"type": "thinking", "thinking": "x" * 9_000, "signature": "x" * 9_000}),
        assistant({"type": "redacted_thinking", "data": "x" * 9_000}),
        assistant({"type": "fallback"}),
        user({"type": "tool_result", "tool_use_id": "t"}),
        user({"type": "compaction"}),
        user({"type": "container_upload", "file_id": "f"}),
        instruct({"type": "tool_removal", "tool": {"name": "none"}}),
    ],
)
def test_what_is_not_sent_again_is_not_counted(message: dict[str, Any]) -> None:
    assert counted(message) == 4


def test_tools_that_a_system_message_adds_are_counted_as_tools() -> None:
    added = instruct(
        {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool("A" * 420)}}
    )
    assert counted(added) > 100 + 8 + 4


def test_every_tool_weighs_its_text_and_eight_tokens() -> None:
    bare = {"name": "x" * 42}
    assert counted(tools=[bare]) == 10 + 8
    assert counted(tools=[{**bare, "description": "x" * 42}, {"name": "x" * 41 + "y"}]) == 30 + 2 * 8


def test_message_requests_are_counted_like_count_requests() -> None:
    assert count_request(request(user("hi"))) == counted(user("hi"))


def image(data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": encoded}}


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + bytes(40)


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + bytes(4) + body + bytes(20)


def jpeg(width: int, height: int, *, exif: int = 0) -> bytes:
    frame = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10)
    return b"\xff\xd8" + b"\xff\xe1" + struct.pack(">H", exif + 2) + bytes(exif) + b"\xff\xc4\x00\x02" + frame


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (png(750, 2), 2),
        (png(751, 1), 2),
        (png(4000, 4000), 1600),
        (b"GIF89a" + struct.pack("<HH", 750, 3) + bytes(20), 3),
        (b"GIF89a", 0),
        (webp(b"VP8X", bytes(4) + (749).to_bytes(3, "little") + (3).to_bytes(3, "little")), 4),
        (webp(b"VP8L", b"\x2f" + (749 | 4 << 14).to_bytes(4, "little")), 5),
        (webp(b"VP8 ", bytes(6) + struct.pack("<HH", 750, 6)), 6),
        (webp(b"ALPH", bytes(10)), 1600),
        (jpeg(750, 7), 7),
        (jpeg(750, 8, exif=60_000), 8),
        (jpeg(750, 8)[:16], 1600),
        (b"\xff\xd8no segments here", 1600),
        (b"\x89PNG\r\n\x1a\n", 1600),
        (b"RIFF\x00\x00\x00\x00WEBP", 1600),
        (b"nothing known", 1600),
    ],
)
def test_images_weigh_by_the_size_in_their_header(data: bytes, tokens: int) -> None:
    assert counted(user(image(data))) == 4 + tokens
    assert counted(user(result("t", [image(data)]))) == 4 + tokens


def test_image_that_cannot_be_read_weighs_the_most() -> None:
    broken = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "éééé"}}
    assert counted(user(broken, {"type": "image", "source": {"type": "url", "url": "https://x"}})) == 4 + 3200


def pdf(data: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    return {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": encoded},
    }


def test_pdfs_weigh_by_pages_or_by_bytes() -> None:
    assert counted(user(pdf(b"<</Type /Pages>> <</Type /Page>> <</Type/Page/X>>"))) == 4 + 4000
    assert counted(user(pdf(bytes(300_000)))) == 4 + 3000


def test_whitespace_in_a_schema_is_counted_as_sent() -> None:
    loose = decode_count(b'{"model":"m","tools":[{"name":"T","input_schema":{%b}}]}' % (b" " * 420))
    assert count_request(loose) > 100


def test_counting_two_tools_of_one_name_is_refused_like_translating_them() -> None:
    with pytest.raises(RequestRefused, match="unique"):
        counted(tools=[tool(), tool()])


# -- one walk, any measure -----------------------------------------------------------------------------


def asked(*messages: dict[str, Any], **fields: Any) -> CountRequest:
    return decode_count(json.dumps({"model": "m", "messages": messages, **fields}).encode())


def text_of(text: Text) -> str:
    return text if isinstance(text, str) else bytes(text).decode()


def test_texts_are_gathered_once_for_any_measure() -> None:
    prompt = gather(
        asked(
            user("one", result("t", [text("two"), image(png(750, 2))])),
            assistant(call("t", "Read", path="x")),
            system="zero",
            tools=[tool("Read", description="reads")],
        )
    )
    texts = [text_of(each) for each in prompt.texts]
    assert texts[:5] == ["zero", "one", "two", "Read", '{"path": "x"}']
    assert texts[5:7] == ["Read", "reads"]
    assert (prompt.framing, prompt.media) == (2 * 4 + 8, 2)
    assert prompt.tokens(len) == len(prompt.texts) + 16 + 2
    assert prompt.tokens(by_bytes) == by_bytes(prompt.texts) + 16 + 2


def thought(signature: str, words: str = "x" * 420) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": signature}


def seen(message: dict[str, Any], replay: Any, *, model: str = "m") -> int:
    prompt = gather(asked(user("x" * 42), message))
    dialect = Dialect(replay=replay)
    return seen_by(prompt, provider="alpha", model=model, dialect=dialect).tokens(by_bytes) - 10 - 2 * 4


OURS = seal(ReplayState("alpha", "m"))


def test_thinking_is_counted_where_it_is_sent_again() -> None:
    assert seen(assistant(thought(OURS)), "reasoning_content") == 100
    assert seen(assistant(thought(OURS)), "none") == 0
    assert seen(assistant(thought(OURS)), "gemini_extra") == 0
    assert seen(assistant(thought(OURS)), "reasoning_content", model="n") == 0
    assert seen(assistant(thought("somebody else's")), "reasoning_content") == 0
    assert seen(assistant(text("x")), "reasoning_content") == 1


def test_hidden_reasoning_is_counted_where_it_is_sent_again() -> None:
    hidden = seal(ReplayState("alpha", "m", [text_detail("x" * 420)]))
    redacted = assistant({"type": "redacted_thinking", "data": hidden})
    assert seen(redacted, "reasoning_content") == 100
    assert seen(redacted, "reasoning_details") == 100
    encrypted = seal(ReplayState("alpha", "m", [Raw(b'{"type":"reasoning.encrypted","data":"xxxx"}')]))
    assert seen(assistant({"type": "redacted_thinking", "data": encrypted}), "reasoning_details") == 0
