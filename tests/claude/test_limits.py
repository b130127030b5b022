"""Where patience or the context window ends: silence is outlasted, and a full context is compacted."""

from collections.abc import Callable

import pytest

from tests.claude.conftest import Claude
from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.agent import turns_taken
from tests.support.chunks import Call, Turn, calls, says
from tests.support.claude import STREAM_JSON
from tests.support.scripted import Reply, Request, Script

pytestmark = pytest.mark.claude

SUMMARY = "canary-summary: steps were taken."


def step(number: int, *, and_print: str = "true") -> Turn:
    """One tool call that leaves a line of its own."""
    command = f"echo step-{number} >> log.txt; {and_print}"
    return calls(Call("Bash", {"command": command, "description": "a step"}))


def compactable(replies: Callable[[Request], Reply]) -> Script:
    """Take steps until asked for a summary of them; after it, finish."""

    def answer(request: Request) -> Reply:
        if SUMMARY in request.text_of("user"):
            return says("Finished after compaction.")
        if asks_for_summary(request):
            return says(f"<summary>{SUMMARY}</summary>")
        return replies(request)

    return answer


def asks_for_summary(request: Request) -> bool:
    """Whether the client compacts its conversation."""
    return "<summary>" in request.text_of("user")


OVERFLOWS: dict[str, Callable[[], faults.Steps]] = {
    "OpenAI": lambda: faults.too_long(prompt=210_000, limit=200_000),
    "vLLM": lambda: faults.too_long_with_answer(prompt=210_000, answer=1_000, limit=200_000),
    "Gemini": lambda: faults.too_long_for_gemini(prompt=210_000, limit=200_000),
    "llama.cpp": lambda: faults.too_long_for_llama(prompt=210_000, limit=200_000),
}


@pytest.mark.parametrize("whose", OVERFLOWS)
async def test_a_full_context_is_compacted_and_the_session_goes_on(
    whose: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")

    def overflowing(request: Request) -> Reply:
        taken = turns_taken(request)
        return step(taken) if taken < 3 else OVERFLOWS[whose]()

    provider.behaves(compactable(overflowing))
    proxy = await start_proxy(provider)
    code = claude(proxy)
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Finished after compaction.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0", "step-1", "step-2"]
    assert proxy.output.count("prompt is too long: 210000 tokens > 200000 maximum") == 1
    assert sum(asks_for_summary(request) for request in provider.requests) == 1


async def test_a_prompt_beyond_the_configured_window_is_compacted_without_being_sent(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Each step brings some 6,000 tokens to the 17,000 of an empty conversation, so four do not fit.

    Ollama would cut the prompt without a word.
    """
    provider = providers.start("alpha")
    a_lot = "yes 'a line of words that weighs as much as any other' | head -c 24000"

    def chatty(request: Request) -> Reply:
        taken = turns_taken(request)
        return step(taken, and_print=a_lot) if taken < 8 else says("All of it was taken.")

    provider.behaves(compactable(chatty))
    proxy = await start_proxy(provider.entry(profile="ollama", context_window=40_000))
    code = claude(proxy)
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Finished after compaction.")
    steps = (code.workplace / "log.txt").read_text().split()
    assert steps == [f"step-{number}" for number in range(len(steps))]
    sent = [turns_taken(request) for request in provider.requests if SUMMARY not in request.text_of("user")]
    # Behind the last step comes the request for a summary of what was before it, and nothing that holds all.
    assert sent[:-1] == [*range(len(steps))]
    assert sent[-1] < len(steps)
    assert asks_for_summary(provider.requests[len(steps)])
    assert proxy.output.count("maximum") == proxy.output.count("tokens > 40000 maximum") == 1


async def test_an_answer_that_may_not_be_so_long_is_asked_for_again_unseen(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")

    def small(request: Request) -> Reply:
        answer = request.body["max_completion_tokens"]
        if answer > 12_000:
            return faults.too_long_with_answer(prompt=20_000, answer=answer, limit=32_000)
        return step(0) if turns_taken(request) == 0 else says("Done.")

    provider.behaves(small)
    proxy = await start_proxy(provider)
    done = await claude(proxy).ask("Work.")
    assert (done.failed, done.text) == (False, "Done.")
    answers = [request.body["max_completion_tokens"] for request in provider.requests]
    assert answers == [64_000, 11_936] * 2
    assert [turns_taken(request) for request in provider.requests] == [0, 0, 1, 1]
    assert proxy.output.count("claude-opus-4-8 →") == 2


async def test_a_silent_provider_is_waited_for_on_the_first_request(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """The client would wait 3 s for a response head, and five minutes for an event that is no ping.

    The latter cannot be shortened, so it is shown that what resets it arrives: empty deltas, which the client
    reads as part of the answer, before the first word as well as behind it.
    """
    provider = providers.start("alpha")
    provider.plays(faults.slow(says("Here ", "I am."), before=6, within=3))
    rhythm = {"commit_after": 1, "keepalive_interval": 1, "heartbeat_interval": 2}
    code = claude(await start_proxy(provider.entry(timeout=30), **rhythm))
    done = await code.ask("Talk.", *STREAM_JSON, env={"API_TIMEOUT_MS": "3000"})
    assert (done.failed, done.text) == (False, "Here I am.")
    assert len(provider.requests) == 1
    deltas = [event["delta"] for event in done.events if event["type"] == "content_block_delta"]
    assert deltas.count({"type": "thinking_delta", "thinking": ""}) >= 2
    assert deltas.count({"type": "text_delta", "text": ""}) >= 1
