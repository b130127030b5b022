"""Every golden of an answer that is passed on, however its bytes arrive, and through the official client."""

import json

import anthropic
import pytest

from ccproxy_trio.wire.events import encode_frames
from tests.support import goldens
from tests.support.goldens import PASSED, Golden
from tests.translate.native.answering import read_events
from tests.translate.native.test_passing import final
from tests.translate.test_stream_golden import cuts

ALL = {golden.name: golden for golden in goldens.load_all(PASSED)}
# The official client knows no block by its number but by its place.
OUT_OF_PLACE = {"numbers-with-gaps", "numbers-that-repeat"}


@pytest.fixture(params=ALL)
def golden(request: pytest.FixtureRequest) -> Golden:
    return ALL[request.param]


def test_the_client_gets_what_is_written_however_the_bytes_arrive(golden: Golden) -> None:
    for reads in cuts(golden.upstream):
        assert goldens.as_frames(golden.events(reads)) == golden.client


def test_the_message_is_what_is_written(golden: Golden) -> None:
    if golden.message is not None:
        assert goldens.as_message(golden.events([golden.upstream])) == golden.message


def test_the_official_client_reads_the_same_message(golden: Golden) -> None:
    frames = encode_frames(golden.events([golden.upstream]))
    if golden.name in OUT_OF_PLACE:
        return
    if golden.message is None:
        with pytest.raises(anthropic.APIStatusError):
            final(frames)
        return
    read, written = final(frames), json.loads(golden.message)
    assert (read.id, read.model, read.stop_reason) == tuple(
        written[name] for name in ("id", "model", "stop_reason")
    )
    assert [block.type for block in read.content] == [block["type"] for block in written["content"]]
    texts = [getattr(block, "text", None) for block in read.content]
    assert texts == [block.get("text") for block in written["content"]] or "\ufffd" in golden.message


def test_nothing_but_what_has_to_be_is_written_anew(golden: Golden) -> None:
    """Of an answer that nothing had to be done for, one event alone is another than before."""
    assert golden.client is not None
    if golden.message is None or golden.name not in UNTOUCHED:
        return
    before = read_events(golden.upstream)
    after = read_events(golden.client.encode())
    assert len(after) == len(before)
    changed = [event["type"] for event, told in zip(before, after, strict=True) if event != told]
    assert changed == ["message_start"]


UNTOUCHED = {
    *("text", "thinking-then-call", "thinking-omitted", "thinking-redacted", "server-tool"),
    *("spelling", "crlf"),
    *("half-characters", "numbers-with-gaps", "numbers-that-repeat", "blocks-at-once", "totals-missing"),
    *("stop-sequence", "stop-refusal", "stop-max-tokens", "stop-pause-turn", "usage", "usage-at-the-end"),
}
