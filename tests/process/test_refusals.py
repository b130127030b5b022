"""Nobody could answer: what the client is told, and how soon."""

import pytest
import trio

from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, error_of, post
from tests.support.scripted import Reply, raw_reply

pytestmark = pytest.mark.process
streaming = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])

# reply of the only provider -> status, kind, words of the message
FINAL: dict[str, tuple[Reply, tuple[int, ...], str, tuple[str, ...]]] = {
    "401": (faults.status(401, "Incorrect API key"), (502,), "api_error", ("alpha",)),
    "403": (faults.status(403, "Access denied"), (502,), "api_error", ("alpha",)),
    "402": (faults.status(402, "Insufficient credits"), (402,), "billing_error", ("alpha",)),
    "redirect": (raw_reply(301, b"", location="/elsewhere"), (502,), "api_error", ("alpha",)),
    "404 model": (faults.status(404, "The model `x` does not exist"), (404,), "not_found_error", ("alpha",)),
    "500": (faults.status(500), (500, 502), "api_error", ("alpha",)),
    "503": (faults.status(503), (500, 502), "api_error", ("alpha",)),
    "529": (faults.status(529), (500, 502), "api_error", ("alpha",)),
    "close": (faults.closes(), (500, 502), "api_error", ("alpha",)),
    "web page": (faults.web_page(), (500, 502), "api_error", ("alpha",)),
    "429": (faults.status(429, "slow down", retry_after="120"), (429,), "rate_limit_error", ("alpha",)),
}


@streaming
@pytest.mark.parametrize("fault", FINAL)
async def test_the_last_word_is_truthful_and_ends_the_clients_trying(
    fault: str, streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    reply, statuses, kind, words = FINAL[fault]
    provider = providers.start("alpha")
    provider.plays(reply)
    proxy = await start_proxy(provider, patience=0.5)
    started_at = trio.current_time()
    answer = await post(proxy, asks(stream=streamed))
    status, told_kind, message = error_of(answer)
    assert status in statuses, answer.text
    assert told_kind == kind
    assert [word for word in words if word not in message] == []
    assert trio.current_time() - started_at < 8
    if status in (429, 500, 502):
        assert answer.headers["x-should-retry"] == "false"
    if "retry-after" in answer.headers:
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    proxy.assert_discreet(answer.text)


async def test_what_no_waiting_mends_is_told_at_once(providers: Providers, start_proxy: StartProxy) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.status(401, "Incorrect API key"))
    proxy = await start_proxy(provider, patience=30)
    with trio.fail_after(3):
        answer = await post(proxy, asks(stream=True))
    assert answer.status_code == 502
    assert len(provider.requests) == 1


async def test_an_unattended_run_is_asked_to_try_again(providers: Providers, start_proxy: StartProxy) -> None:
    proxy = await start_proxy(providers.absent("alpha"), patience=0.5, on_exhaustion="wait")
    answer = await post(proxy, asks(stream=True))
    assert error_of(answer)[:2] == (529, "overloaded_error")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers.get("x-should-retry") != "false"


async def test_every_provider_is_named_when_all_are_down(
    providers: Providers, start_proxy: StartProxy
) -> None:
    absent = [providers.absent(name) for name in ("alpha", "beta", "gamma")]
    proxy = await start_proxy(*absent, patience=0.5)
    _, _, message = error_of(await post(proxy, asks(stream=True)))
    assert [provider.name for provider in absent if provider.name not in message] == []


@streaming
async def test_a_bad_request_stays_with_the_first_provider(
    streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.bad_request("messages.0 is not to my taste"))
    proxy = await start_proxy(first, second)
    for _ in range(8):
        status, kind, message = error_of(await post(proxy, asks(stream=streamed)))
        assert (status, kind) == (400, "invalid_request_error")
        assert "not to my taste" in message
    assert second.requests == []
    assert len(first.requests) == 8


@streaming
async def test_an_overflow_is_told_in_words_that_start_compaction(
    streamed: bool, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.too_long(prompt=130_000, limit=128_000))
    proxy = await start_proxy(first, second)
    status, kind, message = error_of(await post(proxy, asks(stream=streamed)))
    assert (status, kind) == (400, "invalid_request_error")
    assert "prompt is too long: 130000 tokens > 128000 maximum" in message
    assert second.requests == []


async def test_an_overflow_goes_to_a_provider_with_a_larger_window(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    first.plays(faults.too_long(prompt=130_000, limit=128_000))
    second.plays(says("there is room"))
    proxy = await start_proxy(first.entry(context_window=128_000), second.entry(context_window=400_000))
    assert (await post(proxy, asks())).json()["content"][0]["text"] == "there is room"


async def test_a_refused_option_is_left_out_and_stays_out(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    refusal = faults.bad_request(
        "Unsupported parameter: 'temperature' is not supported with this model.", param="temperature"
    )
    provider.behaves(lambda request: refusal if "temperature" in request.body else says("ok"))
    proxy = await start_proxy(provider)
    for _ in range(2):
        assert (await post(proxy, asks(temperature=0.5))).status_code == 200
    assert ["temperature" in request.body for request in provider.requests] == [True, False, False]


async def test_a_redirect_carries_no_key_elsewhere(providers: Providers, start_proxy: StartProxy) -> None:
    first, second = providers.start("first"), providers.start("second")
    elsewhere = providers.start("elsewhere")
    first.plays(raw_reply(307, b"", location=f"{elsewhere.base_url}/chat/completions"))
    proxy = await start_proxy(first, second)
    assert (await post(proxy, asks())).status_code == 200
    assert elsewhere.connections == 0


async def test_a_key_in_a_providers_own_words_is_not_passed_on(
    providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    provider.plays(faults.bad_request(f"Incorrect API key provided: {provider.key}."))
    proxy = await start_proxy(provider)
    proxy.assert_discreet((await post(proxy, asks())).text)
