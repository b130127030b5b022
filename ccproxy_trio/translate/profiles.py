"""What is known about providers and their models, as data; `dialect.py` lays the rows over each other.

A row names only what differs from the row below it; a new provider is a new row. Vendors change: where a row
is out of date, `options` in the configuration overrides it, and what a provider says it does not take is
learned (`adjust.py`).
"""

from msgspec import Struct

from ccproxy_trio.settings.model import DialectOptions as Switches


class ModelRule(Struct, frozen=True):
    """What `switches` says holds for the models `pattern` is found in (lower case, vendor path removed)."""

    profiles: frozenset[str] | None  # None: every profile
    pattern: str
    switches: Switches


PROFILES: dict[str, Switches] = {
    "generic": Switches(),
    "anthropic": Switches(wire="anthropic"),
    "openai": Switches(
        max_tokens_field="max_completion_tokens",
        mid_system="keep",
        reasoning="effort",
        schema="openai",
        strict=True,
        prompt_cache_key=True,
        user_field="safety_identifier",
        files=True,
        max_tools=128,
        service_tier=True,
    ),
    "azure": Switches(
        max_tokens_field="max_completion_tokens",
        mid_system="keep",
        reasoning="effort",
        schema="openai",
        strict=True,
        user_field="user",
        max_tools=128,
    ),
    "openrouter": Switches(
        reasoning="openrouter",
        efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
        replay="reasoning_details",
        top_k=True,
        user_field="user",
        files=True,
        file_urls=True,
    ),
    "deepseek": Switches(
        reasoning="deepseek",
        replay="reasoning_content",
        parallel=False,
        json_schema=False,
        vision=False,
    ),
    "gemini": Switches(
        reasoning="gemini",
        replay="gemini_extra",
        schema="gemini",
        parallel=False,
        files=True,
        leading_user=True,  # a call right after the system prompt is refused
    ),
    "groq": Switches(
        max_tokens_field="max_completion_tokens",
        vision=False,
        user_field="user",
        max_tools=128,
    ),
    "mistral": Switches(
        tool_id="mistral9",
        stream_usage=False,  # unknown keys are refused; usage comes without being asked for
        merge_users=True,
        null_content=False,
        prefill="prefix",
    ),
    "ollama": Switches(
        parallel=False,
        tool_choice=False,
        merge_users=True,
        null_content=False,
    ),
    "vllm": Switches(
        top_k=True,
        merge_users=True,
        qwen_template=True,
        prefill="continue",
    ),
    # Sellers of open weights of their own, who are spoken to on Chat Completions as an unknown server is.
    "moonshot": Switches(),
    "zai": Switches(),
    "minimax": Switches(),
    "alibaba": Switches(),
}

# Suffixes of host names. More exact ones first.
HOSTS: tuple[tuple[str, str], ...] = (
    ("anthropic.com", "anthropic"),
    ("openai.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("openai.com", "openai"),
    ("openrouter.ai", "openrouter"),
    ("deepseek.com", "deepseek"),
    ("googleapis.com", "gemini"),
    ("groq.com", "groq"),
    ("mistral.ai", "mistral"),
    ("ollama.com", "ollama"),
    ("moonshot.ai", "moonshot"),
    ("moonshot.cn", "moonshot"),
    ("kimi.com", "moonshot"),
    ("z.ai", "zai"),
    ("bigmodel.cn", "zai"),
    ("minimax.io", "minimax"),
    ("minimaxi.com", "minimax"),
    ("aliyuncs.com", "alibaba"),
)
# What is known of servers that need no profile of their own, by suffixes of host names.
SERVERS: tuple[tuple[str, Switches], ...] = (
    ("together.xyz", Switches(top_k=True)),
    ("together.ai", Switches(top_k=True)),
    ("fireworks.ai", Switches(top_k=True)),
)
PORTS: dict[str, str] = {"11434": "ollama"}

# Beginnings of model names, for hosts that say nothing.
MODEL_NAMES: tuple[tuple[str, str], ...] = (
    (r"gpt-oss", "generic"),
    (r"gpt-|chatgpt-|o[1-9](-|$)", "openai"),
    (r"deepseek-(chat|reasoner|v\d)", "deepseek"),
    (r"gemini-", "gemini"),
    (r"(open-)?(mistral|mixtral|ministral|magistral|codestral|devstral|pixtral)-", "mistral"),
)

# What those who also have the Responses API can do there and not on Chat Completions.
ON_RESPONSES: dict[str, Switches] = {
    "openai": Switches(file_urls=True),
    "azure": Switches(files=True, file_urls=True),
}
ON_CHAT: dict[str, Switches] = {  # the way back
    "openai": Switches(file_urls=False),
    "azure": Switches(files=False, file_urls=False),
}

_OPENAI = frozenset({"openai", "azure"})
_SELLERS = frozenset({"moonshot", "zai", "minimax", "alibaba"})
_OPEN_WEIGHTS = frozenset({"generic", "vllm", "ollama", "groq"}) | _SELLERS
_SELF_HOSTED = frozenset({"generic", "vllm"}) | _SELLERS

# How a pattern begins that is to find a model's name: Azure's deployments are called `prod-gpt-4o`, too.
BEGIN = r"(^|[^a-z0-9])"

MODELS: tuple[ModelRule, ...] = (
    # OpenAI's models that do not reason. Their output caps are hard: more is a 400, not a shorter answer.
    ModelRule(
        _OPENAI,
        BEGIN + r"(gpt-[34]|gpt-?35|gpt4|chatgpt-4)",
        Switches(reasoning="none", encrypted_reasoning=False),
    ),
    ModelRule(_OPENAI, r"gpt-?3\.?5", Switches(output_cap=4_096, json_schema=False)),
    ModelRule(_OPENAI, r"gpt-4($|-(?!o|\.))", Switches(output_cap=4_096, json_schema=False)),
    ModelRule(_OPENAI, r"gpt-4(-32k|-0613|-0314)?$", Switches(vision=False)),
    ModelRule(_OPENAI, r"gpt-4(o|\.5)", Switches(output_cap=16_384)),
    ModelRule(_OPENAI, r"gpt-4o-2024-05-13", Switches(output_cap=4_096, json_schema=False)),
    ModelRule(_OPENAI, r"gpt-4\.1", Switches(output_cap=32_768)),
    # Those that do.
    ModelRule(
        _OPENAI,
        BEGIN + r"o[1-9]($|-)",
        Switches(system_role="developer", sampling=False, stop=False, parallel=False),
    ),
    ModelRule(_OPENAI, BEGIN + r"o1($|-)", Switches(stop=True)),
    ModelRule(
        _OPENAI,
        BEGIN + r"gpt-([5-9]|1\d)",
        Switches(
            system_role="developer",
            sampling=False,
            stop=False,
            efforts=("minimal", "low", "medium", "high"),
        ),
    ),
    ModelRule(_OPENAI, r"gpt-5\.1(?!\d)", Switches(efforts=("none", "low", "medium", "high"))),
    ModelRule(
        _OPENAI,
        r"gpt-(5\.([2-9]|1\d)|[6-9]|1\d)",
        Switches(efforts=("none", "low", "medium", "high", "xhigh")),
    ),
    ModelRule(_OPENAI, r"gpt-5(\.\d+)?-codex", Switches(efforts=("low", "medium", "high"))),
    ModelRule(_OPENAI, r"gpt-5(\.\d+)?-codex-max", Switches(efforts=("low", "medium", "high", "xhigh"))),
    ModelRule(_OPENAI, r"gpt-5-pro", Switches(efforts=("high",))),
    ModelRule(
        _OPENAI,
        r"gpt-5-chat",
        Switches(reasoning="none", encrypted_reasoning=False, sampling=True, output_cap=16_384),
    ),
    # From 5.4 on, function tools and reasoning exclude each other on Chat Completions.
    ModelRule(
        _OPENAI,
        r"gpt-(5\.([4-9]|1\d)|[6-9]|1\d)",
        Switches(wire="responses", reasoning_with_tools=False),
    ),
    # Those that live nowhere else.
    ModelRule(
        _OPENAI,
        r"codex|(gpt-5(\.\d+)?|" + BEGIN + r"o[1-9])-pro($|-)|computer-use|deep-research",
        Switches(wire="responses"),
    ),
    ModelRule(_OPENAI, r"gpt-6-astra", Switches(efforts=("low", "medium", "high", "xhigh"))),
    # Gemini before 2.5 does not reason; 2.5 can be told not to, except Pro.
    ModelRule(frozenset({"gemini"}), r"gemini-(1|2\.0)", Switches(reasoning="none")),
    ModelRule(
        frozenset({"gemini"}), r"gemini-2\.5-flash", Switches(efforts=("none", "low", "medium", "high"))
    ),
    # OpenRouter passes Anthropic's breakpoints on to those who know them.
    ModelRule(frozenset({"openrouter"}), r"^(claude|gemini|qwen)", Switches(cache="cache_control")),
    # Open weights, wherever they are served.
    ModelRule(_OPEN_WEIGHTS, r"gpt-oss", Switches(reasoning="effort")),
    ModelRule(_SELF_HOSTED, r"qwen-?3|glm-4\.[5-9]", Switches(reasoning="qwen")),
    ModelRule(_SELF_HOSTED, r"deepseek", Switches(replay="reasoning_content")),
    # Kimi refuses a tool turn whose reasoning is missing or empty.
    ModelRule(_SELF_HOSTED, r"kimi", Switches(replay="reasoning_content", empty_reasoning=" ")),
    # Who can see, and who cannot.
    ModelRule(frozenset({"groq"}), r"llama-4", Switches(vision=True)),
    ModelRule(
        None,
        r"gpt-3\.?5|gpt-?35|^o1-mini|^o3-mini|gpt-oss|deepseek|codestral|devstral|qwen.*coder|kimi-k2($|-)"
        r"|glm-4\.\d($|-)|llama-?3(\.[13])?([-:]|$)|mixtral",
        Switches(vision=False),
    ),
)
