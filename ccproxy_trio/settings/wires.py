"""What a configuration says of wires, before anybody resolves a dialect: rules of one provider.

Which wire a provider is spoken to on is decided in `translate.dialect`, above this floor. What can be known
of it here is whether it is Anthropic's own, and that is all that these rules need.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult

from ccproxy_trio.settings.fault import Finding
from ccproxy_trio.settings.model import PASSTHROUGH

Tree = Mapping[str, Any]  # an object of the file: checked values by key

NATIVE_HOST = "anthropic.com"
CREDENTIALS = frozenset({"authorization", "x-api-key", "api-key"})  # the headers that a key goes into
# Where those who have both APIs keep Anthropic's, by suffixes of host names; from their own documentation.
_NATIVE_PATHS = (
    ("deepseek.com", "/anthropic"),
    ("moonshot.ai", "/anthropic"),
    ("moonshot.cn", "/anthropic"),
    ("z.ai", "/api/anthropic"),
    ("bigmodel.cn", "/api/anthropic"),
    ("minimax.io", "/anthropic"),
    ("minimaxi.com", "/anthropic"),
    ("services.ai.azure.com", "/anthropic"),
)
# How base URLs end that say by themselves which wire it is, with or without `/v1/messages` behind.
_NATIVE_ENDS = ("/anthropic",)
# The same at single hosts; with a `/v1` behind it, it is OpenAI's wire there.
_NATIVE_PLACES = (("kimi.com", "/coding"),)
_HOW = '"options": {"wire": "anthropic"}'


def is_native_path(url: SplitResult) -> bool:
    """Whether an address is one of Anthropic's own wire by the way it ends."""
    path = url.path.rstrip("/")
    if path.removesuffix("/messages").removesuffix("/v1").endswith(_NATIVE_ENDS):
        return True
    return any(is_at(url.hostname or "", suffix) and path.endswith(place) for suffix, place in _NATIVE_PLACES)


def is_native(provider: Tree, url: SplitResult) -> bool:
    """Whether a provider is spoken to on Anthropic's own wire: by its `options`, address, profile or host."""
    wire = provider.get("options", {}).get("wire")
    if wire is not None:
        return bool(wire == "anthropic")
    if is_native_path(url):
        return True
    profile = provider.get("profile", "auto")
    if profile != "auto" or provider.get("api_version") is not None:
        return bool(profile == "anthropic")
    return is_at(url.hostname or "", NATIVE_HOST)


def native_address(url: SplitResult, *, native: bool) -> Iterator[Finding]:
    """An address of Anthropic's own wire at a provider that is spoken to on another, or one that goes on."""
    path = url.path.rstrip("/")
    if path.endswith("/count_tokens"):
        message = "goes too far: end it before `/v1/messages/count_tokens`; the rest is added."
        yield Finding(("base_url",), message)
    elif native:
        yield from _elsewhere(url)
    elif path.endswith("/messages"):
        message = f"is an endpoint of Anthropic's own API: add {_HOW} to this provider."
        yield Finding(("base_url",), message)
    elif path.endswith("/anthropic"):
        message = (
            "looks like an address of Anthropic's own API, but this provider is spoken to as OpenAI's: "
            f"add {_HOW} to it if that is what it is."
        )
        yield Finding(("base_url",), message, fatal=False)


def _elsewhere(url: SplitResult) -> Iterator[Finding]:
    known = next((path for suffix, path in _NATIVE_PATHS if is_at(url.hostname or "", suffix)), None)
    if known is not None and "/anthropic" not in url.path:
        message = (
            "is not where this host is known to speak Anthropic's API: that is "
            f"{url.scheme}://{url.netloc.rpartition('@')[2]}{known}."
        )
        yield Finding(("base_url",), message, fatal=False)


def is_at(host: str, suffix: str) -> bool:
    """Whether a host's name is `suffix` or one below it."""
    return host == suffix or host.endswith("." + suffix)


def passing_credentials(provider: Tree, *, native: bool) -> Iterator[Finding]:
    """The key that stands for each client's own."""
    key = provider.get("api_key", "")
    if key != PASSTHROUGH:
        if key.casefold().replace("-", "").replace("_", "") == PASSTHROUGH:
            message = f'is no key. Write "{PASSTHROUGH}", all lower case, for each client\'s own to be used.'
            yield Finding(("api_key",), message)
        return
    if not native:
        message = (
            f'is "{PASSTHROUGH}": what Claude Code sends is a key for Anthropic\'s API, and this provider is '
            f"spoken to on another. Give it a key of its own, or add {_HOW} if it does take Claude Code's."
        )
        yield Finding(("api_key",), message)
    for name in provider.get("custom_headers", {}):
        if name.lower() in CREDENTIALS:
            message = f'would replace what the client sends, which `api_key` ("{PASSTHROUGH}") is to pass on.'
            yield Finding(("custom_headers", name), message, at_key=True)
    if provider.get("probe", "off") != "off":
        message = f'has no effect: with "{PASSTHROUGH}" there is no key to ask with before a client comes.'
        yield Finding(("probe",), message, fatal=False)
