"""The scripted provider, seen by the `openai` package: if that understands it, it speaks the language."""

from collections.abc import Callable
from typing import Any, TypeVar

import openai
import pytest
import trio
from openai import AzureOpenAI, OpenAI
from trio.testing import wait_all_tasks_blocked

from tests.conftest import Providers
from tests.support import faults
from tests.support.agent import agent, by_prompt
from tests.support.chunks import Call, Usage, calls, says, text_chunks, tool_call_chunks
from tests.support.scripted import ScriptedProvider

pytestmark = pytest.mark.process
T = TypeVar("T")


def asks(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]} | more


async def with_sdk(provider: ScriptedProvider, use: Callable[[OpenAI], T], *, key: str | None = None) -> T:
    """Run `use` with the package's client, in a thread: its async streams are not closed in good order."""

    def in_thread() -> T:
        with OpenAI(base_url=provider.base_url, api_key=key or provider.key, max_retries=0) as client:
            return use(client)

    return await trio.to_thread.run_sync(in_thread)


async def whole(provider: ScriptedProvider, **more: Any) -> Any:
    return await with_sdk(provider, lambda client: client.chat.completions.create(**asks() | more))


async def streamed_text(provider: ScriptedProvider) -> str:
    def read(client: OpenAI) -> str:
        stream: Any = client.chat.completions.create(**asks(stream=True))
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    return await with_sdk(provider, read)


async def test_a_turn_is_streamed_or_whole_as_the_request_asks(providers: Providers) -> None:
    provider = providers.start("alpha")
    provider.plays(says("hel", "lo", usage=Usage(prompt=11)))
    assert await streamed_text(provider) == "hello"
    completion = await whole(provider)
    assert completion.choices[0].message.content == "hello"
    assert completion.usage.prompt_tokens == 11


async def test_parallel_calls_arrive_with_their_own_ids_and_arguments(providers: Providers) -> None:
    provider = providers.start("alpha")
    provider.plays(calls(Call("Read", {"path": "a"}), Call("Read", {"path": "b"})))

    def read(client: OpenAI) -> Any:
        with client.chat.completions.stream(**asks()) as stream:
            return stream.get_final_completion().choices[0]

    answer = await with_sdk(provider, read)
    assert answer.finish_reason == "tool_calls"
    assert [(call.id, call.function.arguments) for call in answer.message.tool_calls] == [
        ("call_0", '{"path": "a"}'),
        ("call_1", '{"path": "b"}'),
    ]


async def test_replies_come_in_order_and_the_last_one_stays(providers: Providers) -> None:
    provider = providers.start("alpha")
    provider.plays(says("one"), says("two"))
    assert [await streamed_text(provider) for _ in range(3)] == ["one", "two", "two"]


async def test_a_connection_serves_several_requests(providers: Providers) -> None:
    provider = providers.start("alpha")

    def ask_thrice(client: OpenAI) -> None:
        for _ in range(3):
            client.chat.completions.create(**asks())

    await with_sdk(provider, ask_thrice)
    assert [request.connection for request in provider.requests] == [1, 1, 1]


async def test_azure_has_its_own_paths_and_header(providers: Providers) -> None:
    version = "2024-02-15-preview"
    provider = providers.start("azure", api_version=version)

    def ask() -> Any:
        with AzureOpenAI(
            azure_endpoint=provider.base_url, api_key=provider.key, api_version=version
        ) as client:
            return client.chat.completions.create(**asks() | {"model": provider.model})

    answer = await trio.to_thread.run_sync(ask)
    assert answer.choices[0].message.content == "ok"


async def test_models_can_be_asked_for(providers: Providers) -> None:
    provider = providers.start("alpha")
    models = await with_sdk(provider, lambda client: [model.id for model in client.models.list()])
    assert models == ["alpha-model"]
    assert len(provider.probes) == 1
    assert provider.requests == []


async def test_an_absent_provider_refuses_until_it_opens_and_after_it_shuts(providers: Providers) -> None:
    provider = providers.absent("alpha")
    with pytest.raises(openai.APIConnectionError):
        await streamed_text(provider)
    provider.open()
    assert await streamed_text(provider) == "ok"
    provider.shut()
    await wait_all_tasks_blocked()
    with pytest.raises(openai.APIConnectionError):
        await streamed_text(provider)


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_dying_stream_shows_what_came_before_and_then_breaks(
    how: faults.Ending, providers: Providers
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.dies_after_text("hel", "lo", how=how))
    seen: list[str] = []

    def read(client: OpenAI) -> None:
        stream: Any = client.chat.completions.create(**asks(stream=True))
        seen.extend(chunk.choices[0].delta.content for chunk in stream)

    with pytest.raises(openai.APIConnectionError):
        await with_sdk(provider, read)
    assert seen == ["", "hel", "lo"]


async def test_a_truncated_stream_ends_in_good_form(providers: Providers) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.dies(text_chunks("hello"), "clean"))
    assert await streamed_text(provider) == "hello"


async def test_a_test_can_hold_an_answer_back(providers: Providers) -> None:
    provider = providers.start("alpha")
    gate = trio.Event()
    provider.plays(faults.paused("first", gate, "second"))

    def read(client: OpenAI) -> list[str | None]:
        texts = []
        stream: Any = client.chat.completions.create(**asks(stream=True))
        for chunk in stream:
            texts += [choice.delta.content for choice in chunk.choices]
            if texts[-1] == "first":
                trio.from_thread.run_sync(gate.set)
        return texts

    assert "second" in await with_sdk(provider, read)


async def test_a_leaving_client_is_noticed_at_once(providers: Providers) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.stops_talking("hello"))

    def leave_early(client: OpenAI) -> None:
        stream: Any = client.chat.completions.create(**asks(stream=True))
        with stream:
            next(iter(stream))

    await with_sdk(provider, leave_early)
    with trio.fail_after(1):
        await provider.requests[0].gone.wait()


@pytest.mark.parametrize(
    "reply",
    [faults.closes("fin"), faults.closes("rst"), faults.garbage()],
    ids=["fin", "rst", "garbage"],
)
async def test_what_is_no_answer_is_a_connection_error(reply: faults.Steps, providers: Providers) -> None:
    provider = providers.start("alpha")
    provider.plays(reply)
    with pytest.raises(openai.APIConnectionError):
        await streamed_text(provider)


async def test_a_status_carries_its_headers(providers: Providers) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.status(429, "slow down", retry_after="7"))
    with pytest.raises(openai.RateLimitError) as caught:
        await streamed_text(provider)
    assert caught.value.response.headers["retry-after"] == "7"


async def test_an_unknown_key_is_held_against_the_client(providers: Providers) -> None:
    provider = providers.start("alpha")
    await whole(provider, extra_body={"top_k": 5})
    assert ["top_k" in fault for fault in provider.violations] == [True]
    provider.violations.clear()


async def test_a_wrong_key_is_held_against_the_client(providers: Providers) -> None:
    provider = providers.start("alpha")
    await with_sdk(provider, lambda client: client.chat.completions.create(**asks()), key="other")
    assert provider.violations == ["request 1: header authorization is wrong"]
    provider.violations.clear()


async def test_an_agent_answers_by_the_state_of_the_conversation(providers: Providers) -> None:
    provider = providers.start("alpha")
    outer = agent(says("one"), says("two"))
    provider.behaves(by_prompt({"inner": agent(says("from inside"))}, otherwise=outer))
    tools = [{"type": "function", "function": {"name": "Bash"}}]
    begun = asks("outer")["messages"]
    later = [*begun, {"role": "assistant", "content": "one"}, {"role": "user", "content": "and?"}]

    async def heard(messages: list[dict[str, Any]], **more: Any) -> str:
        completion = await whole(provider, messages=messages, **more)
        return str(completion.choices[0].message.content)

    assert await heard(begun, tools=tools) == "one"
    assert await heard(begun) == "aside"
    assert await heard(begun, tools=tools) == "one"
    assert await heard(later, tools=tools) == "two"
    assert await heard(asks("inner")["messages"], tools=tools) == "from inside"


def test_arguments_are_streamed_in_halves_that_join() -> None:
    chunks = tool_call_chunks(Call("Bash", {"command": "ls"}))
    pieces = [chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for chunk in chunks]
    assert "".join(pieces) == '{"command": "ls"}'
    assert len(pieces) == 3
