"""What Claude Code makes of a gateway's failures: the facts that the proxy's answers are built on.

There is no proxy here. If a new version of the client does otherwise, this says so before its users do.
"""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import cast

import pytest
import trio

from tests.claude.conftest import Claude
from tests.claude.gateway import (
    BLOCK,
    BLOCK_STOP,
    DELTA,
    GOOD,
    PING,
    START,
    STOP,
    Gateway,
    failure,
    refused,
    stream,
    words,
)
from tests.support.claude import ClaudeCode, Outcome
from tests.support.proxy import Proxy
from tests.support.scripted import BODY_END, Cut, Pause, Repeat, Step

pytestmark = pytest.mark.claude
ANSWER = "Here I am."
ONE_RETRY = {"CLAUDE_CODE_MAX_RETRIES": "1"}


@pytest.fixture
async def gateway(nursery: trio.Nursery) -> AsyncIterator[Gateway]:
    listening = Gateway("gateway", nursery)
    listening.open()
    yield listening
    listening.release()


@pytest.fixture
def code(gateway: Gateway, claude: Claude) -> ClaudeCode:
    """The client pointed at the gateway, of which it needs nothing but the address."""
    return claude(cast("Proxy", gateway))


def assert_good(done: Outcome) -> None:
    assert (done.exit_code, done.failed, done.text) == (0, False, ANSWER)


def gaps(gateway: Gateway) -> list[float]:
    """Seconds between the requests for a message."""
    return [later.at - earlier.at for earlier, later in pairwise(gateway.requests)]


async def test_k01_a_short_retry_after_is_waited_for(gateway: Gateway, code: ClaudeCode) -> None:
    gateway.plays(
        refused(529, kind="overloaded_error", retry_after="2"),
        refused(429, kind="rate_limit_error", retry_after="2"),
        refused(503, retry_after="2"),
        GOOD,
    )
    assert_good(await code.ask("Talk."))
    assert len(gateway.requests) == 4
    assert all(2 <= gap < 6 for gap in gaps(gateway))


@pytest.mark.parametrize("status", [429, 529])
async def test_k02_a_retry_after_of_more_than_a_minute_ends_it(
    status: int, gateway: Gateway, code: ClaudeCode
) -> None:
    """Hence never more than 60."""
    gateway.plays(refused(status, "canary-words", retry_after="61"), GOOD)
    done = await code.ask("Talk.")
    assert done.failed
    assert len(gateway.requests) == 1
    assert done.seconds < 20


@pytest.mark.parametrize("status", [429, 500, 502])
async def test_k03_should_retry_false_ends_it_with_our_words(
    status: int, gateway: Gateway, code: ClaudeCode
) -> None:
    gateway.plays(refused(status, "canary-words", x_should_retry="false"), GOOD)
    done = await code.ask("Talk.")
    assert done.failed
    assert "canary-words" in done.text
    assert len(gateway.requests) == 1


async def test_k03_should_retry_false_is_ignored_beside_a_529(gateway: Gateway, code: ClaudeCode) -> None:
    gateway.plays(refused(529, kind="overloaded_error", x_should_retry="false"), GOOD)
    assert_good(await code.ask("Talk."))
    assert len(gateway.requests) == 2


@pytest.mark.parametrize("status", [400, 402, 403, 413])
async def test_k04_what_is_the_clients_fault_is_not_repeated(
    status: int, gateway: Gateway, code: ClaudeCode
) -> None:
    gateway.plays(refused(status, "canary-words", kind="invalid_request_error"), GOOD)
    done = await code.ask("Talk.")
    assert done.failed
    assert len(gateway.requests) == 1
    if status == 413:
        assert "Request too large" in done.text
        assert "32MB" in done.text
    elif status != 403:  # which it takes for a matter of its own key
        assert "canary-words" in done.text


async def test_k05_a_prompt_too_long_is_recognised_by_its_words(gateway: Gateway, code: ClaudeCode) -> None:
    told = "prompt is too long: 250000 tokens > 200000 maximum"
    gateway.plays(refused(400, told, kind="invalid_request_error"))
    done = await code.ask("Talk.")
    assert done.failed
    assert "Prompt is too long" in done.text
    assert "250000 tokens (limit 200000)" in done.text  # it has read the numbers


async def test_k06_a_404_is_repeated_once_without_stream(gateway: Gateway, code: ClaudeCode) -> None:
    gateway.plays(refused(404, "model: not here", kind="not_found_error"))
    done = await code.ask("Talk.")
    assert done.failed
    assert [request.body.get("stream", False) for request in gateway.requests] == [True, False]
    assert "model" in done.text


DEATHS: dict[str, tuple[Step, ...]] = {
    "rst": (Pause(0.5), Cut("rst")),
    "fin": (Cut("fin"),),
    "error": (failure(), BODY_END),
}


@pytest.mark.parametrize("how", DEATHS)
async def test_k07_a_death_behind_content_is_repeated_at_once_without_stream(
    how: str, gateway: Gateway, code: ClaudeCode
) -> None:
    gateway.plays(stream(START, BLOCK, words("half"), ends=DEATHS[how]), GOOD)
    assert_good(await code.ask("Talk."))
    assert [request.body.get("stream", False) for request in gateway.requests] == [True, False]
    assert gaps(gateway)[0] < 2
    assert gateway.requests[1].headers["x-stainless-timeout"] == "300"


async def test_k08_an_overload_before_content_is_repeated_as_a_stream_after_a_pause(
    gateway: Gateway, code: ClaudeCode
) -> None:
    """Pings in between are no content."""
    gateway.plays(stream(START, PING, PING, failure("overloaded_error", "Overloaded")), GOOD)
    assert_good(await code.ask("Talk."))
    assert [request.body.get("stream", False) for request in gateway.requests] == [True, True]
    assert gaps(gateway)[0] > 0.2


async def test_k09_an_answer_cut_behind_a_closed_block_is_taken_for_whole(
    gateway: Gateway, code: ClaudeCode
) -> None:
    """Hence the proxy leaves the last block open when a provider dies."""
    gateway.plays(stream(START, BLOCK, words(ANSWER), BLOCK_STOP), GOOD)
    assert_good(await code.ask("Talk."))
    assert len(gateway.requests) == 1


@pytest.fixture
def long(pytestconfig: pytest.Config) -> None:
    """For what takes minutes of real time: the client raises any shorter limit it is given."""
    if not pytestconfig.getoption("--long"):
        pytest.skip("it waits for minutes, which the client cannot be told to shorten: run it with --long")


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("begun", [True, False], ids=["behind content", "before anything"])
async def test_k10_pings_do_not_keep_a_stream_alive(begun: bool, gateway: Gateway, code: ClaudeCode) -> None:
    said = (START, BLOCK, words("half")) if begun else ()
    gateway.plays(stream(*said, ends=(Repeat((PING.data,), 10.0),)), GOOD)
    with trio.fail_after(400):
        assert_good(await code.ask("Talk.", within=400))
    assert [request.body.get("stream", False) for request in gateway.requests] == [True, not begun]
    assert 290 < gaps(gateway)[0] < 310


@pytest.mark.usefixtures("long")
async def test_k11_empty_deltas_keep_a_stream_alive(gateway: Gateway, code: ClaudeCode) -> None:
    beats = [step for _ in range(17) for step in (Pause(20), words(""))]
    gateway.plays(stream(START, BLOCK, *beats, words(ANSWER), BLOCK_STOP, DELTA, STOP))
    assert_good(await code.ask("Talk.", within=400))
    assert len(gateway.requests) == 1


async def test_k12_an_overload_for_ever_ends_after_the_retries_with_our_words(
    gateway: Gateway, code: ClaudeCode
) -> None:
    """Told to repeat once: the ten times that it repeats by itself take three minutes."""
    gateway.plays(refused(529, "canary-words", kind="overloaded_error"))
    done = await code.ask("Talk.", env=ONE_RETRY)
    assert done.failed
    assert len(gateway.requests) == 2
    assert "canary-words" in done.text
    assert gateway.base_url.removeprefix("http://") in done.text


@pytest.mark.usefixtures("long")
async def test_k12_an_overload_for_ever_is_asked_eleven_times(gateway: Gateway, code: ClaudeCode) -> None:
    gateway.plays(refused(529, "canary-words", kind="overloaded_error"))
    done = await code.ask("Talk.", within=300)
    assert done.failed
    assert len(gateway.requests) == 11
    assert 150 < done.seconds < 230
