"""Every golden stream, however its bytes arrive, and through the official client."""

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from ccproxy_trio.wire.events import encode_frames
from tests.support import goldens
from tests.support.answer_validation import error_violations, event_violations, message_violations
from tests.support.answers import MODEL
from tests.support.goldens import Golden
from tests.support.grammar import check_frames, read_frames

# The package reads arguments that break off, and refuses others that no JSON parser takes. They are the
# model's own words; Claude Code tells the model so.
BROKEN_ARGUMENTS = {"call-arguments-broken"}
ALL = {golden.name: golden for golden in goldens.load_all()}


@pytest.fixture(params=ALL)
def golden(request: pytest.FixtureRequest) -> Golden:
    return ALL[request.param]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """`data` whole, byte by byte, and cut at random."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for seed in range(5):
        chance = random.Random(seed)
        edges = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(12))})
        yield [data[start:stop] for start, stop in pairwise(edges)]


def test_the_client_gets_what_is_written_however_the_bytes_arrive(golden: Golden) -> None:
    for reads in cuts(golden.upstream):
        assert goldens.as_frames(golden.events(reads)) == golden.client


def test_the_message_is_what_is_written(golden: Golden) -> None:
    if golden.message is not None:
        assert goldens.as_message(golden.events([golden.upstream])) == golden.message


def test_the_frames_obey_the_grammar(golden: Golden) -> None:
    story = check_frames(encode_frames(golden.events([golden.upstream])))
    assert (story.error is not None) == (golden.message is None)
    assert story.quiet == 0


def test_the_official_types_know_every_event(golden: Golden) -> None:
    for event in read_frames(encode_frames(golden.events([golden.upstream]))):
        judge = error_violations if event["type"] == "error" else event_violations
        assert judge(json.dumps(event)) == []


def test_the_official_types_know_the_message(golden: Golden) -> None:
    if golden.message is not None:
        assert message_violations(golden.message) == []


def test_the_official_client_consumes_the_stream(golden: Golden) -> None:
    frames = encode_frames(golden.events([golden.upstream]))
    with client(frames) as sdk:
        if golden.name in BROKEN_ARGUMENTS:
            with pytest.raises(ValueError, match="tool parameter JSON"):
                final(sdk)
            return
        if golden.message is None:
            with pytest.raises(anthropic.APIStatusError):
                final(sdk)
            return
        message = final(sdk)
    story = check_frames(frames)
    assert story.stop is not None
    assert story.usage is not None
    assert (message.model, message.stop_reason) == (MODEL, story.stop["stop_reason"])
    assert message.usage.output_tokens == story.usage["output_tokens"]
    assert [block.type for block in message.content] == story.kinds
    assert [shown(block.model_dump()) for block in message.content] == [
        shown(block) for block in story.blocks
    ]


def client(frames: bytes) -> anthropic.Anthropic:
    """The SDK, talking to nobody."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=frames))
    return anthropic.Anthropic(
        api_key="none",
        base_url="http://proxy.test",
        max_retries=0,
        http_client=anthropic.DefaultHttpxClient(transport=transport),
    )


def final(sdk: anthropic.Anthropic) -> anthropic.types.Message:
    asked: Any = [{"role": "user", "content": "hi"}]
    with sdk.messages.stream(model=MODEL, max_tokens=100, messages=asked) as stream:
        return stream.get_final_message()


def shown(block: dict[str, Any]) -> object:
    """What a block says, in one form for both sides. A broken input is read by the SDK as far as it goes."""
    if block["type"] != "tool_use":
        return block.get("text") or block.get("thinking") or block.get("data")
    if not isinstance(block["input"], str):
        return block["input"]
    try:
        return json.loads(block["input"] or "{}")
    except ValueError:
        return anthropic_partial(block["input"])


def anthropic_partial(text: str) -> object:
    from jiter import from_json  # what the SDK reads with

    return from_json(text.encode(), partial_mode=True)


def test_a_stranger_among_the_files_is_an_error(tmp_path: Path) -> None:
    for name in ("case.json", "upstream.sse", "client.sse", "message.json"):
        (tmp_path / name).write_text('{"shows":"x"}')
    goldens.load(tmp_path)
    (tmp_path / "message.json").unlink()
    with pytest.raises(ValueError, match=r"message\.json belongs"):
        goldens.load(tmp_path)
    (tmp_path / "client.sse").unlink()
    with pytest.raises(ValueError, match=r"client\.sse is missing"):
        goldens.load(tmp_path)
    (tmp_path / "upstream.json").write_text("{}")
    with pytest.raises(ValueError, match=r"either upstream\.sse or"):
        goldens.load(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        goldens.load(tmp_path)


def test_the_checker_sees_what_is_wrong() -> None:
    good = read_frames(encode_frames(ALL["call-after-text"].events([ALL["call-after-text"].upstream])))
    for at in range(len(good)):
        without = good[:at] + good[at + 1 :]
        kind = good[at]["type"]
        if kind == "content_block_delta":
            continue  # a stream with less in it is still a stream
        with pytest.raises(AssertionError):
            check_frames(b"".join(frame(event) for event in without))
    swapped = [*good[:3], good[4], good[3], *good[5:]]
    with pytest.raises(AssertionError):
        check_frames(b"".join(frame(event) for event in swapped))


def frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
