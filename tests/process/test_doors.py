"""What the proxy answers without asking any provider, and whom it does not let in."""

from typing import Any

import httpx
import pytest

from tests.conftest import Providers, StartProxy
from tests.support.client import MODEL, asks, client_of, error_of, get, post
from tests.support.proxy import Proxy

pytestmark = pytest.mark.process

PATHS = ["/", "/health", "/health/live", "/health/ready", "/v1/models", "/v1/messages", "/nothing"]


async def test_health_has_the_guides_shape(lone_proxy: Proxy) -> None:
    health = (await get(lone_proxy, "/health")).json()
    assert health["status"] == "healthy"
    told = health["providers"]["nowhere"]
    shape = {
        "status": "healthy",
        "priority": 1,
        "failure_count": 0,
        "last_success": None,
        "last_failure": None,
    }
    assert {key: told[key] for key in shape} == shape
    assert told["state"] == "closed"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_a_running_proxy_is_live_and_ready(path: str, lone_proxy: Proxy) -> None:
    assert (await get(lone_proxy, path)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
async def test_every_response_bears_a_request_id(method: str, path: str, lone_proxy: Proxy) -> None:
    async with client_of(lone_proxy) as client:
        answer = await client.request(method, path)
    assert answer.headers["request-id"].startswith("req_")


async def test_two_responses_have_two_ids(lone_proxy: Proxy) -> None:
    ids = {(await get(lone_proxy, "/health")).headers["request-id"] for _ in range(5)}
    assert len(ids) == 5


async def test_the_root_answers_the_clis_greeting(lone_proxy: Proxy) -> None:
    async with client_of(lone_proxy) as client:
        greeting = await client.head("/")
    assert greeting.status_code == 200
    assert greeting.content == b""
    assert (await get(lone_proxy, "/")).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/v1/complete", "/.env"])
async def test_an_unknown_path_is_told_in_the_apis_words(path: str, lone_proxy: Proxy) -> None:
    async with client_of(lone_proxy) as client:
        answer = await client.post(httpx.URL(lone_proxy.base_url + path), json=asks())
    status, kind, _ = error_of(answer)
    assert (status, kind) == (404, "not_found_error")


async def test_a_wrong_method_is_told_in_the_apis_words(lone_proxy: Proxy) -> None:
    assert error_of(await get(lone_proxy, "/v1/messages"))[0] == 405


async def test_models_are_offered_in_the_apis_shape(lone_proxy: Proxy) -> None:
    models = (await get(lone_proxy, "/v1/models?limit=1000")).json()
    assert models["has_more"] is False
    assert all(model["type"] == "model" for model in models["data"])
    # Claude Code drops what is not called claude or anthropic.
    assert [model["id"] for model in models["data"] if model["id"].startswith(("claude", "anthropic"))]


async def test_tokens_are_counted_without_any_provider(lone_proxy: Proxy) -> None:
    path = "/v1/messages/count_tokens?beta=true"
    messages = [{"role": "user", "content": "hi"}]
    schema = {"type": "object", "properties": {"text": {"type": "string", "description": "word " * 5000}}}
    tool = {"name": "t", "description": "d", "input_schema": schema}
    small = await post(lone_proxy, {"model": MODEL, "messages": messages}, path)
    large = await post(lone_proxy, {"model": MODEL, "messages": messages, "tools": [tool]}, path)
    assert small.status_code == large.status_code == 200
    assert 1 <= small.json()["input_tokens"] < 50
    assert large.json()["input_tokens"] > small.json()["input_tokens"] + 4000


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{", b"{}trailing", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"model": NaN}'],
    ids=["empty", "null", "array", "string", "cut", "trailing", "bom", "deep", "nan"],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_a_body_that_is_no_request_is_the_clients_fault(
    path: str, body: bytes, lone_proxy: Proxy
) -> None:
    async with client_of(lone_proxy, content_type="application/json") as client:
        status, kind, _ = error_of(await client.post(path, content=body))
    assert (status, kind) == (400, "invalid_request_error")


async def test_a_missing_field_is_named(lone_proxy: Proxy) -> None:
    body = asks()
    del body["messages"]
    _, _, message = error_of(await post(lone_proxy, body))
    assert "messages" in message


def test_a_body_past_the_limit_is_refused(lone_proxy: Proxy) -> None:
    content, kind = b" " * (33 * 2**20), {"content-type": "application/json"}
    answer = httpx.post(lone_proxy.base_url + "/v1/messages", content=content, headers=kind, trust_env=False)
    assert error_of(answer)[:2] == (413, "request_too_large")


# -- who is let in --


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:8082", "127.0.0.1.nip.io", "8.8.8.8"])
@pytest.mark.parametrize("path", ["/health", "/v1/messages", "/"])
async def test_a_foreign_host_name_is_kept_out(path: str, host: str, lone_proxy: Proxy) -> None:
    assert (await get(lone_proxy, path, host=host)).status_code in (403, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:8082", "127.0.0.1", "127.0.0.1:1", "[::1]:8082"])
async def test_names_of_this_machine_are_let_in(host: str, lone_proxy: Proxy) -> None:
    assert (await get(lone_proxy, "/health", host=host)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
    ],
    ids=["foreign", "lookalike", "null", "cross-site"],
)
async def test_web_pages_of_others_are_kept_out(headers: dict[str, str], lone_proxy: Proxy) -> None:
    answer = await post(lone_proxy, asks(), **headers)
    assert error_of(answer)[:2] == (403, "permission_error")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_form_a_web_page_may_send_unasked_is_kept_out(lone_proxy: Proxy) -> None:
    async with client_of(lone_proxy, content_type="text/plain") as client:
        answer = await client.post("/v1/messages", json=asks(), headers={"content-type": "text/plain"})
    assert error_of(answer)[0] in (403, 415)


async def test_a_preflight_grants_nothing(lone_proxy: Proxy) -> None:
    async with client_of(lone_proxy, origin="https://evil.example") as client:
        answer = await client.options("/v1/messages", headers={"access-control-request-method": "POST"})
    assert answer.status_code in (403, 405)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


KEY = "canary-client-key"


@pytest.mark.parametrize("origin", ["file", "environment"])
async def test_a_client_key_is_wanted_where_one_is_set(
    origin: str, providers: Providers, start_proxy: StartProxy
) -> None:
    provider = providers.start("alpha")
    settings: dict[str, Any] = {"client_api_keys": [KEY]} if origin == "file" else {}
    env = {"ANTHROPIC_API_KEY": KEY} if origin == "environment" else {}
    proxy = await start_proxy(provider, env=env, **settings)
    wrong: list[dict[str, str]] = [
        {},
        {"x_api_key": "wrong"},
        {"x_api_key": KEY[:-1]},
        {"authorization": f"Basic {KEY}"},
        {"x_api_key": ""},
    ]
    for headers in wrong:
        status, kind, message = error_of(await post(proxy, asks(), **headers))
        assert (status, kind) == (401, "authentication_error")
        assert KEY not in message
    for path in (
        "//v1/messages",
        "/v1/messages/",
        "/v1/./messages",
        "/V1/messages",
        "/health/../v1/messages",
    ):
        assert (await post(proxy, asks(), path)).status_code in (401, 404)
    assert provider.requests == []
    right: list[dict[str, str]] = [{"x_api_key": KEY}, {"authorization": f"Bearer {KEY}"}]
    for headers in right:
        assert (await post(proxy, asks(), **headers)).status_code == 200
    assert (await get(proxy, "/v1/models")).status_code == 401
    assert (await get(proxy, "/health/live")).status_code == 200
    assert "alpha" not in (await get(proxy, "/health")).text
    assert "alpha" in (await get(proxy, "/health", x_api_key=KEY)).text
