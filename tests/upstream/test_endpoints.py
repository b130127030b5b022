"""Where requests go and what they bear."""

from typing import Any

import httpx
import pytest

from ccproxy_trio.settings.model import PASSTHROUGH, DialectOptions, Models, ProviderSettings, Secret
from ccproxy_trio.translate.dialect import Dialect, resolve
from ccproxy_trio.translate.question import Credential, Outgoing
from ccproxy_trio.upstream.asking import EVENT_STREAM, JSON, MOST_ADDRESSES, Asking
from ccproxy_trio.upstream.endpoints import endpoints

NATIVE = DialectOptions(wire="anthropic")
RESPONSES = DialectOptions(wire="responses")
KEYS = {b"authorization", b"x-api-key", b"api-key"}
LOGIN = Credential("authorization", Secret("Bearer sk-ant-oat01-client"))


def provider(base_url: str, **options: Any) -> ProviderSettings:
    usual: dict[str, Any] = {"name": "p", "api_key": Secret("key"), "models": Models(big=("m",))}
    return ProviderSettings(**usual | {"base_url": base_url} | options)


def asked(settings: ProviderSettings, outgoing: Outgoing | None = None, **options: Any) -> httpx.Request:
    """The request for an answer, as it leaves."""
    return Asking(settings).completion(
        outgoing or Outgoing(body=b"{}"),
        model="m",
        accept=options.pop("accept", EVENT_STREAM),
        dialect=options.pop("dialect", resolve(settings, "m")),
    )


def sent(settings: ProviderSettings, outgoing: Outgoing | None = None, **options: Any) -> dict[bytes, bytes]:
    """Its headers, each of which is there once."""
    pairs = [(name.lower(), value) for name, value in asked(settings, outgoing, **options).headers.raw]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def keys_in(headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers.items() if name in KEYS}


# -- addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["https://api.example.com/v1", "https://api.example.com/v1/"])
def test_an_openai_compatible_base_url_gets_the_usual_paths(base: str) -> None:
    there = endpoints(provider(base))
    assert there.answers_for("gpt-4o", wire="chat") == "https://api.example.com/v1/chat/completions"
    assert there.answers_for("gpt-4o", wire="responses") == "https://api.example.com/v1/responses"
    assert there.models_on("chat") == there.models_on("responses") == "https://api.example.com/v1/models"


@pytest.mark.parametrize(
    ("base", "root"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com"),
        ("https://api.anthropic.com/", "https://api.anthropic.com"),
        ("https://api.anthropic.com/v1", "https://api.anthropic.com"),
        ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com"),
        ("https://api.anthropic.com/v1/messages/", "https://api.anthropic.com"),
        ("https://x.example/messages", "https://x.example"),
        ("https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic"),
        ("https://api.z.ai/api/anthropic/v1", "https://api.z.ai/api/anthropic"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api"),
        ("https://x.services.ai.azure.com/anthropic", "https://x.services.ai.azure.com/anthropic"),
        ("https://v1.messages/v1", "https://v1.messages"),
        ("https://x.example/v1/v1", "https://x.example/v1"),
        ("https://x.example/{m}", "https://x.example/%7Bm%7D"),
    ],
)
def test_on_anthropics_wire_whatever_people_paste_leads_to_the_same_place(base: str, root: str) -> None:
    there = endpoints(provider(base, options=NATIVE))
    assert there.answers_for("m", wire="anthropic") == root + "/v1/messages"
    assert there.models_on("anthropic") == root + "/v1/models"


@pytest.mark.parametrize(
    "base",
    [
        "https://res.openai.azure.com",
        "https://res.openai.azure.com/",
        "https://res.openai.azure.com/openai",
        "https://res.openai.azure.com/openai/deployments/gpt-4o",
        "https://res.openai.azure.com/anthropic",
    ],
)
def test_azure_with_a_version_asks_for_the_deployment(base: str) -> None:
    there = endpoints(provider(base, api_version="2024-02-15-preview"))
    assert there.answers_for("gpt 4o/x", wire="chat") == (
        "https://res.openai.azure.com/openai/deployments/gpt%204o%2Fx/chat/completions"
        "?api-version=2024-02-15-preview"
    )
    assert there.models_on("chat") == (
        "https://res.openai.azure.com/openai/models?api-version=2024-02-15-preview"
    )
    assert there.answers_for("m", wire="anthropic") == "https://res.openai.azure.com/anthropic/v1/messages"
    assert there.models_on("anthropic") == "https://res.openai.azure.com/anthropic/v1/models"


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2024-10-21", "v1/responses"),
        ("2025-02-01-preview", "v1/responses"),
        ("2025-03-01-preview", "responses?api-version=2025-03-01-preview"),
        ("2025-04-01-preview", "responses?api-version=2025-04-01-preview"),
        ("2026-01-01", "responses?api-version=2026-01-01"),
        ("preview", "v1/responses?api-version=preview"),
    ],
)
def test_azure_before_it_had_responses_is_asked_for_them_in_its_newer_form(version: str, path: str) -> None:
    there = endpoints(provider("https://res.openai.azure.com", api_version=version))
    assert there.answers_for("m", wire="responses") == f"https://res.openai.azure.com/openai/{path}"


def test_azure_without_a_version_is_an_ordinary_base_url_with_azures_header() -> None:
    azure = provider("https://res.openai.azure.com/openai/v1")
    base = "https://res.openai.azure.com/openai/v1"
    assert endpoints(azure).answers_for("gpt-5", wire="chat") == f"{base}/chat/completions"
    assert endpoints(azure).answers_for("gpt-5", wire="responses") == f"{base}/responses"
    assert keys_in(sent(azure)) == {b"api-key": b"key"}


def test_a_brace_in_the_base_url_is_not_taken_for_the_model() -> None:
    there = endpoints(provider("https://x.example/{model}/v1"))
    assert there.answers_for("m", wire="chat") == "https://x.example/%7Bmodel%7D/v1/chat/completions"


def test_the_clients_query_goes_along_behind_one_of_the_addresses_own() -> None:
    native = provider("https://api.anthropic.com")
    azure = provider("https://res.openai.azure.com", api_version="2025-04-01-preview", options=RESPONSES)
    beta = Outgoing(body=b"{}", query="beta=true")
    assert str(asked(native, beta).url) == "https://api.anthropic.com/v1/messages?beta=true"
    assert str(asked(native).url) == "https://api.anthropic.com/v1/messages"
    assert asked(azure, beta).url.query == b"api-version=2025-04-01-preview&beta=true"


def test_queries_that_clients_make_up_do_not_pile_up() -> None:
    native = provider("https://api.anthropic.com")
    asking, dialect = Asking(native), resolve(native, "m")
    for number in range(2 * MOST_ADDRESSES):
        outgoing = Outgoing(body=b"{}", query=f"n={number}")
        url = asking.completion(outgoing, model="m", accept=JSON, dialect=dialect).url
        assert url.query == b"n=%d" % number
    assert len(asking._addresses) == MOST_ADDRESSES


def test_one_provider_may_have_models_on_several_wires() -> None:
    asking = Asking(provider("https://x.example/v1", options=NATIVE))
    seen = {}
    for wire in ("chat", "responses", "anthropic"):
        dialect = Dialect(wire=wire)
        request = asking.completion(Outgoing(body=b"{}"), model="m", accept=JSON, dialect=dialect)
        (key,) = keys_in(dict(request.headers.raw))
        seen[wire] = (request.url.path, key)
    assert seen == {
        "chat": ("/v1/chat/completions", b"authorization"),
        "responses": ("/v1/responses", b"authorization"),
        "anthropic": ("/v1/messages", b"x-api-key"),
    }


# -- headers -------------------------------------------------------------------------------------------


def test_the_key_goes_where_the_wire_and_the_profile_want_it() -> None:
    usual = {b"authorization": b"Bearer key"}
    assert keys_in(sent(provider("https://api.example.com/v1"))) == usual
    assert keys_in(sent(provider("https://api.example.com/v1", options=RESPONSES))) == usual
    assert keys_in(sent(provider("https://gateway.example/res.openai.azure.com/v1"))) == usual
    azure = {b"api-key": b"key"}
    assert keys_in(sent(provider("https://gateway.example/v1", profile="azure"))) == azure
    assert keys_in(sent(provider("https://x.openai.azure.com", api_version="2024-10-21"))) == azure
    assert keys_in(sent(provider("https://api.anthropic.com"))) == {b"x-api-key": b"key"}
    bearer = DialectOptions(wire="anthropic", key_header="authorization")
    assert keys_in(sent(provider("https://api.example.com", options=bearer))) == usual
    native_azure = provider("https://x.services.ai.azure.com/anthropic", options=NATIVE)
    assert keys_in(sent(native_azure)) == {b"x-api-key": b"key"}


def test_a_configured_accept_header_replaces_ours() -> None:
    headers = {"Accept": Secret("*/*")}
    assert sent(provider("https://x.example/v1", custom_headers=headers))[b"accept"] == b"*/*"
    assert sent(provider("https://x.example/v1"))[b"accept"] == b"text/event-stream"
    assert sent(provider("https://x.example/v1"), accept=JSON)[b"accept"] == b"application/json"


def test_custom_headers_come_last_and_replace_ours_whatever_their_case() -> None:
    headers = {"Authorization": Secret("Token other"), "X-Org": Secret("Zoë")}
    out = sent(provider("https://x.example/v1", custom_headers=headers))
    assert keys_in(out) == {b"authorization": b"Token other"}
    assert out[b"x-org"] == "Zoë".encode("latin-1")


def test_a_second_key_in_custom_headers_goes_beside_ours_but_for_anthropics_wire_which_takes_one() -> None:
    headers = {"X-Api-Key": Secret("gateway")}
    beside = sent(provider("https://x.example/v1", custom_headers=headers))
    assert keys_in(beside) == {b"authorization": b"Bearer key", b"x-api-key": b"gateway"}
    headers = {"Authorization": Secret("Bearer gateway")}
    instead = sent(provider("https://api.anthropic.com", custom_headers=headers))
    assert keys_in(instead) == {b"authorization": b"Bearer gateway"}


def test_the_version_of_anthropics_api_is_named_where_no_client_named_one() -> None:
    native = provider("https://api.anthropic.com")
    assert sent(native)[b"anthropic-version"] == b"2023-06-01"
    newer = Outgoing(body=b"{}", headers=(("anthropic-version", "2027-01-01"),))
    assert sent(native, newer)[b"anthropic-version"] == b"2027-01-01"
    assert b"anthropic-version" not in sent(provider("https://x.example/v1"))


def test_a_clients_headers_go_before_what_is_usual_and_behind_what_is_configured() -> None:
    native = provider("https://api.anthropic.com", custom_headers={"X-App": Secret("ours")})
    clients = (("user-agent", "claude-cli/2"), ("x-app", "cli"), ("accept", "application/json"))
    out = sent(native, Outgoing(body=b"{}", headers=clients))
    assert out[b"user-agent"] == b"claude-cli/2"
    assert out[b"accept"] == b"application/json"
    assert out[b"x-app"] == b"ours"
    assert sent(native)[b"user-agent"].startswith(b"ccproxy-trio/")


def test_what_is_ours_to_say_no_client_says() -> None:
    said = {"host": "evil.example", "content-length": "9", "accept-encoding": "gzip"}
    keys = {"authorization": "Bearer client", "x-api-key": "client", "api-key": "client"}
    clients = tuple({**said, **keys}.items())
    for native in (provider("https://api.anthropic.com"), provider("https://x.example", options=NATIVE)):
        out = sent(native, Outgoing(body=b"{}", headers=clients))
        assert out[b"host"] == httpx.URL(native.base_url).netloc
        assert out[b"content-length"] == b"2"
        assert out[b"accept-encoding"] == b"identity"
        assert keys_in(out) == {b"x-api-key": b"key"}


@pytest.mark.parametrize(
    "settings", [provider("https://x.example/v1"), provider("https://api.anthropic.com")]
)
def test_nothing_compressed_is_asked_for(settings: ProviderSettings) -> None:
    assert sent(settings)[b"accept-encoding"] == b"identity"


# -- clients' credentials ------------------------------------------------------------------------------


def test_a_clients_credential_is_passed_on_under_its_own_header_and_nothing_beside_it() -> None:
    passing = provider("https://api.anthropic.com", api_key=Secret(PASSTHROUGH))
    for credential in (LOGIN, Credential("x-api-key", Secret("sk-ant-api03-client"))):
        out = sent(passing, Outgoing(body=b"{}", credential=credential))
        assert keys_in(out) == {credential.header.encode(): credential.value.reveal().encode()}


def test_without_one_no_key_is_made_up() -> None:
    passing = provider("https://api.anthropic.com", api_key=Secret(PASSTHROUGH))
    assert keys_in(sent(passing)) == {}


@pytest.mark.parametrize(
    "settings",
    [
        provider("https://api.anthropic.com"),
        provider("https://x.example/v1"),
        provider("https://x.example/v1", options=RESPONSES),
    ],
)
def test_a_clients_credential_reaches_no_provider_that_has_a_key_of_its_own(
    settings: ProviderSettings,
) -> None:
    request = asked(settings, Outgoing(body=b"{}", credential=LOGIN))
    assert not any(b"sk-ant-oat01" in value for _, value in request.headers.raw)
    assert list(keys_in(sent(settings)).values()) in ([b"key"], [b"Bearer key"])


def test_what_one_request_bore_does_not_stay_for_the_next() -> None:
    passing = provider("https://api.anthropic.com", api_key=Secret(PASSTHROUGH))
    asking, dialect = Asking(passing), resolve(passing, "m")
    first = Outgoing(body=b"{}", headers=(("x-app", "cli"),), credential=LOGIN)
    asking.completion(first, model="m", accept=JSON, dialect=dialect)
    again = asking.completion(Outgoing(body=b"{}"), model="m", accept=JSON, dialect=dialect)
    assert b"authorization" not in dict(again.headers.raw)
    assert b"x-app" not in dict(again.headers.raw)
