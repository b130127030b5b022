"""A question on the Responses wire: who reads its answer, and when this wire is spoken at all."""

import json

import pytest
from msgspec import Raw

from ccproxy_trio.settings.model import ProviderSettings
from ccproxy_trio.translate.dialect import reason, resolve
from ccproxy_trio.translate.parts import Finished, Text, ToolStart
from ccproxy_trio.translate.state import ReplayState, seal
from ccproxy_trio.translate.usage import read_response_usage
from ccproxy_trio.wire.faults import RequestRefused
from tests.support.answers import counting_mint, parts_of, reader_of
from tests.translate.asking import assistant, provider, request, text, tool, user
from tests.translate.responses.asking import MODEL, body, completed, event, question, text_delta

ITEM = Raw(b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}')
CALL = {"type": "function_call", "name": "a_tool_fa2ab6ac", "arguments": "{}"}


def test_the_reader_knows_the_clients_names_and_stop_sequences() -> None:
    asked = question(request(tools=[tool("a tool")], stop_sequences=["END"]))
    (name,) = asked.names
    call = event("response.output_item.done", output_index=0, item={**CALL, "name": name})
    parts = parts_of(asked.reader(counting_mint()), [call, text_delta("a END b", 1), completed()])
    assert [part.name for part in parts if isinstance(part, ToolStart)] == ["a tool"]
    assert [part.text for part in parts if isinstance(part, Text)] == ["a "]


def test_nothing_is_said_behind_a_stop_sequence() -> None:
    reader = reader_of(wire="responses", stop_sequences=["END"])
    output = [{"type": "message", "content": text} for text in ("a END b", "c")]
    parts = [*reader.feed_completion(json.dumps({"output": output}).encode()), *reader.end()]
    assert [part.text for part in parts if isinstance(part, Text)] == ["a "]
    assert isinstance(parts[-1], Finished)
    assert parts[-1].stop_sequence == "END"


def test_a_request_with_nothing_to_say_is_refused() -> None:
    with pytest.raises(RequestRefused, match="at least one message must have content"):
        question(request(user("")))


def test_no_summary_is_asked_of_a_model_that_is_not_to_think() -> None:
    asked = question(request(thinking={"type": "adaptive"}), efforts=["none"])
    assert body(asked)["reasoning"] == {"effort": "none"}


def thought(owner: str = "alpha", model: str = MODEL, *, wire: str = "responses") -> dict[str, str]:
    return {
        "type": "thinking",
        "thinking": "",
        "signature": seal(ReplayState(owner, model, [ITEM], wire=wire)),
    }


def test_reasoning_goes_back_once_in_front_of_the_words_that_it_led_to() -> None:
    talk = request(user("go on"), assistant(thought(), text("one"), text("two")), user("more"))
    said = [item.get("content") or item["type"] for item in body(question(talk))["input"]]
    assert said == ["go on", "reasoning", "one", "two", "more"]


@pytest.mark.parametrize(
    "block",
    [thought("beta"), thought(model="gpt-5.5"), thought(wire="chat")],
    ids=["provider", "model", "wire"],
)
def test_reasoning_of_another_provider_model_or_wire_stays_here(block: dict[str, str]) -> None:
    talk = request(user("go on"), assistant(block, "hello"), user("more"))
    assert [item["type"] for item in body(question(talk))["input"]] == ["message"] * 3


def test_usage_of_an_odd_shape_is_none() -> None:
    assert read_response_usage(Raw(b"7")) is None
    assert read_response_usage(Raw(b'{"input_tokens":"none"}')) is None


# -- when this wire is chosen --------------------------------------------------------------------------

OPENAI = provider("auto", base_url="https://api.openai.com/v1")
AZURE = provider("auto", base_url="https://x.openai.azure.com/openai/v1")
VERSIONED = provider("auto", base_url="https://proxy.example", api_version="2025-04-01-preview")
CONFIGURED = provider("openai")


@pytest.mark.parametrize("seller", [OPENAI, AZURE, VERSIONED, CONFIGURED])
@pytest.mark.parametrize(
    ("model", "wire"),
    [
        ("gpt-5.4", "responses"),
        ("gpt-5.4-mini", "responses"),
        ("gpt-5.10", "responses"),
        ("gpt-6-astra", "responses"),
        ("gpt-6.2-astra", "responses"),
        ("prod-gpt-5.6", "responses"),
        ("gpt-5-codex", "responses"),
        ("gpt-5.1-codex-max", "responses"),
        ("codex-mini-latest", "responses"),
        ("gpt-5-pro", "responses"),
        ("gpt-5.2-pro", "responses"),
        ("gpt-5.2-pro-2025-12-11", "responses"),
        ("o1-pro", "responses"),
        ("o3-pro-2025-06-10", "responses"),
        ("computer-use-preview", "responses"),
        ("o3-deep-research", "responses"),
        ("gpt-5", "chat"),
        ("gpt-5.1", "chat"),
        ("gpt-5.2", "chat"),
        ("gpt-5.3-chat-latest", "chat"),
        ("gpt-4o", "chat"),
        ("o3", "chat"),
        ("gemini-2.5-pro", "chat"),
        ("prod", "chat"),
    ],
)
def test_models_that_need_it_get_it_at_openai_and_azure(
    seller: ProviderSettings, model: str, wire: str
) -> None:
    assert resolve(seller, model).wire == wire


def test_a_models_name_at_an_unknown_host_does_not_choose_it() -> None:
    gateway = provider("auto", base_url="https://gateway.example/v1")
    spoken = resolve(gateway, "gpt-5.4")
    assert (spoken.profile, spoken.wire) == ("openai", "chat")
    assert resolve(provider("openrouter"), "openai/gpt-5.4").wire == "chat"


def test_the_operator_has_the_last_word() -> None:
    assert resolve(provider("openai", wire="chat"), "gpt-5.4").wire == "chat"
    assert resolve(provider("generic", wire="responses"), "m").wire == "responses"
    files = resolve(provider("azure", wire="responses", files=False), "prod")
    assert (files.files, files.file_urls) == (False, True)


def test_the_operator_is_told_why() -> None:
    told = reason(OPENAI, "gpt-5.4")
    assert told.startswith("profile openai: chosen by the host api.openai.com; wire responses: ")
    assert "wire" not in reason(OPENAI, "gpt-4o")
