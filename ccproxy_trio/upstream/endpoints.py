"""Where a provider's endpoints are and which headers go there: all that can be worked out once, at start."""

from urllib.parse import quote, urlencode

from msgspec import Struct

from ccproxy_trio.settings.model import ProviderSettings, Wire
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.version import __version__


class Endpoints(Struct, frozen=True, kw_only=True):
    """One provider's addresses. `completions` holds `{model}` where the path names the deployment (Azure)."""

    completions: str
    responses: str
    messages: str
    models: str
    headers: tuple[tuple[bytes, bytes], ...]

    def headers_for(self, accept: bytes) -> list[tuple[bytes, bytes]]:
        """The headers of a request that wants `accept`, unless the configuration says otherwise."""
        return list({b"accept": accept, **dict(self.headers)}.items())

    def answers_for(self, model: str, *, wire: Wire) -> str:
        """The address that answers for `model` on this wire."""
        address = {"chat": self.completions, "responses": self.responses, "anthropic": self.messages}[wire]
        return address.replace("{model}", quote(model, safe=""))


def endpoints(provider: ProviderSettings) -> Endpoints:
    """Work out the addresses and headers of one provider.

    Azure comes in two forms. With `api_version` it is the deployment form: the base URL is the resource
    (`https://NAME.openai.azure.com`, whatever path people pasted behind it), the model is part of the path.
    Without, it is an ordinary OpenAI-compatible base URL (`.../openai/v1`).
    """
    base = provider.base_url.rstrip("/")
    if provider.api_version is not None:
        resource = base.split("/openai", 1)[0]
        query = urlencode({"api-version": provider.api_version})
        completions = f"{resource}/openai/deployments/{{model}}/chat/completions?{query}"
        models = f"{resource}/openai/models?{query}"
        responses = f"{resource}/openai/responses?{query}"
        messages = f"{resource}/anthropic/v1/messages"
    else:
        # A brace in a pasted URL must not be taken for our own placeholder.
        plain = base.replace("{", "%7B").replace("}", "%7D")
        completions = plain + "/chat/completions"
        responses = plain + "/responses"
        messages = plain + "/messages" if plain.endswith("/v1") else plain + "/v1/messages"
        models = base + "/models"
    return Endpoints(
        completions=completions,
        responses=responses,
        messages=messages,
        models=models,
        headers=_headers(provider),
    )


def _headers(provider: ProviderSettings) -> tuple[tuple[bytes, bytes], ...]:
    headers = {
        "content-type": "application/json",
        # Nothing is to be inflated here: 200 kB of gzip can hold 200 MB.
        "accept-encoding": "identity",
        "user-agent": f"ccproxy-trio/{__version__}",
        **_credentials(provider),
    }
    headers.update((name.lower(), value.reveal()) for name, value in provider.custom_headers.items())
    # httpx would encode text as ASCII and raise over a Latin-1 value that HTTP can carry. What HTTP cannot
    # carry is refused when the configuration is loaded.
    return tuple(
        (name.encode("ascii"), value.encode("latin-1", "backslashreplace")) for name, value in headers.items()
    )


def _credentials(provider: ProviderSettings) -> dict[str, str]:
    key = provider.api_key.reveal()
    speaks_azure = any(resolve(provider, model).profile == "azure" for model in provider.all_models())
    return {"api-key": key} if speaks_azure else {"authorization": f"Bearer {key}"}
