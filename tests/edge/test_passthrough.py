"""Each client's own key is passed on: a subscription first, providers with keys behind it. Virtual time.

Who may hear what over real sockets is in `tests/upstream/test_wires.py`.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ccproxy_trio.attempt import Kept
from ccproxy_trio.health.snapshot import State
from ccproxy_trio.journal import AttemptEnded
from ccproxy_trio.settings.model import PASSTHROUGH, DialectOptions, Secret, Settings
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.errors import classify
from ccproxy_trio.translate.question import Outgoing, Sender
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

Clock = trio.testing.MockClock
LOGIN = "Bearer sk-ant-oat01-of-the-client"
PROXYS = "ours-5f2b1c-client-key"
NATIVE = DialectOptions(wire="anthropic")
Answering = Callable[[FakeAnswer], Awaitable[None]]
Refusing = tuple[int, Mapping[str, str], dict[str, Any]]


def refusal(status: int, kind: str, message: str, **headers: str) -> Refusing:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"type": "error", "error": {"type": kind, "message": message}}


REJECTED = refusal(401, "authentication_error", f"OAuth token has expired: {LOGIN.split()[1]}")


async def greeting(answer: FakeAnswer) -> None:
    """A whole answer on Anthropic's wire."""
    message = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
    }
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    for event in (
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "natively"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ):
        await answer.send.send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


class Asked(FakeUpstream):
    """Keeps what it is asked; refuses with what `refuses` says at the time, if anything."""

    def __init__(self, script: Answering, refuses: Callable[[], Refusing | None] = lambda: None) -> None:
        super().__init__(script)
        self._refuses = refuses
        self.asked: list[Outgoing] = []

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        self.asked.append(asked)
        if (refused := self._refuses()) is not None:
            status, headers, body = refused
            raw = json.dumps(body).encode()
            raise classify(status, headers, raw, profile=dialect.profile, wall_now=trio.current_time())
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


def subscription_first(**others: Any) -> Settings:
    """`subscription` passes keys on; `api` has one of its own and speaks Chat Completions."""
    settings = settings_for("subscription", "api", **others)
    first, second = settings.providers
    passing = msgspec.structs.replace(first, api_key=Secret(PASSTHROUGH), options=NATIVE)
    return msgspec.structs.replace(settings, providers=(passing, second))


def alone(**others: Any) -> Settings:
    settings = subscription_first(**others)
    return msgspec.structs.replace(settings, providers=settings.providers[:1])


@asynccontextmanager
async def opened(settings: Settings, **upstreams: FakeUpstream) -> AsyncIterator[House]:
    async with virtual_house(settings, **upstreams) as house:
        yield house


async def ask(house: House, *, stream: bool = True, **headers: str) -> tuple[int, dict[str, Any] | str]:
    """The status, and the answer's text or the error's object."""
    client = Client(house.connect())
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    await client.post({"stream": stream}, path="/v1/messages?beta=true", **named)
    status = await client.head()
    body = await client.body()
    if status != 200:
        error: dict[str, Any] = json.loads(body)["error"]
        return status, error
    return status, "natively" if b"natively" in body else "hello" if b"hello" in body else body.decode()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_clients_key_its_headers_and_its_query_go_along(
    autojump_clock: Clock, *, stream: bool
) -> None:
    upstream = Asked(greeting)
    async with opened(alone(), subscription=upstream) as house:
        found = await ask(house, stream=stream, authorization=LOGIN, anthropic_beta="oauth-2025-04-20")
    assert found == (200, "natively")
    (asked,) = upstream.asked
    assert asked.credential is not None
    assert (asked.credential.header, asked.credential.value.reveal()) == ("authorization", LOGIN)
    assert asked.query == "beta=true"
    assert dict(asked.headers)["anthropic-beta"] == "oauth-2025-04-20"


async def test_a_subscription_stays_first_and_the_others_take_over_while_it_is_limited(
    autojump_clock: Clock,
) -> None:
    limited_until = 0.0

    def limited() -> Refusing | None:
        if trio.current_time() >= limited_until:
            return None
        left = limited_until - trio.current_time()
        return refusal(429, "rate_limit_error", "This would exceed your limit", retry_after=f"{left:g}")

    subscription, api = Asked(greeting, limited), Asked(hello)
    async with opened(subscription_first(), subscription=subscription, api=api) as house:
        limited_until = trio.current_time() + 600.0
        assert await ask(house, authorization=LOGIN) == (200, "hello")
        for _ in range(5):
            await trio.sleep(100.0)
            assert await ask(house, authorization=LOGIN) == (200, "hello")
        assert (len(subscription.asked), len(api.asked)) == (1, 6)  # it rests: nobody asks it
        snapshot = await house.snapshot("subscription")
        assert (snapshot.state, snapshot.failure_count, snapshot.flag) == (State.CLOSED, 0, None)
        await trio.sleep(101.0)
        for _ in range(3):
            assert await ask(house, authorization=LOGIN) == (200, "natively")
        assert (len(subscription.asked), len(api.asked)) == (4, 6)


async def test_the_reset_of_a_subscription_is_waited_for_where_nothing_else_says_when(
    autojump_clock: Clock,
) -> None:
    async with opened_limited() as (house, subscription):
        began_at = trio.current_time()
        assert await ask(house, authorization=LOGIN) == (200, "hello")
        snapshot = await house.snapshot("subscription")
        assert snapshot.cooling == {"*": began_at + 1800.0}  # all its models: the limit names none
        await trio.sleep(1799.0)
        assert await ask(house, authorization=LOGIN) == (200, "hello")
        assert len(subscription.asked) == 1
        await trio.sleep(2.0)
        assert await ask(house, authorization=LOGIN) == (200, "natively")


@asynccontextmanager
async def opened_limited() -> AsyncIterator[tuple[House, Asked]]:
    """A subscription whose window of five hours is used up for half an hour more."""
    reset_at = 0.0

    def limited() -> Refusing | None:
        if trio.current_time() >= reset_at:
            return None
        return refusal(
            429,
            "rate_limit_error",
            "This request would exceed your account's rate limit.",
            anthropic_ratelimit_unified_status="rejected",
            anthropic_ratelimit_unified_reset=f"{reset_at:.3f}",
            anthropic_ratelimit_unified_representative_claim="five_hour",
        )

    await trio.sleep_until(2e9)  # the clock is the wall's, too: a reset is an instant since 1970
    subscription = Asked(greeting, limited)
    reset_at = trio.current_time() + 1800.0
    async with opened(subscription_first(), subscription=subscription, api=Asked(hello)) as house:
        yield house, subscription


@pytest.mark.parametrize(
    "refused",
    [
        REJECTED,
        refusal(403, "permission_error", "OAuth token has been revoked."),
        refusal(400, "invalid_request_error", "This credential is only authorized for use with Claude Code."),
    ],
    ids=["401", "403", "400"],
)
async def test_a_rejected_login_is_nobodys_fault_but_the_clients(
    autojump_clock: Clock, refused: Refusing
) -> None:
    subscription = Asked(greeting, lambda: refused)
    async with opened(subscription_first(), subscription=subscription, api=Asked(hello)) as house:
        for _ in range(8):
            assert await ask(house, authorization=LOGIN) == (200, "hello")
        snapshot = await house.snapshot("subscription")
    assert len(subscription.asked) == 8  # its circuit never opened
    assert (snapshot.state, snapshot.failure_count, snapshot.flag) == (State.CLOSED, 0, None)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_is_told_of_its_login_where_nobody_else_is_left(
    autojump_clock: Clock, *, stream: bool
) -> None:
    async with opened(alone(), subscription=Asked(greeting, lambda: REJECTED)) as house:
        client = Client(house.connect())
        await client.post({"stream": stream}, authorization=LOGIN)
        status = await client.head()
        body = await client.body()
        lines = [entry for entry in house.journal if isinstance(entry, AttemptEnded)]
    error = json.loads(body)["error"]
    assert (status, error["type"]) == (401, "authentication_error")
    assert client.headers["x-should-retry"] == "false"
    assert "subscription rejected your own login (HTTP 401)" in error["message"]
    assert [line.outcome for line in lines] == ["login"]


async def test_a_key_of_ours_that_is_rejected_is_told_as_ever(autojump_clock: Clock) -> None:
    native = settings_for("api", options=NATIVE)
    async with opened(native, api=Asked(greeting, lambda: REJECTED)) as house:
        status, error = await ask(house, authorization=LOGIN)
        snapshot = await house.snapshot("api")
    assert isinstance(error, dict)
    assert (status, error["type"]) == (502, "api_error")
    assert snapshot.state is State.OPEN


async def test_nobody_reads_of_a_clients_key_that_its_provider_quotes(autojump_clock: Clock) -> None:
    secret = "what-5f2b1c-opens-the-door"  # nothing in it looks like a key
    quoting = refusal(401, "authentication_error", f"Not valid: {secret}")
    async with opened(alone(), subscription=Asked(greeting, lambda: quoting)) as house:
        _, error = await ask(house, authorization=f"Bearer {secret}")
        journal = repr(house.journal)
    assert 'saying "Not valid: ***"' in str(error)
    assert secret not in journal
    assert "Not valid" in journal


async def test_a_client_without_a_key_is_served_by_the_others_as_if_there_were_no_subscription(
    autojump_clock: Clock,
) -> None:
    subscription, api = Asked(greeting), Asked(hello)
    async with opened(subscription_first(), subscription=subscription, api=api) as house:
        assert await ask(house) == (200, "hello")
        assert await ask(house, authorization="Bearer any") == (200, "hello")
        outcomes = [entry.provider for entry in house.journal if isinstance(entry, AttemptEnded)]
    assert subscription.asked == []
    assert outcomes == ["api", "api"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_without_a_key_is_told_so_where_there_are_no_others(
    autojump_clock: Clock, *, stream: bool
) -> None:
    upstream = Asked(greeting)
    async with opened(alone(), subscription=upstream) as house:
        status, error = await ask(house, stream=stream)
    assert isinstance(error, dict)
    assert (status, error["type"]) == (401, "authentication_error")
    assert "passes your own login on" in error["message"]
    assert "ANTHROPIC_CUSTOM_HEADERS" in error["message"]
    assert upstream.asked == []


async def test_the_key_that_opens_the_proxy_stays_here_and_the_other_one_goes_on(
    autojump_clock: Clock,
) -> None:
    subscription, api = Asked(greeting), Asked(hello)
    guarded = subscription_first(client_api_keys=(Secret(PROXYS),))
    async with opened(guarded, subscription=subscription, api=api) as house:
        assert await ask(house, x_api_key=PROXYS, authorization=LOGIN) == (200, "natively")
        assert await ask(house, authorization=f"Bearer {PROXYS}", x_api_key="sk-ant-api03-x") == (
            200,
            "natively",
        )
        assert await ask(house, authorization=f"Bearer {PROXYS}") == (200, "hello")
        assert await ask(house, x_api_key=PROXYS, authorization=f"Bearer {PROXYS}") == (200, "hello")
    keys = [asked.credential and asked.credential.value.reveal() for asked in subscription.asked]
    assert keys == [LOGIN, "sk-ant-api03-x"]
    assert not any(PROXYS in repr(asked.headers) for asked in subscription.asked)


@pytest.mark.parametrize("native", [True, False])
async def test_where_nobody_speaks_anthropics_wire_nothing_but_the_request_is_kept(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, *, native: bool
) -> None:
    kept: list[Kept] = []
    made = Kept.__init__

    def init(self: Kept, asked: Any) -> None:
        kept.append(self)
        made(self, asked)

    monkeypatch.setattr(Kept, "__init__", init)
    seen: list[tuple[bool, bool]] = []

    async def look(answer: FakeAnswer) -> None:
        asked = kept[0].asked
        seen.append((bool(asked.body), asked.sender != Sender()))
        await (greeting if native else hello)(answer)

    settings = settings_for("api", options=NATIVE if native else None)
    async with opened(settings, api=Asked(look)) as house:
        assert await ask(house, authorization=LOGIN) == (200, "natively" if native else "hello")
    assert seen == [(native, native)]


async def test_a_subscription_is_never_probed_and_the_others_are(autojump_clock: Clock) -> None:
    subscription, api = Asked(greeting), Asked(hello)
    settings = subscription_first(health_check_interval=10.0)
    async with opened(settings, subscription=subscription, api=api):
        await trio.sleep(100.0)
    assert subscription.probed_at == []
    assert api.probed_at
