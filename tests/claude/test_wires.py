"""Claude Code at work through the Responses wire and through Anthropic's own: what it does arrives there."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.claude.conftest import Claude
from tests.claude.test_limits import SUMMARY, asks_for_summary, compactable
from tests.claude.test_work import bash, png
from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.agent import agent, by_prompt, images, spoken, tool_results, turns_taken
from tests.support.chunks import Call, Turn, calls, says
from tests.support.proxy import Form
from tests.support.scripted import Reply, Request, ScriptedProvider
from tests.support.seals import is_redacted, signature
from tests.support.told import Wire
from tests.support.validation_anthropic import thinking_refusal

pytestmark = pytest.mark.claude
NEW_WIRES: tuple[Wire, ...] = ("responses", "anthropic")


@pytest.fixture
def proxy_form() -> Form:
    """What differs here is what is sent, not how the proxy is started."""
    return "warm"


def start(providers: Providers, wire: Wire) -> ScriptedProvider:
    """A provider that takes no thinking but its own, unchanged and where it belongs."""
    return providers.start("alpha", wire=wire, strictness="turns")


def unseen(turn: Turn) -> Turn:
    """The same, behind reasoning of which nothing is shown."""
    return replace(turn, unseen=True)


def thought(number: int) -> list[str]:
    """Reasoning in pieces, with what does not survive being written anew."""
    return [f'Thought {number}: “grün”,\n\n\ttabbed \\ "quoted" ', "日本 😀 \u2028", f"and {number}. " * 300]


async def test_parallel_tools_a_picture_and_a_second_run_on_the_responses_wire(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Reasoning comes back encrypted, in order and before what followed it: the judge holds it to that."""
    provider = start(providers, "responses")
    last = await _worked(provider, claude, start_proxy)
    items = [item for item in last.body["input"] if item.get("type") == "reasoning"]
    shown = ["".join(part["text"] for part in item["summary"]) for item in items]
    assert shown == ["".join(thought(0)), "", *["".join(thought(number)) for number in (2, 3)]]
    assert [bool(item["encrypted_content"]) for item in items] == [True] * 4
    outputs = [item["output"] for item in last.body["input"] if item.get("type") == "function_call_output"]
    (picture,) = [part for output in outputs if isinstance(output, list) for part in output]
    assert picture["type"] == "input_image"


async def test_parallel_tools_a_picture_and_a_second_run_on_anthropics_wire(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Thinking comes back with its signatures, byte for byte; no request had to be put otherwise."""
    provider = start(providers, "anthropic")
    last = await _worked(provider, claude, start_proxy)
    blocks = thinking_blocks(last)
    shown = [block["thinking"] for block in blocks if block["type"] == "thinking"]
    assert shown == ["".join(thought(number)) for number in (0, 2, 3)]
    assert [block.get("signature") for block in blocks if block["type"] == "thinking"] == [
        signature("alpha", text) for text in shown
    ]
    assert [block["type"] for block in blocks].index("redacted_thinking") == 1
    assert is_redacted(blocks[1]["data"], "alpha")
    (picture,) = [part for result in _results(last) if isinstance(result, list) for part in result]
    assert picture["type"] == "image"
    assert refusals(provider) == []
    assert {request.body["thinking"]["type"] for request in provider.requests} == {"adaptive"}


def _results(request: Request) -> list[Any]:
    contents = [message["content"] for message in request.body["messages"] if message["role"] == "user"]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return [block["content"] for block in blocks if block["type"] == "tool_result"]


async def _worked(provider: ScriptedProvider, claude: Claude, start_proxy: StartProxy) -> Request:
    """Two runs of one session, with reasoning before everything; the provider's last request."""
    code = claude(await start_proxy(provider))
    picture = code.workplace / "red.png"
    picture.write_bytes(png(width=16, height=16, colour=(255, 0, 0)))
    wanted = [bash(f"echo result-{letter} | tee {letter}.txt") for letter in "abc"]
    provider.behaves(
        agent(
            calls(*wanted, text="Three at once.", reasoning=thought(0)),
            unseen(calls(Call("Read", {"file_path": str(picture)}))),
            says("It is red.", reasoning=thought(2)),
            calls(bash("echo step >> log.txt; cat log.txt"), reasoning=thought(3)),
            says("Done again."),
        )
    )
    first = await code.ask("Work.")
    second = await code.ask("Go on.", "--continue")
    assert [done.text for done in (first, second)] == ["It is red.", "Done again."]
    assert _texts(code.workplace) == {
        "a.txt": "result-a\n",
        "b.txt": "result-b\n",
        "c.txt": "result-c\n",
        "log.txt": "step\n",
    }
    last = provider.requests[-1]
    assert [turns_taken(request) for request in provider.requests] == list(range(5))
    assert [len(message.get("tool_calls", ())) for message in spoken(last)] == [3, 1, 0, 1]
    results = tool_results(last)
    assert [f"result-{letter}" in result for letter, result in zip("abc", results, strict=False)] == [
        True
    ] * 3
    assert "step" in results[-1]
    assert images(last) == [picture.read_bytes()]
    assert last.body["model"] == provider.model
    return last


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix == ".txt"}


def thinking_blocks(request: Request) -> list[dict[str, Any]]:
    """What came back of the model's thinking on Anthropic's wire, in order."""
    contents = [message["content"] for message in request.body["messages"] if message["role"] == "assistant"]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return [block for block in blocks if "thinking" in block["type"]]


def refusals(provider: ScriptedProvider) -> list[str]:
    """What a native provider held against the thinking it was sent, and the proxy may have mended unseen."""
    native = [request.body for request in provider.requests if request.wire == "anthropic"]
    found = [thinking_refusal(body, provider.name, "turns") for body in native]
    return [refusal for refusal in found if refusal is not None]


@pytest.mark.parametrize("wire", NEW_WIRES)
async def test_a_subagent_works_and_each_gets_its_own_thinking_back(
    wire: Wire, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """The subagent asks for no thinking; on the Responses wire models think all the same."""
    provider = start(providers, wire)
    errand = {"description": "errand", "prompt": "the-errand", "subagent_type": "general-purpose"}
    sent = calls(Call("Agent", errand), reasoning=thought(0))
    step = calls(bash("echo errand >> log.txt"))
    thinking = unseen(step) if wire == "responses" else step
    worker = agent(thinking, says("I am back."))
    main = agent(sent, calls(bash("echo main >> log.txt"), reasoning=thought(1)), says("Both back."))
    provider.behaves(by_prompt({"the-errand": worker}, otherwise=main))
    code = claude(await start_proxy(provider))
    done = await code.ask("Delegate.")
    assert (done.failed, done.text) == (False, "Both back.")
    assert (code.workplace / "log.txt").read_text().split() == ["errand", "main"]
    last = provider.requests[-1]
    assert "I am back." in tool_results(last)[0]
    told = thoughts_of(last)
    assert told == ["".join(thought(number)) for number in (0, 1)]
    (of_worker,) = [one for one in provider.requests if "the-errand" in one.text_of("user") and spoken(one)]
    assert len(thoughts_of(of_worker)) == (wire == "responses")
    assert refusals(provider) == []


def thoughts_of(request: Request) -> list[str]:
    """The texts of the thinking that came back on one of the two wires, in order."""
    if request.wire == "anthropic":
        return [block["thinking"] for block in thinking_blocks(request)]
    items = [item for item in request.body["input"] if item.get("type") == "reasoning"]
    return ["".join(part["text"] for part in item["summary"]) for item in items]


@pytest.mark.parametrize("wire", NEW_WIRES)
async def test_a_full_context_is_compacted_and_the_session_goes_on(
    wire: Wire, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = start(providers, wire)

    def overflowing(request: Request) -> Reply:
        taken = turns_taken(request)
        if taken < 3:
            return calls(bash(f"echo step-{taken} >> log.txt"), reasoning=[f"Step {taken}."])
        return faults.too_long(prompt=210_000, limit=200_000, wire=wire)

    provider.behaves(compactable(overflowing))
    code = claude(await start_proxy(provider))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Finished after compaction.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1", "step-2"]
    assert sum(asks_for_summary(request) for request in provider.requests) == 1
    assert SUMMARY in provider.requests[-1].text_of("user")
    kept = thoughts_of(provider.requests[-1])  # of the last rounds; how many depends on what it was told
    assert kept in (["Step 2."], ["Step 1.", "Step 2."])
    assert refusals(provider) == []


OTHER_WIRE = (
    "Function tools with reasoning_effort are not supported for alpha-model in /v1/chat/completions. "
    "Please use /v1/responses instead."
)


async def test_a_model_that_wants_the_responses_wire_is_asked_there_from_its_first_refusal_on(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha", besides=["responses"])
    works = agent(calls(bash("echo step >> log.txt"), reasoning=thought(0)), says("Done."))
    refused = faults.bad_request(OTHER_WIRE, param="reasoning_effort")
    provider.behaves(lambda request: refused if request.wire == "chat" else works(request))
    code = claude(await start_proxy(provider))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    assert (code.workplace / "log.txt").read_text().split() == ["step"]
    assert [request.wire for request in provider.requests] == ["chat", "responses", "responses"]
    assert thoughts_of(provider.requests[-1]) == ["".join(thought(0))]
