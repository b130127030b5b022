"""Where a provider's endpoints are and which headers go there: all that can be worked out once, at start.

Sources: the API references of OpenAI, of Azure OpenAI and its versions, and of Anthropic.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from msgspec import Struct

from ccproxy_trio.settings.model import ProviderSettings, Wire
from ccproxy_trio.settings.wires import CREDENTIALS
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.native.headers import VERSION
from ccproxy_trio.version import __version__

OURS = frozenset({b"host", b"content-length", b"accept-encoding"})  # no client's word counts for these
KEY_HEADERS = frozenset(name.encode() for name in CREDENTIALS)
Fields = dict[bytes, bytes]  # names in lower case

_RESPONSES_SINCE = "2025-03-01"  # Azure: earlier versions have no such path
_DATED = re.compile(r"\d{4}-\d\d-\d\d")
_NATIVE_ENDING = re.compile(r"(?:/v1)?(?:/messages)?$")


class Endpoints(Struct, frozen=True, kw_only=True):
    """One provider's addresses. `completions` holds `{model}` where the path names the deployment (Azure).

    `models` lists the models of who is spoken to as OpenAI's, `native_models` of who is as Anthropic's.
    """

    completions: str
    responses: str
    messages: str
    models: str
    native_models: str

    def answers_for(self, model: str, *, wire: Wire) -> str:
        """The address that answers for `model` on this wire."""
        address = {"chat": self.completions, "responses": self.responses, "anthropic": self.messages}[wire]
        return address.replace("{model}", quote(model, safe=""))

    def models_on(self, wire: Wire) -> str:
        """The address of the list of models."""
        return self.native_models if wire == "anthropic" else self.models


def endpoints(provider: ProviderSettings) -> Endpoints:
    """Work out the addresses of one provider.

    Azure comes in two forms. With `api_version` it is the deployment form: the base URL is the resource
    (`https://NAME.openai.azure.com`, whatever path people pasted behind it), the model is part of the path.
    Without, it is an ordinary OpenAI-compatible base URL (`.../openai/v1`).

    Anthropic's own API is pasted in every form there is: with `/v1/messages`, with `/v1`, or without.
    """
    # A brace in a pasted URL must not be taken for our own placeholder.
    base = provider.base_url.rstrip("/").replace("{", "%7B").replace("}", "%7D")
    root = _NATIVE_ENDING.sub("", base, count=1)
    if provider.api_version is None:
        return Endpoints(
            completions=base + "/chat/completions",
            responses=base + "/responses",
            messages=root + "/v1/messages",
            models=base + "/models",
            native_models=root + "/v1/models",
        )
    resource = re.split("/openai|/anthropic", base, maxsplit=1)[0]
    query = urlencode({"api-version": provider.api_version})
    return Endpoints(
        completions=f"{resource}/openai/deployments/{{model}}/chat/completions?{query}",
        responses=f"{resource}/openai/{_azure_responses(provider.api_version, query)}",
        messages=f"{resource}/anthropic/v1/messages",
        models=f"{resource}/openai/models?{query}",
        native_models=f"{resource}/anthropic/v1/models",
    )


def _azure_responses(version: str, query: str) -> str:
    """The path behind `/openai/`, and its query. `/v1` is there whatever version the rest is asked in."""
    if not _DATED.match(version):
        return f"v1/responses?{query}"  # `preview`, `latest`
    return f"responses?{query}" if version[:10] >= _RESPONSES_SINCE else "v1/responses"


def usual_headers(dialect: Dialect, accept: str) -> Fields:
    """What goes with every request that wants `accept`, where nobody has another word."""
    usual = {
        b"accept": accept.encode(),
        b"content-type": b"application/json",
        b"user-agent": f"ccproxy-trio/{__version__}".encode(),
    }
    if dialect.wire == "anthropic":
        usual[b"anthropic-version"] = VERSION.encode()
    return usual


def firm_headers(provider: ProviderSettings, dialect: Dialect) -> Fields:
    """What goes with every request whatever the client's headers say: ours, and the configuration's own.

    One of them holds the provider's key, unless it is the client's own that is passed on. On Anthropic's wire
    a configured header with a key replaces it, whatever its name: two keys are refused there.
    """
    # httpx would encode text as ASCII and raise over a Latin-1 value that HTTP can carry. What HTTP cannot
    # carry is refused when the configuration is loaded.
    own = {
        name.lower().encode("ascii"): value.reveal().encode("latin-1", "backslashreplace")
        for name, value in provider.custom_headers.items()
    }
    is_replaced = dialect.wire == "anthropic" and not KEY_HEADERS.isdisjoint(own)
    key = {} if provider.passes_credentials or is_replaced else _key(provider, dialect)
    # Nothing is to be inflated here: 200 kB of gzip can hold 200 MB.
    return {b"accept-encoding": b"identity", **key, **own}


def _key(provider: ProviderSettings, dialect: Dialect) -> Mapping[bytes, bytes]:
    key = provider.api_key.reveal().encode("latin-1", "backslashreplace")
    named: str = dialect.key_header
    if dialect.wire != "anthropic":
        named = "api-key" if dialect.profile == "azure" else "authorization"
    return {named.encode(): b"Bearer " + key if named == "authorization" else key}
