"""The configuration file as types: names, defaults and meaning of `config/providers.json`.

Every time is in seconds. Nothing here reads a file or the environment (see `load.py`), so the pure floor
may import these types. They are the single source of truth: `validate.py` walks their constraints, and
`schema.py` turns them into the JSON Schema. In a constraint's `extra`, `unit` is what a number counts and
`says` is the sentence for somebody whose value breaks the constraint.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Tier = Literal["big", "middle", "small"]
TIERS: tuple[Tier, ...] = ("big", "middle", "small")
Strategy = Literal["priority", "round_robin", "random"]
TransportName = Literal["trio", "httpx", "httpx-http2"]  # what carries requests to providers
Wire = Literal["chat", "responses", "anthropic"]  # which of the three APIs a provider is spoken to in
PASSTHROUGH = "passthrough"  # as an `api_key`: each client's own credentials are passed on
ProfileName = Literal[
    "auto",
    "anthropic",
    "openai",
    "azure",
    "openrouter",
    "deepseek",
    "gemini",
    "groq",
    "mistral",
    "ollama",
    "vllm",
    "moonshot",
    "zai",
    "minimax",
    "alibaba",
    "generic",
]
Seconds = Annotated[float, Meta(gt=0, le=86_400, extra={"unit": "seconds"})]
SecondsOrOff = Annotated[float, Meta(ge=0, le=86_400, extra={"unit": "seconds"})]
HedgeAfter = SecondsOrOff | Literal["p95"]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Positive = Annotated[int, Meta(ge=1, le=10_000_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ModelList = Annotated[
    tuple[Name, ...],
    Meta(
        min_length=1, extra={"says": "names no model; leave the tier out if this provider does not serve it."}
    ),
]
ProviderName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$",
        extra={
            "says": "should be 1 to 64 characters, with no space at either end and no control characters."
        },
    ),
]
BaseUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
        extra={
            "says": "should be an address like https://api.example.com/v1, without spaces and without "
            "anything from a `?` or `#` on (Azure's api-version goes into `api_version`)."
        },
    ),
]
SearchUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
        extra={
            "says": "should be the address of a SearXNG instance, like http://127.0.0.1:8888, without "
            "spaces and without anything from a `?` or `#` on."
        },
    ),
]
SearchWord = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=60,
        pattern=r"^[^\x00-\x1f\x7f,]+$",
        extra={"says": "should be one word of SearXNG's, such as general or en-GB, without commas."},
    ),
]
ApiVersion = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]+$",
        extra={"says": "should be a version such as 2024-10-21: letters, digits, dots and dashes."},
    ),
]
BundlePath = Annotated[
    str,
    Meta(
        max_length=4096,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        extra={"says": "should be the path of a file with certificates in PEM."},
    ),
]
Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]


class Secret:
    """A value that must never be shown. Prints as `***`; `reveal()` is called only where it is sent."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Models(Struct, frozen=True, forbid_unknown_fields=True):
    """A provider's models by tier, each list tried in order. A tier left out is not served."""

    big: ModelList | UnsetType = UNSET
    middle: ModelList | UnsetType = UNSET
    small: ModelList | UnsetType = UNSET


class DialectOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Single switches of a dialect, overriding what the profile chose. Left out: the profile's."""

    wire: Wire | UnsetType = UNSET
    max_tokens_field: Literal["max_tokens", "max_completion_tokens", "none"] | UnsetType = UNSET
    output_cap: Positive | UnsetType | None = UNSET
    system_role: Literal["system", "developer"] | UnsetType = UNSET
    mid_system: Literal["user", "keep", "hoist"] | UnsetType = UNSET
    reasoning: Literal["none", "effort", "openrouter", "deepseek", "qwen", "gemini"] | UnsetType = UNSET
    efforts: tuple[Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"], ...] | UnsetType = (
        UNSET
    )
    reasoning_with_tools: bool | UnsetType = UNSET
    qwen_template: bool | UnsetType = UNSET
    replay: Literal["none", "reasoning_content", "reasoning_details", "gemini_extra"] | UnsetType = UNSET
    empty_reasoning: str | UnsetType = UNSET
    tool_media: Literal["user", "tool"] | UnsetType = UNSET
    schema: Literal["json", "gemini", "openai"] | UnsetType = UNSET
    tool_id: Literal["plain40", "mistral9"] | UnsetType = UNSET
    sampling: bool | UnsetType = UNSET
    temperature: bool | UnsetType = UNSET
    top_p: bool | UnsetType = UNSET
    top_k: bool | UnsetType = UNSET
    stop: bool | UnsetType = UNSET
    parallel: bool | UnsetType = UNSET
    stream_usage: bool | UnsetType = UNSET
    json_schema: bool | UnsetType = UNSET
    json_object: bool | UnsetType = UNSET
    strict: bool | UnsetType = UNSET
    tool_choice: bool | UnsetType = UNSET
    auto_choice: bool | UnsetType = UNSET
    cache: Literal["none", "cache_control", "openai_breakpoint"] | UnsetType = UNSET
    prompt_cache_key: bool | UnsetType = UNSET
    user_field: Literal["none", "safety_identifier", "user"] | UnsetType = UNSET
    merge_users: bool | UnsetType = UNSET
    leading_user: bool | UnsetType = UNSET
    prefill: Literal["none", "prefix", "continue"] | UnsetType = UNSET
    service_tier: bool | UnsetType = UNSET
    encrypted_reasoning: bool | UnsetType = UNSET
    reasoning_summary: bool | UnsetType = UNSET
    vision: bool | UnsetType = UNSET
    files: bool | UnsetType = UNSET
    file_urls: bool | UnsetType = UNSET
    null_content: bool | UnsetType = UNSET
    think_tags: bool | UnsetType = UNSET
    streaming: bool | UnsetType = UNSET
    max_tools: Positive | UnsetType | None = UNSET
    lenient: bool | UnsetType = UNSET
    leave_out: tuple[Name, ...] | UnsetType = UNSET
    betas: Literal["all", "none"] | UnsetType = UNSET
    refused_betas: tuple[Name, ...] | UnsetType = UNSET
    thinking_blocks: Literal["signed", "any", "none"] | UnsetType = UNSET
    thinking_style: Literal["any", "budget", "adaptive", "always", "none", "off"] | UnsetType = UNSET
    thinking_before_calls: Literal["loop", "all"] | UnsetType = UNSET
    server_tools: bool | UnsetType = UNSET
    tool_references: bool | UnsetType = UNSET
    billing_header: bool | UnsetType = UNSET
    key_header: Literal["x-api-key", "authorization"] | UnsetType = UNSET


class ProviderSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of `providers`. The first ten are the shared format's, by name, default and meaning."""

    name: ProviderName
    api_key: Secret
    base_url: BaseUrl  # as loaded: without a slash at its end
    models: Annotated[
        Models, Meta(extra={"says": "names no tier; give at least one of big, middle and small its models."})
    ]
    enabled: bool = True
    priority: Priority = 1
    api_version: ApiVersion | None = None
    timeout: Seconds = 90.0  # to the first content
    max_retries: Count = 3
    custom_headers: dict[str, Secret] = {}
    profile: ProfileName = "auto"
    options: DialectOptions = DialectOptions()
    context_window: Positive | dict[str, Positive] | None = None  # tokens; an object gives it per model
    connect_timeout: Seconds = 10.0
    first_content_timeout: Seconds | None = None  # None: `timeout`
    idle_timeout: Seconds = 120.0
    total_timeout: Seconds | None = (
        None  # None: bounded until the first content, unbounded while content flows
    )
    probe: Literal["models", "completion", "off"] = "models"
    health_check_interval: SecondsOrOff | None = None  # None: the file's
    transport: TransportName | None = None  # None: the file's, or httpx where there is a `proxy`
    hedge_after: HedgeAfter | None = None  # None: the file's; 0: never
    # Of the next two, left out: the file's; null, "none" and "": none. As loaded, the file's is filled in.
    proxy: Secret | UnsetType | None = UNSET  # a secret: its address may hold a password
    ca_bundle: BundlePath | UnsetType | None = UNSET  # as loaded: a whole path, of a file that was good then

    @property
    def passes_credentials(self) -> bool:
        """Whether each client's own credentials go there instead of a key of ours."""
        return self.api_key.reveal() == PASSTHROUGH

    @property
    def outgoing_proxy(self) -> Secret | None:
        """The address of the proxy that requests to this provider go through."""
        return self.proxy or None

    @property
    def authorities(self) -> str | None:
        """The path of the certificates to trust beside the system's."""
        return self.ca_bundle or None

    @property
    def content_within(self) -> float:
        """Seconds an attempt may take to its first content."""
        return self.timeout if self.first_content_timeout is None else self.first_content_timeout

    def window(self, model: str) -> int | None:
        """The context window of `model` in tokens, where configured."""
        if isinstance(self.context_window, dict):
            return self.context_window.get(model)
        return self.context_window

    def all_models(self) -> tuple[str, ...]:
        """Every model of every tier, each once."""
        return tuple(dict.fromkeys(model for tier in TIERS for model in self.models_of(tier)))

    def models_of(self, tier: Tier) -> tuple[str, ...]:
        """The models of one tier, in the order they are tried."""
        chosen = {"big": self.models.big, "middle": self.models.middle, "small": self.models.small}[tier]
        return () if chosen is UNSET else chosen


class BreakerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`circuit_breaker`. The first two are the shared format's."""

    failure_threshold: Annotated[int, Meta(ge=1, le=10_000)] = 5
    recovery_timeout: Seconds = 60.0
    max_recovery_timeout: Seconds = 600.0
    recovery_jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1
    success_threshold: Annotated[int, Meta(ge=1, le=100)] = 1
    trial_timeout: Seconds | None = None  # None: the provider's `timeout` + 30
    failure_ttl: Seconds = 300.0
    failure_rate_threshold: Annotated[float, Meta(gt=0, le=1)] = 0.5
    window: Seconds = 60.0
    minimum_requests: Count = 10  # 0 disables the rate rule
    cooldown_default: Seconds = 5.0
    cooldown_max: Seconds = 3600.0


class RetryBudget(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Extra attempts the process may make: `ratio` a request, at least `min_per_s`, kept for `ttl`."""

    ratio: Annotated[float, Meta(ge=0, le=10)] = 0.2
    min_per_s: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    ttl: Seconds = 10.0


class WebSearch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`web_search`: who answers Claude Code's web searches."""

    searxng: SearchUrl  # as loaded: without a slash at its end
    timeout: Annotated[float, Meta(gt=0, le=120, extra={"unit": "seconds"})] = 10.0  # for the whole search
    max_results: Annotated[int, Meta(ge=1, le=50)] = 8
    categories: tuple[SearchWord, ...] = ()  # none: the instance's own choice, as for the next two
    language: SearchWord | None = None
    safesearch: Annotated[int, Meta(ge=0, le=2)] | None = None


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. The first four are the shared format's, by name, default and meaning."""

    providers: Annotated[
        tuple[ProviderSettings, ...],
        Meta(min_length=1, extra={"says": "is empty; add at least one provider."}),
    ]
    fallback_strategy: Strategy = "priority"
    health_check_interval: SecondsOrOff = 300.0  # 0: no probes
    circuit_breaker: BreakerSettings = BreakerSettings()
    default_tier: Tier = "big"
    patience: SecondsOrOff = 20.0
    on_exhaustion: Literal["tell", "wait"] = "tell"
    panic: Literal["least_bad", "fail"] = "least_bad"
    queue_wait: SecondsOrOff = 5.0
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 6
    retry_budget: RetryBudget = RetryBudget()
    commit_after: Seconds = 20.0
    keepalive_interval: Seconds = 15.0
    heartbeat_interval: Seconds = 60.0  # an empty delta after this long without a non-ping event
    stall_limit: Seconds = 60.0
    drain_timeout: Seconds = 30.0
    max_exchanges: Positive = 1000
    client_api_keys: tuple[Secret, ...] = ()
    allowed_hosts: tuple[Name, ...] = ()  # beside loopback names and the address bound
    allowed_origins: tuple[Name, ...] = ()
    failover_on_400: bool = False
    session_affinity: bool = False  # for round_robin and random
    # A number: the window that Claude Code was told by CLAUDE_CODE_AUTO_COMPACT_WINDOW.
    scale_usage_to_window: bool | Positive = False
    web_search: WebSearch | None = None  # None: web searches are told to be unavailable
    transport: TransportName = "trio"
    hedge_after: HedgeAfter | None = None  # None or 0: never
    proxy: Secret | None = None  # for all providers but those on this machine
    ca_bundle: BundlePath | None = None  # for all providers, and for `web_search`
    schema_: str | UnsetType = msgspec.field(default=UNSET, name="$schema")  # for editors; ignored

    def enabled(self) -> tuple[ProviderSettings, ...]:
        """The providers that take part."""
        return tuple(provider for provider in self.providers if provider.enabled)

    def hedge_after_of(self, provider: ProviderSettings) -> HedgeAfter | None:
        """After how much silence of this provider another is asked beside it; None: never."""
        return (self.hedge_after if provider.hedge_after is None else provider.hedge_after) or None

    def transport_of(self, provider: ProviderSettings) -> TransportName:
        """What carries requests to this provider. Our own transport goes through no proxy."""
        name = provider.transport or self.transport
        return "httpx" if name == "trio" and provider.outgoing_proxy is not None else name
