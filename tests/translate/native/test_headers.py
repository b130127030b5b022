"""Which headers pass, either way, and that nothing else can."""

import pytest

from ccproxy_trio.translate.native.headers import VERSION, betas_in, passed_back, sent_on
from tests.translate.native.asking import native

CLAUDE_CODE = (
    ("accept", "application/json"),
    ("anthropic-beta", "claude-code-20250219,effort-2025-11-24"),
    ("anthropic-dangerous-direct-browser-access", "true"),
    ("anthropic-version", "2023-06-01"),
    ("content-type", "application/json"),
    ("user-agent", "claude-cli/2.1.197 (external, cli)"),
    ("x-app", "cli"),
    ("x-claude-code-session-id", "5f0c"),
    ("x-stainless-lang", "js"),
    ("x-stainless-retry-count", "0"),
)
STAY = (
    *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-authorization"),
    *("proxy-connection", "cookie", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"),
    *("cf-connecting-ip", "cf-ray", "expect", "host", "content-length", "content-encoding"),
    *("accept-encoding", "authorization", "x-api-key", "x-claude-code-agent-id", "anthropic-betas", "origin"),
)


def test_what_claude_code_says_of_itself_passes() -> None:
    assert sorted(sent_on(CLAUDE_CODE, native())) == sorted(CLAUDE_CODE)


@pytest.mark.parametrize("name", STAY)
def test_what_is_between_the_client_and_us_stays_there(name: str) -> None:
    assert sent_on(((name, "x"),), native()) == (("anthropic-version", VERSION),)
    assert passed_back({name: "x"}) == ()


def test_a_version_is_asked_for_where_the_client_named_none() -> None:
    assert sent_on((), native()) == (("anthropic-version", "2023-06-01"),)
    assert sent_on((("anthropic-version", "2099-01-01"),), native()) == (("anthropic-version", "2099-01-01"),)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, "a-1,b-2,c-3"),
        ({"refused_betas": ["b-2"]}, "a-1,c-3"),
        ({"refused_betas": ["a-1", "b-2", "c-3"]}, None),
        ({"betas": "none"}, None),
    ],
)
def test_of_betas_those_pass_that_the_provider_takes(options: dict[str, str], kept: str | None) -> None:
    headers = (("anthropic-beta", "a-1, b-2,"), ("anthropic-beta", "b-2,c-3"))
    assert dict(sent_on(headers, native(**options))).get("anthropic-beta") == kept
    assert betas_in(headers) == ("a-1", "b-2", "c-3")


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("text/plain", "application/json"),
    ],
)
def test_the_body_is_called_what_it_is(said: str, sent: str) -> None:
    assert dict(sent_on((("content-type", said),), native()))["content-type"] == sent


def test_what_the_client_may_know_of_the_answer_passes_back() -> None:
    known = {
        "request-id": "req_1",
        "retry-after": "3",
        "retry-after-ms": "3000",
        "x-should-retry": "true",
        "anthropic-ratelimit-requests-remaining": "5",
        "anthropic-ratelimit-unified-status": "allowed",
        "anthropic-organization-id": "o",
        "content-type": "text/event-stream",
    }
    others = {
        "content-length": "5",
        "content-encoding": "gzip",
        "transfer-encoding": "chunked",
        "via": "1.1 x",
        "set-cookie": "a=b",
        "strict-transport-security": "max-age=1",
        "server": "cloudflare",
        "date": "x",
    }
    assert passed_back({**others, **known}) == tuple(known.items())
