"""How one upstream model wants to be spoken to: one value per switch, nothing left open.

A dialect is laid in coats, later ones winning: the generic server, the profile, what is known of the model
and of the server (all in `profiles.py`), on Anthropic's own wire what is known of those who speak it
(`native/profiles.py`), the operator's `options`, what was learned from refusals while running. `auto` is
decided by host, then by model name.

Which wire it is says `options`, or else the address, or else the profile and the model. A model's name alone
says nothing of wires: a gateway that calls its model `gpt-5.4` may speak nothing but Chat Completions.
"""

import re
from collections.abc import Iterable
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import UNSET, Struct

from ccproxy_trio.health.lessons import Lesson, chosen, grown
from ccproxy_trio.settings.model import DialectOptions, ProviderSettings, Wire
from ccproxy_trio.settings.wires import is_at, is_native_path
from ccproxy_trio.translate.native.profiles import ITSELF, NATIVE, NATIVE_MODELS
from ccproxy_trio.translate.profiles import (
    HOSTS,
    MODEL_NAMES,
    MODELS,
    ON_RESPONSES,
    PORTS,
    PROFILES,
    SERVERS,
    ModelRule,
)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Dialect(Struct, frozen=True, kw_only=True):
    """The switches. The defaults are those of an unknown server; comments say what True or a value means."""

    profile: str = "generic"
    wire: Wire = "chat"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens", "none"] = "max_tokens"
    output_cap: int | None = None  # tokens; larger wishes are lowered to it
    system_role: Literal["system", "developer"] = "system"
    mid_system: Literal["user", "keep", "hoist"] = "user"  # system text between the turns
    reasoning: Literal["none", "effort", "openrouter", "deepseek", "qwen", "gemini"] = "none"
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    replay: Literal["none", "reasoning_content", "reasoning_details", "gemini_extra"] = "none"
    tool_media: Literal["user", "tool"] = "user"  # where a tool result's images go
    schema: Literal["json", "gemini", "openai"] = "json"
    tool_id: Literal["plain40", "mistral9"] = "plain40"
    sampling: bool = True  # takes temperature and top_p, but for what the next two say
    temperature: bool = True
    top_p: bool = True
    top_k: bool = False
    stop: bool = True
    parallel: bool = True  # takes parallel_tool_calls
    stream_usage: bool = True  # takes stream_options.include_usage
    json_schema: bool = True  # takes response_format json_schema
    json_object: bool = True  # takes response_format json_object, used where json_schema is not taken
    strict: bool = False
    tool_choice: bool = True  # takes `required` and a named function
    auto_choice: bool = True  # takes `auto`, which is what servers do with tools anyway
    cache: Literal["none", "cache_control", "openai_breakpoint"] = "none"
    prompt_cache_key: bool = False
    user_field: Literal["none", "safety_identifier", "user"] = "none"
    merge_users: bool = False  # neighbouring user messages are joined
    vision: bool = True
    files: bool = False  # takes PDFs as `file` parts
    file_urls: bool = False  # such a part may hold a URL, which the provider fetches
    null_content: bool = True  # takes null as an assistant's content
    think_tags: bool = False  # reasoning comes as <think> inside the text
    streaming: bool = True
    max_tools: int | None = None
    lenient: bool = False  # unknown block types become text instead of a 400
    reasoning_with_tools: bool = True  # False: effort must be `none` when tools are offered
    empty_reasoning: str = ""  # sent as reasoning_content where the history has none
    qwen_template: bool = False  # `chat_template_kwargs` rather than `enable_thinking`
    prefill: Literal["none", "prefix", "continue"] = "none"  # how a last assistant message is to be continued
    leading_user: bool = False  # the first message after the system prompt must be the user's
    service_tier: bool = False
    # On the Responses wire only.
    encrypted_reasoning: bool = True  # gives reasoning that can be sent back, though it stores nothing
    reasoning_summary: bool = True  # tells a summary of its reasoning
    # On Anthropic's own wire only, where a body is passed on as it came but for what these say.
    leave_out: tuple[str, ...] = ()  # members by path, lists walked through: `tools.defer_loading`
    betas: Literal["all", "none"] = "all"  # which values of `anthropic-beta` go on
    refused_betas: tuple[str, ...] = ()  # but these do not
    thinking_blocks: Literal["signed", "any", "none"] = "signed"  # of the history; never those we signed
    # How it is asked for.
    thinking_style: Literal["any", "budget", "adaptive", "always", "none", "off"] = "any"
    thinking_before_calls: Literal["loop", "all"] = "loop"  # which turns that call must begin with it
    server_tools: bool = True  # runs Anthropic's own tools (web_search and others)
    tool_references: bool = True  # takes tool_reference blocks; else they become text
    billing_header: bool = True  # is sent Claude Code's line about its build
    key_header: Literal["x-api-key", "authorization"] = "x-api-key"
    # Not to be set in `options`: these follow from the host, and from whether the wire is set there.
    extra_key: Literal["google", "vertex"] = "google"  # who reads `extra_content`
    wire_told: bool = False  # by the operator, so that no refusal may change it

    def capped(self, tokens: int) -> int:
        """What is asked for where the client wishes so long an answer."""
        return tokens if self.output_cap is None else min(tokens, self.output_cap)


class _Chosen(Struct, frozen=True):
    """A profile, and why it was chosen. `by_name`: by the model's name alone."""

    profile: str
    why: str
    by_name: bool = False


def resolve(provider: ProviderSettings, model: str) -> Dialect:
    """The dialect of `model` (its upstream name) at `provider`."""
    chosen = _profile(provider, model)
    dialect = _usual(provider, chosen, model)
    wire, _ = _wire(provider, chosen, dialect)
    dialect = msgspec.structs.replace(dialect, wire=wire, wire_told=provider.options.wire is not UNSET)
    if wire == "responses":
        dialect = _over(dialect, ON_RESPONSES.get(chosen.profile, DialectOptions()))
    if wire == "anthropic":
        dialect = _beside(dialect, NATIVE.get(chosen.profile, ITSELF))
        for rule in _rules(NATIVE_MODELS, chosen.profile, model):
            dialect = _beside(dialect, rule.switches)
    return _over(dialect, provider.options)


def reason(provider: ProviderSettings, model: str) -> str:
    """One sentence for the operator: which profile applies, and which wire if not the usual, and why."""
    chosen = _profile(provider, model)
    wire, why = _wire(provider, chosen, _usual(provider, chosen, model))
    told = f"profile {chosen.profile}: {chosen.why}"
    return f"{told}; wire {wire}: {why}" if why else told


def _usual(provider: ProviderSettings, chosen: _Chosen, model: str) -> Dialect:
    """What profile, model and server come to; the wire of it is that of the profile and the model."""
    profile = chosen.profile
    dialect = _over(Dialect(profile=profile), PROFILES[profile])
    for rule in _rules(MODELS, profile, model):
        switches = msgspec.structs.replace(rule.switches, wire=UNSET) if chosen.by_name else rule.switches
        dialect = _over(dialect, switches)
    url = urlsplit(provider.base_url)
    for suffix, switches in SERVERS:
        if is_at(url.hostname or "", suffix):
            dialect = _over(dialect, switches)
    if profile == "gemini" and (url.hostname or "").endswith("aiplatform.googleapis.com"):
        dialect = msgspec.structs.replace(dialect, extra_key="vertex")
    if profile == "deepseek" and url.path.rstrip("/").endswith("/beta"):
        dialect = msgspec.structs.replace(dialect, prefill="prefix")
    return dialect


def _rules(rules: Iterable[ModelRule], profile: str, model: str) -> Iterable[ModelRule]:
    name = bare_name(model)
    return (
        rule
        for rule in rules
        if (rule.profiles is None or profile in rule.profiles) and re.search(rule.pattern, name)
    )


def _wire(provider: ProviderSettings, chosen: _Chosen, usual: Dialect) -> tuple[Wire, str]:
    """The wire, and why it is this one; "" where there was nothing to choose."""
    if provider.options.wire is not UNSET:
        return provider.options.wire, "configured"
    url: SplitResult = urlsplit(provider.base_url)
    if is_native_path(url):
        return "anthropic", f"chosen by the address, which ends in {url.path.rstrip('/')}"
    if PROFILES[chosen.profile].wire is not UNSET:
        return usual.wire, "the profile's"
    return usual.wire, "what this model is spoken to on" if usual.wire != "chat" else ""


def with_lessons(dialect: Dialect, lessons: Iterable[Lesson]) -> Dialect:
    """The dialect after what was learned, in this order."""
    for lesson in lessons:
        dialect = _beside(dialect, lesson.switches)
    return dialect


def differences(dialect: Dialect) -> tuple[str, ...]:
    """The switches in which it differs from an unknown server's, as the configuration would write them.

    Such a server is one of the same wire; the wire itself is a difference from all others.
    """
    unknown = Dialect() if dialect.wire != "anthropic" else _over(Dialect(), ITSELF)
    usual = msgspec.structs.asdict(unknown)
    return tuple(
        f"{name}: {msgspec.json.encode(value).decode()}"
        for name, value in msgspec.structs.asdict(dialect).items()
        if name not in ("profile", "wire_told") and value != usual[name]
    )


def _over(dialect: Dialect, switches: DialectOptions) -> Dialect:
    return msgspec.structs.replace(dialect, **chosen(switches))


def _beside(dialect: Dialect, switches: DialectOptions) -> Dialect:
    """The same, but lists of what is refused are put together: each coat knows of others."""
    return msgspec.structs.replace(dialect, **grown(msgspec.structs.asdict(dialect), chosen(switches)))


def bare_name(model: str) -> str:
    """The name without vendor path and fine-tune mark: `openai/ft:gpt-4o` is `gpt-4o` to the rules."""
    return model.lower().rsplit("/", 1)[-1].removeprefix("ft:")


def _profile(provider: ProviderSettings, model: str) -> _Chosen:
    if provider.profile != "auto":
        return _Chosen(provider.profile, "configured")
    if provider.api_version is not None:
        return _Chosen("azure", "api_version is set")
    url = urlsplit(provider.base_url)
    host = url.hostname or ""
    for suffix, profile in HOSTS:
        if is_at(host, suffix):
            return _Chosen(profile, f"chosen by the host {host}")
    port = _PORT.search(url.netloc)
    if port and port[1] in PORTS:
        return _Chosen(PORTS[port[1]], f"chosen by the port {port[1]}")
    for pattern, profile in MODEL_NAMES:
        if re.match(pattern, bare_name(model)):
            return _Chosen(profile, f"chosen by the model's name {model}", by_name=True)
    return _Chosen("generic", "neither the host nor the model's name is known")


# Not `SplitResult.port`, which raises on a number that is none; such a URL fails where it is opened.
_PORT = re.compile(r":(\d+)$")
