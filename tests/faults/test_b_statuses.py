"""Providers that answer with a status: who is asked next, what is held against whom, what the client reads.

A matrix of replies is a row of providers here, each with one of them: a request falls from one to the next,
and each has to be left for the next at once.
"""

import time
from email.utils import formatdate
from functools import partial

import pytest
import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.watching import (
    ALL,
    NO_JITTER,
    RawClient,
    asked,
    assert_final,
    hear,
    last_of,
    row,
    streamed_on_wires,
    tells,
    told_of,
    untouched,
)
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import asks, error_of, post
from tests.support.scripted import Hold, Reply, json_reply, raw_reply
from tests.support.told import Wire

pytestmark = pytest.mark.process


FAILURES = {  # status -> what is held for it
    "500": "server_error",
    "502": "server_error",
    "503": "server_error",
    "504": "gateway_timeout",
    "520": "server_error",
    "599": "server_error",
    "503-overloaded": "overloaded",
    "529": "overloaded",
}


def failing(name: str, wire: Wire) -> Reply:
    """The reply of this name."""
    code, _, word = name.partition("-")
    message = "The engine is currently overloaded" if word else "scripted failure"
    return faults.status(int(code), message, kind=word or "server_error", wire=wire)


@streamed_on_wires
async def test_b01_each_failing_status_falls_over_at_once_and_counts_one_failure(
    streamed: bool, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, {name: failing(name, wire) for name in FAILURES}, wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    started_at = trio.current_time()
    assert await hear(proxy, streamed=streamed) == "from last"
    assert trio.current_time() - started_at < 1
    assert asked(made) == dict.fromkeys(made, 1)
    for name, kind in FAILURES.items():
        told = await told_of(proxy, name)
        assert (told["failure_count"], told["last_error_type"], told["opens"]) == (1, kind, 0), name
    await untouched(proxy, "last")


async def test_b01_each_failing_status_counts_towards_the_threshold(
    providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, {str(code): faults.status(code) for code in (500, 502, 503, 504, 520)})
    breaker = NO_JITTER | {"failure_threshold": 2}
    proxy = await start_proxy(*made.values(), last_of(providers), circuit_breaker=breaker, **ALL)
    for _ in range(4):
        await hear(proxy)
    assert asked(made) == dict.fromkeys(made, 2)
    for name in made:
        await tells(proxy, name, status="circuit_open", state="open", opens=1)


# headers of a 429 -> the rest in the log's words; without any, or with nonsense, `cooldown_default`
WAITS: dict[str, tuple[dict[str, str], str]] = {
    "seconds": ({"retry_after": "2"}, "2 s"),
    "a-fraction": ({"retry_after": "1.5"}, "1.5 s"),
    "retry-after-ms": ({"retry_after_ms": "1500"}, "1.5 s"),
    "x-ms-retry-after-ms": ({"x_ms_retry_after_ms": "2500"}, "2.5 s"),
    "milliseconds-before-seconds": ({"retry_after_ms": "1500", "retry_after": "7"}, "1.5 s"),
    "reset-of-requests": (
        {"x_ratelimit_reset_requests": "6m0s", "x_ratelimit_remaining_requests": "0"},
        "6 min",
    ),
    "reset-of-tokens": ({"x_ratelimit_reset_tokens": "20ms", "x_ratelimit_remaining_tokens": "0"}, "20 ms"),
    "the-limit-that-was-hit": (
        {
            "x_ratelimit_reset_requests": "6m0s",
            "x_ratelimit_remaining_requests": "58",
            "x_ratelimit_reset_tokens": "3s",
            "x_ratelimit_remaining_tokens": "0",
        },
        "3 s",
    ),
    "a-date-that-is-past": ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, "0 ms"),
    "negative": ({"retry_after": "-5"}, "5 s"),
    "junk": ({"retry_after": "soon"}, "5 s"),
    "empty": ({"retry_after": ""}, "5 s"),
    "not-a-number": ({"retry_after": "nan"}, "5 s"),
    "infinite": ({"retry_after": "inf"}, "5 s"),
    "a-hundred-million": ({"retry_after": "99999999"}, "1 h"),
    "more-digits-than-a-number-has": ({"retry_after": "9" * 300}, "5 s"),
    "nothing": ({}, "5 s"),
}


async def test_b02_each_rate_limit_rests_exactly_as_long_as_asked_and_is_no_failure(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    limited = {
        name: faults.status(429, "slow down", kind="rate_limit_error", wire=wire, **headers)
        for name, (headers, _) in WAITS.items()
    }
    made = row(providers, limited, wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    started_at = trio.current_time()
    assert await hear(proxy) == "from last"
    assert trio.current_time() - started_at < 1
    assert asked(made) == dict.fromkeys(made, 1)
    for name, (_, words) in WAITS.items():
        assert f"[{name}] {name}-model Rate limited: rests for {words}\n" in proxy.output
        told = await told_of(proxy, name)
        assert (told["status"], told["failure_count"], told["opens"]) == ("healthy", 0, 0), name
        assert (told["state"] == "cooling") == (words not in ("0 ms", "20 ms")), name


async def test_b02_who_rests_is_not_asked_and_a_date_is_waited_for(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    in_a_minute = formatdate(time.time() + 60, usegmt=True)
    first.plays(faults.status(429, "slow down", retry_after=in_a_minute))
    proxy = await start_proxy(first, last_of(providers))
    for _ in range(3):
        assert await hear(proxy) == "from last"
    assert len(first.requests) == 1
    assert 55 <= (await told_of(proxy, "first"))["cooling_for_s"] <= 60


async def test_b02_a_later_shorter_rest_does_not_end_a_longer_one(
    providers: Providers, start_proxy: StartProxy
) -> None:
    """Two requests are under way when the limit is hit; the second answer asks for less."""
    first, gate = providers.start("first"), trio.Event()
    long, short = (faults.status(429, "slow down", retry_after=wait) for wait in ("50", "1"))
    first.plays(long, (Hold(gate), *short))
    proxy = await start_proxy(first, last_of(providers))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(hear, proxy))
        nursery.start_soon(partial(hear, proxy))
        await first.arrived(2)
        await tells(proxy, "first", state="cooling")
        gate.set()
    assert (await told_of(proxy, "first"))["cooling_for_s"] > 40


OPENAIS_QUOTA: dict[str, Reply] = {
    "402": faults.status(402, "Payment required"),
    "insufficient_quota": faults.status(
        429, "You exceeded your current quota, please check your plan", kind="insufficient_quota"
    ),
    "billing_hard_limit_reached": faults.status(
        429, "Billing limit", kind="billing_hard_limit_reached", retry_after="1"
    ),
    "enforced_spend_limit_reached": faults.status(429, "Limit", kind="enforced_spend_limit_reached"),
}
QUOTA: dict[Wire, dict[str, Reply]] = {
    "chat": OPENAIS_QUOTA,
    "responses": OPENAIS_QUOTA,
    "anthropic": {
        "402": faults.status(402, "Payment required", kind="billing_error", wire="anthropic"),
        "credit-balance": faults.bad_request(
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to "
            "upgrade or purchase credits.",
            wire="anthropic",
        ),
    },
}


async def test_b04_an_empty_account_is_left_for_a_quarter_of_an_hour_at_once(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, QUOTA[wire], wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), circuit_breaker=NO_JITTER)
    for streamed in (True, False, True):
        assert await hear(proxy, streamed=streamed) == "from last"
    assert asked(made) == dict.fromkeys(made, 1)
    for name in made:
        told = await tells(proxy, name, status="circuit_open", state="quota_exhausted", opens=1)
        assert 890 <= told["open_for_s"] <= 900, name


async def test_b04_the_message_says_quota_where_nobody_else_is_left(
    providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, OPENAIS_QUOTA)
    proxy = await start_proxy(*made.values(), patience=30)
    for streamed in (True, False):  # the second is told from what is known
        with trio.fail_after(2):
            answer = await post(proxy, asks(stream=streamed))
        message = assert_final(answer, 402, "billing_error")
        assert [name for name in made if f"{name} quota exhausted" not in message] == []
    assert asked(made) == dict.fromkeys(made, 1)


def error_reply(status: int, **fields: object) -> Reply:
    """OpenAI's envelope around these fields."""
    return json_reply(status, {"error": fields})


OPENAIS_KEYS: dict[str, Reply] = {
    "401": faults.status(401, "Incorrect API key provided"),
    "401-without-a-word": raw_reply(401, b""),
    "403-about-the-key": error_reply(403, message="Invalid API key", code="invalid_api_key"),
    "403-permission": faults.status(403, "You have insufficient permissions for this operation."),
    "Gemini-400": json_reply(
        400, [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]
    ),
}
NO_PERMISSION = "Your API key does not have permission to use the specified resource."
KEYS: dict[Wire, dict[str, Reply]] = {
    "chat": OPENAIS_KEYS,
    "responses": {name: OPENAIS_KEYS[name] for name in ("401", "403-about-the-key")},
    "anthropic": {
        "401": faults.status(401, "invalid x-api-key", kind="authentication_error", wire="anthropic"),
        "403": faults.status(403, NO_PERMISSION, kind="permission_error", wire="anthropic"),
    },
}
AZURE_401 = error_reply(401, code="401", message="Access denied due to invalid subscription key.")
AZURE = "2025-04-01-preview"


async def test_b05_a_rejected_key_opens_at_once_and_falls_over(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    azure = providers.start("azure", api_version=AZURE, wire=wire)
    azure.plays(AZURE_401)
    made = row(providers, KEYS[wire], wire=wire) | {"azure": azure}
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    for streamed in (True, False, True):
        assert await hear(proxy, streamed=streamed) == "from last"
    assert asked(made) == dict.fromkeys(made, 1)
    for name in made:
        await tells(proxy, name, status="circuit_open", state="auth_error", opens=1)


@pytest.mark.parametrize(
    ("how", "wire"),
    [
        *[(how, "chat") for how in [*OPENAIS_KEYS, "azure"]],
        ("403-about-the-key", "responses"),
        ("401", "anthropic"),
    ],
)
async def test_b05_the_client_never_sees_401_or_403(
    how: str, wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """Claude Code would tell its user to log in."""
    provider = providers.start("alpha", api_version=AZURE if how == "azure" else None, wire=wire)
    provider.plays(KEYS[wire].get(how, AZURE_401))
    proxy = await start_proxy(provider, patience=30)
    for streamed in (True, False):
        with trio.fail_after(2):
            answer = await post(proxy, asks(stream=streamed))
        assert "alpha rejected its key" in assert_final(answer, 502, "api_error")
    assert len(provider.requests) == 1


async def test_b05_a_region_that_is_barred_leaves_out_the_model_and_not_the_provider(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first = providers.start("first")
    first.plays(
        error_reply(
            403,
            code="unsupported_country_region_territory",
            message="Country, region, or territory not supported",
        )
    )
    proxy = await start_proxy(first, last_of(providers))
    for _ in range(2):
        assert await hear(proxy) == "from last"
    assert len(first.requests) == 1
    await tells(proxy, "first", status="healthy", failure_count=0, excluded_models=["first-model"])


OPENAIS_MISSING: dict[str, Reply] = {
    "404-model": faults.status(404, "The model `x` does not exist", kind="invalid_request_error"),
    "404-model_not_found": error_reply(404, message="No such model", code="model_not_found"),
}
MISSING: dict[Wire, dict[str, Reply]] = {
    "chat": OPENAIS_MISSING,
    "responses": OPENAIS_MISSING
    | {
        "400": faults.bad_request(
            "The requested model 'x' does not exist.", code="model_not_found", param="model"
        )
    },
    "anthropic": {"404": faults.status(404, "model: claude-x", kind="not_found_error", wire="anthropic")},
}
NO_DEPLOYMENT = error_reply(404, code="DeploymentNotFound", message="The API deployment does not exist.")


async def test_b06_a_missing_model_is_left_out_and_its_provider_stays_closed(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    azure = providers.start("azure", api_version=AZURE, wire=wire)
    azure.plays(NO_DEPLOYMENT)
    made = row(providers, MISSING[wire], wire=wire) | {"azure": azure}
    proxy = await start_proxy(*made.values(), last_of(providers))
    for streamed in (True, False, True):
        assert await hear(proxy, streamed=streamed) == "from last"
    assert asked(made) == dict.fromkeys(made, 1)
    for name in made:
        told = await tells(proxy, name, status="healthy", state="closed", failure_count=0)
        assert told["excluded_models"] == [f"{name}-model"]


async def test_b06_the_next_model_of_the_same_provider_comes_before_the_next_provider(
    providers: Providers, start_proxy: StartProxy
) -> None:
    first, second = providers.start("first"), providers.start("second")
    missing = OPENAIS_MISSING["404-model"]
    first.behaves(lambda request: missing if request.body["model"] == "one" else says("from two"))
    proxy = await start_proxy(first.entry(models={"middle": ["one", "two"]}), second)
    for _ in range(2):
        assert await hear(proxy) == "from two"
    assert [request.body["model"] for request in first.requests] == ["one", "two", "two"]
    assert second.requests == []


async def test_b06_all_models_missing_is_told_as_not_found(
    providers: Providers, start_proxy: StartProxy
) -> None:
    made = row(providers, OPENAIS_MISSING)
    proxy = await start_proxy(*made.values(), patience=30)
    with trio.fail_after(2):
        message = assert_final(await post(proxy, asks()), 404, "not_found_error")
    assert [name for name in made if name not in message] == []


def astray(there: str) -> dict[str, Reply]:
    """Replies that lead elsewhere, to `there`, or nowhere."""
    led: dict[str, Reply] = {
        str(code): raw_reply(code, b"", location=there) for code in (301, 302, 303, 307, 308)
    }
    page = raw_reply(404, b"<html>nothing here</html>", content_type="text/html")
    return led | {"404-on-the-path": page, "405": raw_reply(405, b"")}


async def test_b07_nobody_is_led_elsewhere_and_the_key_stays_here(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    canary = providers.start("canary", wire=wire)
    paths = {"chat": "/chat/completions", "responses": "/responses", "anthropic": "/v1/messages"}
    made = row(providers, astray(canary.base_url + paths[wire]), wire=wire)
    proxy = await start_proxy(*made.values(), last_of(providers), **ALL)
    for streamed in (True, False):
        assert await hear(proxy, streamed=streamed) == "from last"
    assert canary.connections == 0
    for name in made:
        await tells(proxy, name, failure_count=2, last_error_type="misconfigured")


async def test_b07_a_wrong_address_is_told_once_and_for_all(
    providers: Providers, start_proxy: StartProxy
) -> None:
    canary = providers.start("canary")
    made = row(providers, astray(canary.base_url))
    proxy = await start_proxy(*made.values(), patience=30, **ALL)
    with trio.fail_after(2):
        message = assert_final(await post(proxy, asks()), 502, "api_error")
    assert [name for name in made if f"{name} misconfigured" not in message] == []
    assert canary.connections == 0


async def test_b08_a_thousand_bad_requests_touch_no_breaker_and_no_second_provider(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """A thousand on the first wire, and eighty on each other."""
    each = 125 if wire == "chat" else 10
    first, second = providers.start("first", wire=wire), providers.start("second")
    first.plays(faults.bad_request("messages.0 is not to my taste", wire=wire))
    proxy = await start_proxy(first, second)
    statuses: list[int] = []

    async def complain(streamed: bool) -> None:
        async with await RawClient.to(proxy) as client:
            statuses.extend([await client.status_of(asks(stream=streamed)) for _ in range(each)])

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(complain, number % 2 == 0)
    assert statuses == [400] * each * 8
    assert (len(first.requests), len(second.requests)) == (each * 8, 0)
    await untouched(proxy, "first")
    status, kind, message = error_of(await post(proxy, asks()))
    assert (status, kind) == (400, "invalid_request_error")
    assert "not to my taste" in message


async def test_b09_a_prompt_too_long_goes_to_a_larger_window(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    first, second, third = (providers.start(name, wire=wire) for name in ("first", "second", "third"))
    first.plays(faults.too_long(prompt=130_000, limit=128_000, wire=wire))
    third.plays(says("there is room"))
    proxy = await start_proxy(
        first.entry(context_window=128_000),
        second.entry(context_window=64_000),
        third.entry(context_window=400_000),
    )
    for streamed in (True, False):
        assert await hear(proxy, streamed=streamed) == "there is room"
    assert second.requests == []
    await untouched(proxy, "first")


async def test_b09_without_a_larger_window_the_client_reads_the_words_that_make_it_compact(
    wire: Wire, providers: Providers, start_proxy: StartProxy
) -> None:
    """With the numbers, where the provider tells them."""
    first, second = providers.start("first", wire=wire), providers.start("second", wire=wire)
    first.plays(faults.too_long(prompt=250_000, limit=200_000, wire=wire))
    proxy = await start_proxy(first, second)
    words = "prompt is too long" + ("" if wire == "responses" else ": 250000 tokens > 200000 maximum")
    for streamed in (True, False):
        status, kind, message = error_of(await post(proxy, asks(stream=streamed)))
        assert (status, kind) == (400, "invalid_request_error")
        assert words in message
    assert second.requests == []
    await untouched(proxy, "first")
