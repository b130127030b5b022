"""Where requests go and what they bear."""

import pytest

from ccproxy_trio.settings.model import Models, ProviderSettings, Secret
from ccproxy_trio.upstream.endpoints import endpoints


def provider(base_url: str, **options: object) -> ProviderSettings:
    return ProviderSettings(
        name="p",
        api_key=Secret("key"),
        base_url=base_url,
        models=Models(big=("m",)),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("base", ["https://api.example.com/v1", "https://api.example.com/v1/"])
def test_an_openai_compatible_base_url_gets_the_usual_paths(base: str) -> None:
    there = endpoints(provider(base))
    assert there.answers_for("gpt-4o", wire="chat") == "https://api.example.com/v1/chat/completions"
    assert there.models == "https://api.example.com/v1/models"
    assert dict(there.headers)[b"authorization"] == b"Bearer key"


@pytest.mark.parametrize(
    "base",
    [
        "https://res.openai.azure.com",
        "https://res.openai.azure.com/",
        "https://res.openai.azure.com/openai",
        "https://res.openai.azure.com/openai/deployments/gpt-4o",
    ],
)
def test_azure_with_a_version_asks_for_the_deployment(base: str) -> None:
    there = endpoints(provider(base, api_version="2024-02-15-preview"))
    assert there.answers_for("gpt 4o/x", wire="chat") == (
        "https://res.openai.azure.com/openai/deployments/gpt%204o%2Fx/chat/completions"
        "?api-version=2024-02-15-preview"
    )
    assert there.models == "https://res.openai.azure.com/openai/models?api-version=2024-02-15-preview"
    headers = dict(there.headers)
    assert headers[b"api-key"] == b"key"
    assert b"authorization" not in headers


def test_azure_without_a_version_is_an_ordinary_base_url_with_azures_header() -> None:
    there = endpoints(provider("https://res.openai.azure.com/openai/v1"))
    assert (
        there.answers_for("gpt-5", wire="chat") == "https://res.openai.azure.com/openai/v1/chat/completions"
    )
    assert dict(there.headers)[b"api-key"] == b"key"


def test_a_path_that_looks_like_azure_is_not_azure() -> None:
    there = endpoints(provider("https://gateway.example/res.openai.azure.com/v1"))
    assert dict(there.headers)[b"authorization"] == b"Bearer key"


def test_a_gateway_that_is_said_to_be_azure_gets_azures_header() -> None:
    there = endpoints(provider("https://gateway.example/v1", profile="azure"))
    assert dict(there.headers)[b"api-key"] == b"key"


def test_a_configured_accept_header_replaces_ours() -> None:
    there = endpoints(provider("https://x.example/v1", custom_headers={"Accept": Secret("*/*")}))
    assert [value for name, value in there.headers_for(b"text/event-stream") if name == b"accept"] == [b"*/*"]


def test_custom_headers_come_last_and_replace_ours_whatever_their_case() -> None:
    there = endpoints(
        provider(
            "https://x.example/v1",
            custom_headers={"Authorization": Secret("Token other"), "X-Org": Secret("Zoë")},
        )
    )
    names = [name for name, _ in there.headers]
    assert names.count(b"authorization") == 1
    assert dict(there.headers)[b"authorization"] == b"Token other"
    assert dict(there.headers)[b"x-org"] == "Zoë".encode("latin-1")


def test_nothing_compressed_is_asked_for() -> None:
    assert dict(endpoints(provider("https://x.example/v1")).headers)[b"accept-encoding"] == b"identity"


def test_a_brace_in_the_base_url_is_not_taken_for_the_model() -> None:
    there = endpoints(provider("https://x.example/{model}/v1"))
    assert there.answers_for("m", wire="chat") == "https://x.example/%7Bmodel%7D/v1/chat/completions"
