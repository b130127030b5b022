"""The first provider fails before it has said anything: the client gets the second one's answer."""

from collections.abc import Callable

import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import reasoning_chunks, role_chunk, says
from tests.support.client import asks, events_of, get, kinds_of, post, text_of, told
from tests.support.proxy import Proxy
from tests.support.scripted import raw_reply

pytestmark = pytest.mark.process

PROMPT_FAULTS: dict[str, Callable[[], faults.Steps]] = {
    "500": lambda: faults.status(500),
    "502": lambda: faults.status(502),
    "503": lambda: faults.status(503),
    "520": lambda: faults.status(520),
    "529": lambda: faults.status(529, "overloaded"),
    "429": lambda: faults.status(429, "slow down", kind="rate_limit_error", retry_after="30"),
    "429 quota": lambda: faults.status(429, "You exceeded your current quota", kind="insufficient_quota"),
    "402": lambda: faults.status(402, "Insufficient credits"),
    "401": lambda: faults.status(401, "Incorrect API key provided", kind="invalid_request_error"),
    "403": lambda: faults.status(403, "Access denied"),
    "404 model": lambda: faults.status(404, "The model does not exist", kind="invalid_request_error"),
    "redirect": lambda: raw_reply(307, b"", location="http://127.0.0.1:9/v1/chat/completions"),
    "close": lambda: faults.closes("fin"),
    "reset": lambda: faults.closes("rst"),
    "not http": faults.garbage,
    "web page": faults.web_page,
    "dies before content, fin": lambda: faults.dies_before_content("fin"),
    "dies before content, rst": lambda: faults.dies_before_content("rst"),
    "ends before content": lambda: faults.dies_before_content("clean"),
    "error object": faults.error_in_stream,
    "rate limit object": lambda: faults.error_in_stream(message="Rate limit exceeded", code=429),
    "no json": faults.no_json,
}
SLOW_FAULTS: dict[str, Callable[[], faults.Steps]] = {
    "silent": faults.silent,
    "headers, then silent": faults.headers_then_silent,
    "headers dripped": faults.headers_dripped,
    "comments for ever": faults.comments_for_ever,
    "role, then silent": lambda: faults.stops_talking(""),
}
streaming = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])


async def ask_once(proxy: Proxy, *, streamed: bool) -> str:
    """The text of one good answer."""
    return told(await post(proxy, asks(stream=streamed)), streamed=streamed)


@streaming
@pytest.mark.parametrize("fault", PROMPT_FAULTS)
async def test_a_fault_that_shows_at_once_costs_next_to_nothing(
    fault: str, streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(PROMPT_FAULTS[fault]())
    second.plays(says("from ", "second"))
    proxy = await start_proxy(first, second)
    started_at = trio.current_time()
    assert await ask_once(proxy, streamed=streamed) == "from second"
    assert trio.current_time() - started_at < 2
    assert len(first.requests) >= 1
    assert "canary-page" not in proxy.output


@streaming
async def test_a_refused_connection_costs_next_to_nothing(
    streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.absent("first"), providers.start("second")
    second.plays(says("from second"))
    proxy = await start_proxy(first, second)
    started_at = trio.current_time()
    assert await ask_once(proxy, streamed=streamed) == "from second"
    assert trio.current_time() - started_at < 2


@streaming
@pytest.mark.parametrize("fault", SLOW_FAULTS)
async def test_a_provider_that_says_nothing_is_left_when_its_time_is_up(
    fault: str, streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(SLOW_FAULTS[fault]())
    second.plays(says("from second"))
    proxy = await start_proxy(first.entry(timeout=0.5), second)
    started_at = trio.current_time()
    assert await ask_once(proxy, streamed=streamed) == "from second"
    assert 0.5 <= trio.current_time() - started_at < 3
    with trio.fail_after(1):
        await first.requests[0].gone.wait()


async def test_falling_over_goes_on_behind_a_stream_already_begun(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.headers_then_silent())
    second.plays(says("from second"))
    proxy = await start_proxy(first.entry(timeout=1.5), second, commit_after=0.2, keepalive_interval=0.2)
    events = events_of((await post(proxy, asks(stream=True))).text)
    assert [event.kind for event in events].index("ping") < kinds_of(events).index("content_block_start") + 2
    assert text_of(events) == "from second"
    assert kinds_of(events).count("message_start") == 1


async def test_a_second_model_of_the_same_provider_is_tried_on_a_rate_limit(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    limited = faults.status(429, "slow down", retry_after="30")
    provider.behaves(lambda request: limited if request.body["model"] == "one" else says("from two"))
    proxy = await start_proxy(provider.entry(models={"middle": ["one", "two"]}))
    assert await ask_once(proxy, streamed=True) == "from two"
    assert [request.body["model"] for request in provider.requests] == ["one", "two"]


async def test_hidden_reasoning_is_no_content_to_be_stuck_with(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """The client switched thinking off, so nothing of it was shown when the provider died."""
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.dies([role_chunk(), *reasoning_chunks("hm")], "fin"))
    second.plays(says("from second"))
    proxy = await start_proxy(first, second)
    answer = await post(proxy, asks(stream=True, thinking={"type": "disabled"}))
    assert text_of(events_of(answer.text)) == "from second"


async def test_a_broken_provider_is_left_alone_once_its_circuit_is_open(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.status(500))
    proxy = await start_proxy(first, second, circuit_breaker={"failure_threshold": 3})
    for _ in range(8):
        assert await ask_once(proxy, streamed=False) == "ok"
    assert len(first.requests) == 3
    told = (await get(proxy, "/health")).json()["providers"]
    assert told["first"]["status"] == "circuit_open"
    assert told["first"]["failure_count"] >= 3
    assert told["first"]["last_failure"] > 0
    assert told["second"]["status"] == "healthy"
    assert told["second"]["last_success"] > 0


async def test_a_recovered_primary_is_used_again_after_one_good_trial(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.status(500))
    second.plays(says("from second"))
    breaker = {"failure_threshold": 1, "recovery_timeout": 0.5, "recovery_jitter": 0}
    proxy = await start_proxy(first, second, circuit_breaker=breaker)
    assert await ask_once(proxy, streamed=True) == "from second"
    first.plays(says("from first"))
    assert await ask_once(proxy, streamed=True) == "from second"
    with trio.fail_after(5):
        while await ask_once(proxy, streamed=True) != "from first":
            pass
    assert await ask_once(proxy, streamed=True) == "from first"


async def test_a_lone_provider_is_asked_again_within_the_patience(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(*[faults.status(503)] * 5, says("back again"))
    proxy = await start_proxy(provider, patience=20)
    assert await ask_once(proxy, streamed=True) == "back again"


@pytest.mark.parametrize("strategy", ["round_robin", "random"])
async def test_each_strategy_uses_every_provider_and_survives_a_dead_one(
    strategy: str, providers: Providers, start_proxy: StartProxy
) -> None:
    alive = [providers.start(name) for name in ("alpha", "beta")]
    for provider in alive:
        provider.plays(says(provider.name))
    proxy = await start_proxy(*alive, providers.absent("gamma"), fallback_strategy=strategy)
    heard = {await ask_once(proxy, streamed=False) for _ in range(20)}
    assert heard == {"alpha", "beta"}


async def test_tiers_choose_the_model(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    proxy = await start_proxy(provider.entry(models={"big": ["b"], "middle": ["m"], "small": ["s"]}))
    asked = ["claude-opus-4-8", "claude-sonnet-5", "claude-haiku-4-5-20251001", "my-model"]
    for model in asked:
        answer = await post(proxy, asks(model=model))
        assert answer.json()["model"] == model
    assert [request.body["model"] for request in provider.requests] == ["b", "m", "s", "b"]
