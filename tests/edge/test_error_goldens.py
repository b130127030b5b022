"""Every golden error through the whole proxy, as the client sees it."""

import json
import re
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, settings_for, virtual_house
from tests.support import error_goldens
from tests.support.answer_validation import error_violations, event_violations, message_violations
from tests.support.error_goldens import Golden, as_json, outcome
from tests.support.grammar import check, check_frames

ALL = {golden.name: golden for golden in error_goldens.load_all()}
_ANTHROPIC = {  # what the status of an error means there
    400: {"invalid_request_error"},
    401: {"authentication_error"},
    402: {"billing_error"},
    404: {"not_found_error"},
    429: {"rate_limit_error"},
    502: {"api_error"},
    504: {"timeout_error"},
}


@pytest.fixture(params=ALL)
def golden(request: pytest.FixtureRequest) -> Golden:
    return ALL[request.param]


def test_the_client_gets_what_is_written_in_the_words_of_the_api(golden: Golden) -> None:
    told = outcome(golden)
    assert as_json(told) == golden.client
    if "events" in told:
        check(told["events"])
        for event in told["events"]:
            judge = error_violations if event["type"] == "error" else event_violations
            assert judge(json.dumps(event)) == []
    elif told["status"] == 200:
        assert message_violations(json.dumps(told["body"])) == []
    else:
        assert error_violations(json.dumps(told["body"])) == []
        assert told["body"]["error"]["type"] in _ANTHROPIC[told["status"]]


def test_no_error_holds_a_secret_a_page_or_too_many_words(golden: Golden) -> None:
    assert golden.client is not None
    told = json.loads(golden.client)
    for error in [told.get("body", {}).get("error"), *(e.get("error") for e in told.get("events", ()))]:
        if error is None:
            continue
        assert len(error["message"].encode()) <= 2048
        assert error["message"].isprintable()
        assert not re.search(r"sk-\w{6}|AIza|battery|<html|<title|user:pass", error["message"])


def test_a_wait_is_one_that_claude_code_will_wait(golden: Golden) -> None:
    assert golden.client is not None
    wait = json.loads(golden.client)["headers"].get("retry-after", "1")
    assert 1 <= int(wait) <= 60


def test_a_fault_of_the_client_never_counts(golden: Golden) -> None:
    assert golden.client is not None
    told = json.loads(golden.client)
    if told["status"] == 400:
        assert told["provider"] == {"failures": 0, "flag": None, "rests": False, "model left out": False}


async def test_a_provider_that_falls_silent_after_content_is_told_as_a_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def falls_silent(answer: FakeAnswer) -> None:
        await answer.text("Hel")
        await trio.sleep_forever()

    async with virtual_house(settings_for("acme"), acme=FakeUpstream(falls_silent)) as house:
        client = Client(house.connect())
        await client.post({"stream": True})
        assert await client.head() == 200
        story = check_frames(await client.body())
    assert story.error is not None
    assert story.error["type"] == "timeout_error"
    assert (story.open, story.of("text")) == ("text", "Hel")


def test_a_stranger_among_the_files_is_an_error(tmp_path: Path) -> None:
    for name in ("case.json", "upstream.body", "client.json"):
        (tmp_path / name).write_text('{"shows":"x"}')
    error_goldens.load(tmp_path)
    (tmp_path / "client.json").unlink()
    error_goldens.load(tmp_path, complete=False)
    with pytest.raises(ValueError, match=r"missing: client\.json"):
        error_goldens.load(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        error_goldens.load(tmp_path)
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "case.json").write_text('{"shows":"x","colour":"red"}')
    with pytest.raises(ValueError, match="colour"):
        error_goldens.load(tmp_path, complete=False)
