"""Providers fail under Claude Code's hands: the user keeps working, or reads one true sentence soon."""

from collections.abc import Callable

import pytest
import trio

from tests.claude.conftest import Claude
from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.agent import agent, tool_results, turns_taken
from tests.support.chunks import Call, Turn, calls, role_chunk, says, text_chunks, tool_call_chunks
from tests.support.scripted import Reply, Request, Script

pytestmark = pytest.mark.claude

FAULTS: dict[str, Callable[[], faults.Steps]] = {
    "500": lambda: faults.status(500),
    "429": lambda: faults.status(429, "slow down", kind="rate_limit_error", retry_after="30"),
    "hanging": faults.silent,
    "hanging after the head": faults.headers_then_silent,
    "dying before content": lambda: faults.dies_before_content("rst"),
    "web page": faults.web_page,
}


def step(number: int) -> Turn:
    """One tool call that leaves a line of its own."""
    return calls(Call("Bash", {"command": f"echo step-{number} >> log.txt", "description": "a step"}))


def work() -> Script:
    """Three steps and a closing word."""
    return agent(step(0), step(1), step(2), says("Finished."))


THREE_STEPS = ["step-0", "step-1", "step-2"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_session_is_finished_while_the_first_provider_fails(
    fault: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(FAULTS[fault]())
    second.behaves(work())
    code = claude(await start_proxy(first.entry(timeout=1), second))
    done = await code.ask("Work.")
    assert (done.exit_code, done.failed, done.text) == (0, False, "Finished.")
    assert (code.workplace / "log.txt").read_text().split() == THREE_STEPS
    assert first.requests
    assert done.seconds < 20


async def test_a_session_is_finished_while_the_first_provider_refuses(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    first, second = providers.absent("first"), providers.start("second")
    second.behaves(work())
    code = claude(await start_proxy(first, second))
    done = await code.ask("Work.")
    assert (done.exit_code, done.failed, done.text) == (0, False, "Finished.")
    assert (code.workplace / "log.txt").read_text().split() == THREE_STEPS
    assert done.seconds < 20


async def test_a_session_is_finished_when_the_first_provider_dies_on_the_way(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    first, second = providers.start("first"), providers.start("second")
    script = work()
    first.behaves(lambda request: faults.status(500) if turns_taken(request) >= 2 else script(request))
    second.behaves(work())
    code = claude(await start_proxy(first, second))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Finished.")
    assert (code.workplace / "log.txt").read_text().split() == THREE_STEPS


MIDSTREAM: dict[str, Callable[[Turn], faults.Steps]] = {
    "in its text": lambda _turn: faults.dies([role_chunk(), *text_chunks("I was about", " to")], "fin"),
    "in its text, by reset": lambda _turn: faults.dies([role_chunk(), *text_chunks("I was about")], "rst"),
    "in its text, well-formed": lambda _turn: faults.dies([role_chunk(), *text_chunks("I was")], "clean"),
    "in its call": lambda turn: faults.dies([role_chunk(), *tool_call_chunks(*turn.calls)[:2]], "fin"),
    "after its call": lambda turn: faults.dies(turn.content_chunks(), "fin"),
    "in its text, with an error": lambda _turn: faults.error_in_stream("I was about", " to"),
}


@pytest.mark.parametrize("moment", MIDSTREAM)
async def test_k07_a_death_after_the_first_words_costs_a_repeat_and_no_more(
    moment: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    """Claude Code asks again without stream; the second provider answers that, and each step runs once."""
    first, second = providers.start("first"), providers.start("second")
    script = work()

    def dies_once(request: Request) -> Reply:
        return MIDSTREAM[moment](step(1)) if turns_taken(request) == 1 else script(request)

    first.behaves(dies_once)
    second.behaves(work())
    code = claude(await start_proxy(first, second))
    done = await code.ask("Work.")
    assert (done.exit_code, done.failed, done.text) == (0, False, "Finished.")
    assert (code.workplace / "log.txt").read_text().split() == THREE_STEPS
    assert done.seconds < 20


ALL_DOWN: dict[str, Callable[[], faults.Steps] | None] = {
    "refused": None,
    "500": lambda: faults.status(500),
    "401": lambda: faults.status(401, "Incorrect API key"),
    "429": lambda: faults.status(429, "slow down", retry_after="30"),
}


@pytest.mark.parametrize("fault", ALL_DOWN)
async def test_when_all_are_down_the_user_is_told_within_seconds(
    fault: str, providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    both = [providers.absent("northern"), providers.absent("southern")]
    reply = ALL_DOWN[fault]
    if reply is not None:
        for provider in both:
            provider.open()
            provider.plays(reply())
    done = await claude(await start_proxy(*both, patience=3)).ask("Work.")
    assert done.exit_code == 1
    assert done.failed
    assert "northern" in done.text
    assert "southern" in done.text
    assert "/login" not in done.text
    assert done.seconds < 40


async def test_a_short_outage_is_waited_out(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    outage, script = [faults.status(503)] * 5, work()
    provider.behaves(lambda request: outage.pop() if outage else script(request))
    code = claude(await start_proxy(provider, patience=20))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Finished.")
    assert (code.workplace / "log.txt").read_text().split() == THREE_STEPS


async def test_k05_a_first_prompt_that_does_not_fit_is_told_plainly(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.too_long(prompt=210_000, limit=200_000))
    done = await claude(await start_proxy(provider)).ask("Work.")
    assert done.failed
    assert "too long" in done.text.lower()
    assert done.seconds < 20


async def test_an_interrupted_user_stops_the_provider_within_a_second(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.stops_talking("I am going to talk for hours"))
    proxy = await start_proxy(provider)
    async with claude(proxy).asking("Talk."):
        with trio.fail_after(30):
            request = await provider.arrived()
    with trio.fail_after(1):
        await request.gone.wait()


async def test_broken_arguments_are_put_right_by_the_model(
    providers: Providers, start_proxy: StartProxy, claude: Claude
) -> None:
    provider = providers.start("alpha")
    broken = calls(Call("Bash", '{"command": "echo x'))
    provider.behaves(agent(broken, step(0), says("Finished.")))
    code = claude(await start_proxy(provider))
    done = await code.ask("Work.")
    assert (done.failed, done.text) == (False, "Finished.")
    assert (code.workplace / "log.txt").read_text().split() == ["step-0"]
    assert len(tool_results(provider.requests[-1])) == 2
