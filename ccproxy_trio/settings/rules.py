"""What single types cannot say: rules between keys, and what makes an address or a header usable.

Each rule looks at one object of the file, whose keys have been checked one by one; a key that was left out or
had a fault of its own is absent, so a rule speaks only of what is there. Paths are relative to that object.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct, structs

from ccproxy_trio.settings.fault import Finding, listed
from ccproxy_trio.settings.hosts import is_loopback
from ccproxy_trio.settings.model import TIERS, BreakerSettings, ProviderSettings, Settings, WebSearch
from ccproxy_trio.settings.wires import Tree, is_native, native_address, passing_credentials

UNKNOWN_URL = "https://variable-not-set.invalid"  # stands in for a disabled provider's address

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"host", "content-length", "content-type", "content-encoding", "accept-encoding", "expect"})
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_BOUNDS = (("max_recovery_timeout", "recovery_timeout"), ("cooldown_max", "cooldown_default"))
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_OPENAI_ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/models")


def provider_rules(provider: Tree) -> Iterator[Finding]:
    """The address, the wire, Azure's version, the headers and the deadlines of one provider."""
    url = _split(provider.get("base_url", UNKNOWN_URL))
    if url is None:
        yield Finding(("base_url",), "is not an address; look at its host and port.")
    elif url.geturl() != UNKNOWN_URL:
        native = is_native(provider, url)
        yield from _address(url)
        yield from native_address(url, native=native)
        if not native:
            yield from _azure(url, provider)
        yield from passing_credentials(provider, native=native)
    yield from _headers(provider.get("custom_headers", {}))
    yield from _deadlines(provider)
    yield from _windows(provider)


def breaker_rules(breaker: Tree) -> Iterator[Finding]:
    """A longest wait is not shorter than the wait it bounds."""
    for longest, first in _BOUNDS:
        least = breaker.get(first, _default(BreakerSettings, first))
        if breaker.get(longest, least) < least:
            yield Finding((longest,), f"is less than `{first}`, which is {least:g} seconds.")


def search_rules(search: Tree) -> Iterator[Finding]:
    """Where the searches go."""
    if "searxng" not in search:
        return
    url = _split(search["searxng"])
    if url is None:
        yield Finding(("searxng",), "is not an address; look at its host and port.")
    elif url.username is not None:
        yield Finding(("searxng",), "has a user name or password in it, which is not sent; remove it.")
    elif url.path.rstrip("/").endswith("/search"):
        yield Finding(("searxng",), "goes too far: end it before `/search`; the rest is added.")
    elif url.scheme == "http" and not _is_near(url.hostname or ""):
        message = "is http, not https: what is searched for travels readable for everybody on the way."
        yield Finding(("searxng",), message, fatal=False)


def file_rules(settings: Tree) -> Iterator[Finding]:
    """Names that differ, somebody enabled, and every tier served."""
    providers: Sequence[object] = settings.get("providers", ())
    entries = [(index, entry) for index, entry in enumerate(providers) if isinstance(entry, Mapping)]
    yield from _same_names(entries)
    yield from _unproxied(entries, settings.get("proxy"))
    enabled = [entry for _, entry in entries if entry.get("enabled", True)]
    if entries and not enabled:
        yield Finding(("providers",), "are all disabled; enable at least one.")
        return
    yield from _unserved(enabled)
    yield from _idle_affinity(settings)


RULES: Mapping[type, Callable[[Tree], Iterator[Finding]]] = {
    Settings: file_rules,
    ProviderSettings: provider_rules,
    BreakerSettings: breaker_rules,
    WebSearch: search_rules,
}


def on_this_machine(base_url: str) -> bool:
    """Whether the address is a loopback one, by its looks (nothing is resolved)."""
    return is_loopback(urlsplit(base_url).hostname or "")


def _split(base_url: str) -> SplitResult | None:
    try:
        url = urlsplit(base_url)
        usable = url.port != 0 and (not url.netloc or bool(url.hostname))
    except ValueError:  # a port that is no number, brackets that do not match
        return None
    return url if usable else None


def _address(url: SplitResult) -> Iterator[Finding]:
    path = url.path.rstrip("/")
    ending = next((end for end in _OPENAI_ENDPOINTS if path.endswith(end)), None)
    if url.username is not None:
        yield Finding(
            ("base_url",), "has a user name or password in it; put credentials into `custom_headers`."
        )
    elif ending:
        message = f"goes too far: end it before `{ending}`, as https://api.example.com/v1; the rest is added."
        yield Finding(("base_url",), message)
    if url.scheme == "http" and not _is_near(url.hostname or ""):
        message = "is http, not https: the API key and all prompts travel readable for everybody on the way."
        yield Finding(("base_url",), message, fatal=False)


def _azure(url: SplitResult, provider: Tree) -> Iterator[Finding]:
    host = (url.hostname or "").rstrip(".")
    azure = host.endswith(_AZURE_HOSTS) or provider.get("profile") == "azure"
    compatible = "/openai/v1" in url.path  # Azure's newer form, which takes no version
    version = provider.get("api_version")
    if azure and not compatible and version is None:
        message = (
            "is Azure's and needs `api_version` beside it, such as 2024-10-21 (or an address in /openai/v1)."
        )
        yield Finding(("base_url",), message)
    if version is not None and not azure:
        message = (
            "makes this an Azure provider, but `base_url` does not look like Azure's. Remove it, or set "
            '`profile` to "azure" if this is Azure behind a name of your own.'
        )
        yield Finding(("api_version",), message, fatal=False)


def _headers(headers: Mapping[str, object]) -> Iterator[Finding]:
    seen: set[str] = set()
    for name in headers:
        lower = name.lower()
        problem: str | None = None
        if not _HEADER_NAME.fullmatch(name):
            problem = "is not a header's name; those are letters, digits and dashes."
        elif lower in _OURS or lower in _HOP_BY_HOP:
            problem = "is a header that the connection itself sets; remove it."
        elif lower in seen:
            problem = "is there twice; upper and lower case are the same in headers."
        seen.add(lower)
        if problem:
            yield Finding(("custom_headers", name), problem, at_key=True)


def _deadlines(provider: Tree) -> Iterator[Finding]:
    key = "timeout" if provider.get("first_content_timeout") is None else "first_content_timeout"
    within = provider.get(key, _default(ProviderSettings, "timeout"))
    total = provider.get("total_timeout")
    if total is not None and total < within:
        yield Finding(("total_timeout",), f"is less than `{key}`, which is {within:g} seconds.")


def _windows(provider: Tree) -> Iterator[Finding]:
    window, models = provider.get("context_window"), provider.get("models")
    if not isinstance(window, Mapping) or not isinstance(models, Mapping):
        return
    known = {model for tier in models.values() for model in tier}
    for model in window:
        if model not in known:
            message = "is none of this provider's models, so it has no effect."
            yield Finding(("context_window", model), message, fatal=False, at_key=True)


def _same_names(entries: Sequence[tuple[int, Tree]]) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, entry in entries:
        if "name" not in entry:
            continue
        folded = " ".join(entry["name"].casefold().split())
        if folded in seen:
            message = (
                f"is the name of providers[{seen[folded]}] too; each needs its own (case does not count)."
            )
            yield Finding(("providers", index, "name"), message)
        seen.setdefault(folded, index)


def _unproxied(entries: Sequence[tuple[int, Tree]], everybodys: str | None) -> Iterator[Finding]:
    for index, entry in entries:
        url = _split(entry.get("base_url", UNKNOWN_URL))
        near = url is not None and is_loopback(url.hostname or "")
        proxy = entry.get("proxy", None if near else everybodys)
        if proxy is not None and entry.get("transport") == "trio":
            message = (
                'is "trio", which goes through no proxy. Leave it out, and httpx carries what goes through '
                "`proxy`; or set this provider's `proxy` to null."
            )
            yield Finding(("providers", index, "transport"), message)


def _unserved(enabled: Sequence[Tree]) -> Iterator[Finding]:
    if any("models" not in entry for entry in enabled):
        return  # that is a fault already, and what it would have served is unknown
    missing = [tier for tier in TIERS if not any(tier in entry["models"] for entry in enabled)]
    if enabled and missing:
        message = f"serve no {listed(missing)} models: requests for them will be refused."
        yield Finding(("providers",), message, fatal=False)


def _idle_affinity(settings: Tree) -> Iterator[Finding]:
    strategy = settings.get("fallback_strategy", _default(Settings, "fallback_strategy"))
    if strategy == "priority" and settings.get("session_affinity"):
        message = (
            "has no effect under the strategy priority, which gives every session the same first provider; "
            "it is for round_robin and random."
        )
        yield Finding(("session_affinity",), message, fatal=False)


def _default(owner: type[Struct], name: str) -> Any:
    return next(field.default for field in structs.fields(owner) if field.name == name)


def _is_near(host: str) -> bool:
    """Loopback, a private network, or a bare name as containers have it."""
    bare = "." not in host and ":" not in host
    address = _ip(host)
    return (
        bare
        or host.endswith((".localhost", ".local", ".internal"))
        or (address is not None and address.is_private)
    )


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
