"""What a provider wants back with its next request comes back through Claude Code: whole, to it alone."""

from typing import Any

import pytest

from tests.claude.conftest import Claude
from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.agent import agent, by_prompt, spoken, tool_results, turns_taken
from tests.support.chunks import (
    Call,
    Turn,
    calls,
    detail_chunks,
    reasoning_chunks,
    role_chunk,
    says,
    text_chunks,
)
from tests.support.scripted import Reply, Request, stream_reply

pytestmark = pytest.mark.claude

DEEPSEEK = ("thinking", "reasoning_content")
OPENROUTER = ("reasoning", "reasoning_details")
GEMINI = ("extra_content",)
BYPASS = {"google": {"thought_signature": "skip_thought_signature_validator"}}


def bash(command: str, *, signature: str | None = None) -> Call:
    extra = {"google": {"thought_signature": signature}} if signature else None
    return Call("Bash", {"command": command, "description": "a step"}, extra=extra)


def step(number: int, **more: Any) -> Turn:
    """One tool call that leaves a line of its own."""
    return calls(bash(f"echo step-{number} >> log.txt"), **more)


def thought(number: int) -> str:
    return f'Thought {number}: “grün”,\n\n\ttabbed \\ "quoted" 日本 😀 ' + f"and long {number}. " * 300


def in_pieces(text: str) -> list[str]:
    return [text[:7], text[7:1000], text[1000:]]


def reasoning(request: Request) -> list[str | None]:
    return [message.get("reasoning_content") for message in spoken(request)]


async def test_each_message_comes_back_with_its_own_reasoning_in_every_run_of_a_session(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Whole and nothing but, also where the model thought before its words and behind them."""
    provider = providers.start("alpha", also_allowed=DEEPSEEK)
    thoughts = [thought(number) for number in range(6)]
    steps: list[Reply] = [step(number, reasoning=in_pieces(thoughts[number])) for number in range(2)]
    before, *behind = in_pieces(thoughts[2])
    around = [*reasoning_chunks(before), *text_chunks("Hm."), *reasoning_chunks(*behind)]
    steps.append(stream_reply([role_chunk(), *around, *step(2).chunks()]))
    ends = [says(f"End {number}.", reasoning=in_pieces(thoughts[number])) for number in (3, 4, 5)]
    provider.behaves(agent(*steps, *ends))
    code = claude(await start_proxy(provider.entry(profile="deepseek")))
    first = await code.ask("Think and work.")
    second = await code.ask("Go on.", "--continue")
    third = await code.ask("And on.", "--resume", second.session)
    assert [done.text for done in (first, second, third)] == ["End 3.", "End 4.", "End 5."]
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1", "step-2"]
    assert [reasoning(request) for request in provider.requests] == [thoughts[:n] for n in range(6)]


TOLD = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, "id": "r-0"}
PIECES = [
    TOLD | {"text": "First the one, "},
    TOLD | {"text": "then the other."},
    TOLD | {"text": "", "signature": "c2lnbmVk"},
]
WHOLE = TOLD | {"text": "First the one, then the other.", "signature": "c2lnbmVk"}
LOCKED = {"type": "reasoning.encrypted", "data": "gAAAA+/=" * 500, "format": "x", "index": 1, "id": None}


def details(request: Request) -> list[Any]:
    return [message.get("reasoning_details") for message in spoken(request)]


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
async def test_reasoning_details_come_back_unchanged_and_in_order(
    *, streaming: bool, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """A streamed item comes in pieces and goes back whole; what is encrypted is not touched."""
    provider = providers.start("alpha", also_allowed=OPENROUTER)
    later = {"type": "reasoning.encrypted", "data": "second", "index": 0, "unknown": {"kept": [1, 2.5, None]}}
    told = [*PIECES, LOCKED] if streaming else [WHOLE, LOCKED]
    two = calls(bash("echo one > one.txt"), bash("echo two > two.txt"), text="Both.", details=told)
    provider.behaves(agent(two, step(0, details=[later]), says("Done.")))
    entry = provider.entry(profile="openrouter", options={"streaming": streaming})
    code = claude(await start_proxy(entry))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    assert sorted(path.name for path in code.workplace.iterdir()) == ["log.txt", "one.txt", "two.txt"]
    last = provider.requests[-1]
    assert details(last) == [[WHOLE, LOCKED], [later]]
    assert [len(message["tool_calls"]) for message in spoken(last)] == [2, 1]
    assert last.body.get("stream", False) is streaming


async def test_state_is_kept_by_an_answer_that_was_asked_for_again(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """A stream that dies in its thinking is repeated by Claude Code without stream."""
    provider = providers.start("alpha", also_allowed=OPENROUTER)
    died = [faults.dies([role_chunk(), *detail_chunks(*PIECES[:2])], "fin")]
    plays = agent(step(0, details=[*PIECES, LOCKED]), says("Done."))
    provider.behaves(lambda request: died.pop() if died else plays(request))
    code = claude(await start_proxy(provider.entry(profile="openrouter")))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0"]
    assert [details(request) for request in provider.requests] == [[], [], [[WHOLE, LOCKED]]]


def extras(request: Request) -> list[list[Any]]:
    """`extra_content` of each call of each message."""
    return [[call.get("extra_content") for call in message["tool_calls"]] for message in spoken(request)]


async def test_thought_signatures_come_back_each_on_its_own_call(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """A turn that bore none gets the value that Gemini documents for foreign histories, on its first call."""
    provider = providers.start("alpha", also_allowed=GEMINI)
    first = calls(bash("echo a > a.txt", signature="sig-A+/="), bash("echo b > b.txt", signature="sig-B"))
    second = step(0)
    third = calls(bash("echo c > c.txt", signature="sig-C" * 1000), reasoning=["I think."])
    provider.behaves(agent(first, second, third, says("Done.")))
    code = claude(await start_proxy(provider.entry(profile="gemini")))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    last = provider.requests[-1]
    signed = [{"google": {"thought_signature": text}} for text in ("sig-A+/=", "sig-B", "sig-C" * 1000)]
    assert extras(last) == [signed[:2], [BYPASS], signed[2:]]
    commands = [call["function"]["arguments"] for call in spoken(last)[0]["tool_calls"]]
    assert ["a.txt" in commands[0], "b.txt" in commands[1]] == [True, True]


async def test_state_goes_back_to_whoever_gave_it_and_to_nobody_else(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    first = providers.start("first", also_allowed=OPENROUTER)
    second = providers.start("second", also_allowed=OPENROUTER)

    def secret(text: str) -> dict[str, str]:
        return {"type": "reasoning.encrypted", "data": text}

    def script(name: str) -> Any:
        steps = [step(number, details=[secret(f"{name}-{number}")]) for number in range(3)]
        return agent(*steps, says(f"Done by {name}."))

    plays = script("first")
    first.behaves(lambda request: faults.status(500) if turns_taken(request) == 1 else plays(request))
    second.behaves(script("second"))
    entries = [one.entry(profile="openrouter", max_retries=0) for one in (first, second)]
    code = claude(await start_proxy(*entries))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done by first.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1", "step-2"]
    (abroad,) = second.requests
    assert details(abroad) == [None]
    assert "first-0" not in abroad.content.decode()
    assert len(tool_results(abroad)) == 1
    assert "Work." in abroad.text_of("user")
    assert details(first.requests[-1]) == [[secret("first-0")], None, [secret("first-2")]]
    assert len(tool_results(first.requests[-1])) == 3


async def test_a_history_from_elsewhere_is_taken_on_in_another_dialect(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    first = providers.start("first", also_allowed=DEEPSEEK)
    second = providers.start("second", also_allowed=GEMINI)
    begins = step(0, reasoning=["I am ", "the first."])
    first.behaves(lambda request: faults.status(500) if turns_taken(request) else begins)
    signed = calls(bash("echo step-1 >> log.txt", signature="sig-1"), reasoning=["I am the second."])
    second.behaves(agent(says("unused"), signed, says("Done by second.")))
    entries = [first.entry(profile="deepseek", max_retries=0), second.entry(profile="gemini")]
    code = claude(await start_proxy(*entries))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done by second.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1"]
    took_over, last = second.requests
    assert extras(took_over) == [[BYPASS]]
    assert extras(last) == [[BYPASS], [{"google": {"thought_signature": "sig-1"}}]]
    assert "I am the first." not in last.content.decode()
    assert "I am the second." not in first.requests[-1].content.decode()
    assert [message.get("reasoning_content") for message in spoken(first.requests[-1])] == [
        "I am the first.",
        "",
    ]


async def test_a_subagent_on_another_tier_gets_its_own_state_back_and_the_caller_its_own(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """It asks for no thinking, so its reasoning travels where it is not shown."""
    provider = providers.start("alpha", also_allowed=DEEPSEEK)
    errand = {"description": "errand", "prompt": "the-errand", "subagent_type": "general-purpose"}
    called = calls(Call("Agent", errand | {"model": "haiku"}), reasoning=["I send ", "somebody."])
    worker = agent(step(0, reasoning=["I was ", "sent."]), says("I am back.", reasoning=["That was all."]))
    main = agent(called, step(1, reasoning=["Now I."]), says("Both back."))
    provider.behaves(by_prompt({"the-errand": worker}, otherwise=main))
    models = {"big": ["large"], "small": ["little"]}
    code = claude(await start_proxy(provider.entry(profile="deepseek", models=models)))
    done = await code.ask("Delegate.")
    assert (done.failed, done.text) == (False, "Both back.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1"]
    by_model = {
        model: [request for request in provider.requests if request.body["model"] == model]
        for model in ("large", "little")
    }
    assert [reasoning(request) for request in by_model["little"]] == [[], ["I was sent."]]
    sent = ["I send somebody.", "Now I."]
    assert [reasoning(request) for request in by_model["large"]] == [sent[:n] for n in range(3)]
    assert "I am back." in tool_results(by_model["large"][-1])[0]
