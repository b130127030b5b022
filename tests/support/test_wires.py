"""The scripted provider on its other two wires, seen by the vendors' own packages."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anthropic
import openai
import pytest
import trio
from anthropic import Anthropic
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.conftest import Providers
from tests.support import faults
from tests.support.agent import agent, images, tool_results
from tests.support.answer_validation import event_violations, message_violations
from tests.support.chunks import Call, Turn, Usage, calls, says
from tests.support.scripted import ScriptedProvider
from tests.support.told import WIRES, Wire, error_frame, told, whole

pytestmark = pytest.mark.process
T = TypeVar("T")
THINKING = {"type": "enabled", "budget_tokens": 2000}
BASH = {"name": "Bash", "description": "Run.", "input_schema": {"type": "object"}}
FLAT_BASH = {"type": "function", "name": "Bash", "parameters": {"type": "object"}, "strict": False}
SEALED = ["reasoning.encrypted_content"]
PIXEL = "iVBORw0KGgo="


async def with_openai(provider: ScriptedProvider, use: Callable[[OpenAI], T]) -> T:
    def in_thread() -> T:
        with OpenAI(base_url=provider.base_url, api_key=provider.key, max_retries=0) as client:
            return use(client)

    return await trio.to_thread.run_sync(in_thread)


async def with_anthropic(provider: ScriptedProvider, use: Callable[[Anthropic], T], **options: Any) -> T:
    def in_thread() -> T:
        key = options or {"api_key": provider.key}
        with Anthropic(base_url=provider.base_url, max_retries=0, **key) as client:
            return use(client)

    return await trio.to_thread.run_sync(in_thread)


async def responded(provider: ScriptedProvider, items: Any = "hi", **more: Any) -> Any:
    """What the package puts together from a stream."""
    body: dict[str, Any] = {"model": "m", "input": items, "store": False} | more

    def read(client: OpenAI) -> Any:
        with client.responses.stream(**body) as stream:
            return stream.get_final_response()

    return await with_openai(provider, read)


async def messaged(provider: ScriptedProvider, messages: Any = None, **more: Any) -> Any:
    """The message that the package puts together from a stream."""
    said = messages or [{"role": "user", "content": "hi"}]
    body: dict[str, Any] = {"model": "m", "max_tokens": 4000, "messages": said} | more

    def read(client: Anthropic) -> Any:
        with client.messages.stream(**body) as stream:
            return stream.get_final_message()

    return await with_anthropic(provider, read)


async def test_openai_reads_a_streamed_response_whole(providers: Providers) -> None:
    provider = providers.start("alpha", wire="responses")
    bash = Call("Bash", {"command": "ls"})
    provider.plays(calls(bash, bash, text="listing", reasoning=("let ", "me see")))
    answer = await responded(provider, include=SEALED, tools=[FLAT_BASH])
    thought, said, first, second = answer.output
    assert (thought.type, said.type, first.type, second.type) == (
        "reasoning",
        "message",
        "function_call",
        "function_call",
    )
    assert thought.summary[0].text == "let me see"
    assert answer.output_text == "listing"
    assert json.loads(first.arguments) == {"command": "ls"}
    assert first.call_id != second.call_id
    assert answer.usage.input_tokens == 100


async def test_openai_reads_a_whole_response(providers: Providers) -> None:
    provider = providers.start("alpha", wire="responses")
    provider.plays(Turn(text=("hel", "lo"), finish="length"))
    body: dict[str, Any] = {"model": "m", "input": "hi", "store": False}
    answer: Any = await with_openai(provider, lambda client: client.responses.create(**body))
    assert (answer.status, answer.output_text) == ("incomplete", "hello")
    assert answer.incomplete_details.reason == "max_output_tokens"


async def test_a_second_answer_has_other_ids_than_the_first(providers: Providers) -> None:
    provider = providers.start("alpha", wire="responses")
    provider.plays(calls(Call("Bash", {}), reasoning=("hm",)))
    first, second = [await responded(provider, tools=[FLAT_BASH]) for _ in range(2)]
    assert not {item.id for item in first.output} & {item.id for item in second.output}


async def _thought_and_called(provider: ScriptedProvider) -> tuple[dict[str, Any], dict[str, Any]]:
    """A reasoning item and a call, as they are to come back."""
    provider.plays(calls(Call("Bash", {}), reasoning=("hm",)), says("done"))
    answer = await responded(provider, include=SEALED, tools=[FLAT_BASH])
    thought = answer.output[0].to_dict(mode="json")
    call = answer.output[1].to_dict(mode="json")
    kept = {key: call[key] for key in ("type", "call_id", "name", "arguments")}
    return {key: value for key, value in thought.items() if value is not None}, kept


@pytest.mark.parametrize("harm", ["none", "changed", "alone", "of another"])
async def test_reasoning_that_comes_back_is_judged(harm: str, providers: Providers) -> None:
    provider, other = (providers.start(name, wire="responses") for name in ("alpha", "beta"))
    thought, call = await _thought_and_called(other if harm == "of another" else provider)
    if harm == "changed":
        thought["summary"][0]["text"] += "?"
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "ok"}
    followed = [call, result] if harm != "alone" else []
    hi = {"role": "user", "content": "hi"}
    await responded(provider, [hi, thought, *followed, hi], include=SEALED, tools=[FLAT_BASH])
    found, provider.violations[:] = list(provider.violations), []
    words = {
        "none": [],
        "changed": ["it is not as it was given"],
        "alone": ["required following item"],
        "of another": ["not given by this provider"],
    }[harm]
    assert [words[number] in fault for number, fault in enumerate(found)] == [True] * len(words)


async def test_anthropic_reads_a_streamed_message_whole(providers: Providers) -> None:
    provider = providers.start("claude", wire="anthropic")
    bash = Call("Bash", {"command": "ls"})
    provider.plays(calls(bash, bash, text="listing", reasoning=("let ", "me see")))
    answer = await messaged(provider, tools=[BASH], thinking=THINKING)
    thought, said, first, second = answer.content
    assert (thought.thinking, said.text, first.input) == ("let me see", "listing", {"command": "ls"})
    assert first.id != second.id
    assert first.id.startswith("toolu_")
    assert answer.id.startswith("msg_")
    assert (answer.stop_reason, answer.model) == ("tool_use", "m")


async def test_anthropic_reads_a_whole_message(providers: Providers) -> None:
    provider = providers.start("claude", wire="anthropic")
    provider.plays(says("hel", "lo", usage=Usage(prompt=11, cached=4)))
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
    }
    answer = await with_anthropic(provider, lambda client: client.messages.create(**body))
    assert answer.content[0].text == "hello"
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (7, 4)


async def test_models_are_listed_in_anthropics_shape(providers: Providers) -> None:
    provider = providers.start("claude", wire="anthropic")
    models = await with_anthropic(provider, lambda client: [model.id for model in client.models.list()])
    assert models == ["claude-model"]


@pytest.mark.parametrize("how", ["bearer", "both", "none of ours"])
async def test_a_provider_on_anthropics_wire_wants_one_credential(how: str, providers: Providers) -> None:
    provider = providers.start("claude", wire="anthropic", key_header="authorization")
    client = providers.start("client", wire="anthropic", credential=("authorization", "Bearer of a client"))
    cases: dict[str, tuple[ScriptedProvider, dict[str, Any], list[str]]] = {
        "bearer": (provider, {"auth_token": provider.key}, []),
        "both": (
            provider,
            {"auth_token": provider.key, "default_headers": {"x-api-key": provider.key}},
            ["headers authorization and x-api-key are one credential too many"],
        ),
        "none of ours": (client, {"auth_token": "of a client"}, []),
    }
    asked, given, expected = cases[how]
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    await with_anthropic(asked, lambda each: each.messages.create(**body), **given)
    assert [fault.partition(": ")[2] for fault in asked.violations] == expected
    asked.violations.clear()
    assert (client.entry()["api_key"], provider.entry()["api_key"]) == ("passthrough", provider.key)


def called(thinking: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A tool loop under way whose turn began with these blocks."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [*thinking, use]},
        {"role": "user", "content": [result]},
    ]


async def test_a_strict_provider_takes_back_what_it_thought_and_nothing_else(providers: Providers) -> None:
    provider = providers.start("claude", wire="anthropic", strictness="turns")
    for turn in (says("x", reasoning=("hm",)), Turn(text=("x",), unseen=True)):
        provider.plays(turn)
        thought = (await messaged(provider, thinking=THINKING)).content[0].to_dict()
        await messaged(provider, called([thought]), tools=[BASH], thinking=THINKING)
        member = "signature" if thought["type"] == "thinking" else "data"
        other = thought | {member: told(turn, "anthropic").frames[-1].decode()}
        with pytest.raises(anthropic.BadRequestError, match=f"content.0: Invalid `{member}`"):
            await messaged(provider, called([other]), tools=[BASH], thinking=THINKING)


async def test_a_strict_provider_wants_a_turn_that_calls_to_begin_with_thinking(providers: Providers) -> None:
    provider = providers.start("claude", wire="anthropic", strictness="turns")
    with pytest.raises(anthropic.BadRequestError, match="Expected `thinking` or `redacted_thinking`"):
        await messaged(provider, called([]), tools=[BASH], thinking=THINKING)
    await messaged(provider, called([]), tools=[BASH], thinking={"type": "disabled"})
    later = [*called([]), {"role": "assistant", "content": "done"}, {"role": "user", "content": "and?"}]
    await messaged(provider, later, tools=[BASH], thinking=THINKING)


def _create(body: dict[str, Any], client: Anthropic) -> Any:
    return client.messages.create(**body)


async def test_headers_that_betray_the_client_are_held_against_whoever_sends_them(
    providers: Providers,
) -> None:
    provider = providers.start("claude", wire="anthropic")
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    for name in ("cookie", "x-forwarded-for", "forwarded", "x-ccproxy-loop"):
        ask = partial(_create, body | {"extra_headers": {name: "x"}})
        await with_anthropic(provider, ask)
        assert [f"header {name} was sent on" in fault for fault in provider.violations] == [True]
        provider.violations.clear()


async def test_an_agent_reads_the_conversation_on_every_wire(providers: Providers) -> None:
    responses = providers.start("alpha", wire="responses")
    native = providers.start("claude", wire="anthropic")
    for provider in (responses, native):
        provider.behaves(agent(calls(Call("Bash", {})), says("done")))
    picture = f"data:image/png;base64,{PIXEL}"
    items = [
        {"role": "user", "content": [{"type": "input_image", "image_url": picture, "detail": "auto"}]},
        {"role": "assistant", "content": "I look"},
        {"type": "function_call", "call_id": "c1", "name": "Bash", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ]
    answer = await responded(responses, items, instructions="be brief", tools=[FLAT_BASH])
    assert answer.output_text == "done"
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    messages = called([{"type": "text", "text": "I look"}])
    messages[0]["content"] = [{"type": "image", "source": source}]
    message = await messaged(native, messages, tools=[BASH], system="be brief")
    assert message.content[0].text == "done"
    for provider in (responses, native):
        request = provider.requests[-1]
        assert [each["role"] for each in request.messages] == ["system", "user", "assistant", "tool"]
        assert (tool_results(request), request.tool_names) == (["ok"], ["Bash"])
        assert len(images(request)) == 1
        assert "I look" in request.text_of("assistant")


async def test_one_server_answers_on_several_wires(providers: Providers) -> None:
    provider = providers.start("alpha", wire="responses", besides=["chat"])
    assert (await responded(provider)).output_text == "ok"
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    answer = await with_openai(provider, lambda client: client.chat.completions.create(**body))
    assert answer.choices[0].message.content == "ok"
    assert [request.wire for request in provider.requests] == ["responses", "chat"]
    assert provider.entry()["options"] == {"wire": "responses"}


async def test_a_wire_that_a_server_does_not_have_is_not_found(providers: Providers) -> None:
    provider = providers.start("alpha", wire="chat")
    with pytest.raises(openai.NotFoundError):
        await responded(provider)
    assert ["no such endpoint" in fault for fault in provider.violations] == [True]
    provider.violations.clear()


class _ToldInStreamError(Exception):
    """An event said so."""


async def _heard(provider: ScriptedProvider) -> str:
    """The text that the vendor's package reads from a stream, until it ends or complains.

    OpenAI's hands on the event that is nothing but an error as one like the others.
    """
    if provider.wire == "anthropic":
        return "".join(block.text for block in (await messaged(provider)).content)
    body: dict[str, Any] = {"model": "m", "input": "hi", "store": False, "stream": True}

    def read(client: OpenAI) -> str:
        text = ""
        for event in client.responses.create(**body):
            if event.type == "error":
                raise _ToldInStreamError(event.message)
            text += event.delta if event.type == "response.output_text.delta" else ""
        return text

    return await with_openai(provider, read)


@pytest.mark.parametrize("wire", ["responses", "anthropic"])
async def test_a_fault_is_told_in_the_words_of_its_wire(wire: Wire, providers: Providers) -> None:
    """The packages know it for what it is; what they take for a good answer is none to us."""
    provider = providers.start("alpha", wire=wire)
    package = anthropic if wire == "anthropic" else openai
    provider.plays(faults.slow(says("hel", "lo"), before=0.01, within=0.01, wire=wire))
    assert await _heard(provider) == "hello"
    for reply in (faults.error_in_stream(wire=wire), faults.error_in_stream("hel", "lo", wire=wire)):
        provider.plays(reply)
        with pytest.raises((package.APIError, _ToldInStreamError), match="The server had an error"):
            await _heard(provider)
    for code, error in ((429, package.RateLimitError), (500, package.InternalServerError)):
        provider.plays(faults.status(code, "not now", wire=wire))
        with pytest.raises(error, match="not now"):
            await _heard(provider)
    provider.plays(faults.dies_after_text("hel", "lo", wire=wire))
    with pytest.raises(Exception, match=r"incomplete chunked read|Connection error"):
        await _heard(provider)


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_can_be_cut_before_each_of_its_parts(wire: Wire) -> None:
    whole_stream = told(says("hel", "lo"), wire)
    sizes = [
        len(faults.begun(wire=wire)) - 1,
        len(faults.begun("hel", "lo", wire=wire)) - 1,
        len(faults.without_mark("hel", "lo", wire=wire)) - 2,
    ]
    parts = [whole_stream.opening, whole_stream.begun, whole_stream.unmarked]
    assert sizes == [len(part) for part in parts]
    assert sizes == sorted(set(sizes))


_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TURNS = {
    "text": says("hel", "lo"),
    "everything": calls(Call("Bash", {"a": 1}), Call("Read", {}), text="x", reasoning=("h", "m")),
    "unseen": Turn(text=("x",), unseen=True),
    "refused": Turn(refusal=("no",), finish="content_filter"),
    "nothing": Turn(),
}


@pytest.mark.parametrize("name", TURNS)
def test_what_anthropics_wire_tells_is_a_word_of_its_own_types(name: str) -> None:
    payloads = [frame.partition(b"data: ")[2] for frame in told(TURNS[name], "anthropic").frames]
    faults = [event_violations(payload) for payload in payloads if b'"ping"' not in payload]
    assert [fault for fault in faults if fault] == []
    assert message_violations(json.dumps(whole(TURNS[name], "anthropic"))) == []


@pytest.mark.parametrize("name", TURNS)
def test_what_the_responses_wire_tells_is_a_word_of_openais_types(name: str) -> None:
    payloads = [frame.partition(b"data: ")[2] for frame in told(TURNS[name], "responses").frames]
    events = [_EVENT.validate_json(payload, strict=True) for payload in payloads]
    assert [event.sequence_number for event in events] == [*range(len(events))]


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("wire", WIRES)
def test_the_parts_of_a_stream_are_all_of_it_and_its_mark_is_last(wire: Wire, name: str) -> None:
    stream = told(TURNS[name], wire)
    assert stream.frames == (*stream.opening, *stream.content, *stream.finish, stream.mark)
    last = {"chat": b"[DONE]", "responses": b"response.", "anthropic": b"message_stop"}[wire]
    assert last in stream.mark
    assert all(frame.endswith(b"\n\n") for frame in (*stream.frames, error_frame(wire, "no")))


@pytest.mark.parametrize("wire", WIRES)
def test_the_last_block_of_a_stream_is_open_until_its_finish(wire: Wire) -> None:
    stream = told(says("hel", "lo"), wire)
    closes = {"chat": b'"stop"', "responses": b"output_item.done", "anthropic": b"content_block_stop"}[wire]
    assert not any(closes in frame for frame in stream.begun)
    assert any(closes in frame for frame in stream.finish)
    assert b"lo" in stream.content[-1]
