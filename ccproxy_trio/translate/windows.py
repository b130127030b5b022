"""Context windows of well-known models as data, and which window holds for a candidate.

A window that is too small is worse than none: it refuses prompts that would fit. So a row is the most that
its seller takes as a prompt (where output has a share of its own, as with GPT-5, without that share), what is
uncertain is left out, and only models bought from a known seller have rows at all. Whoever runs a model on
a machine of his own decides its window when he starts the server, whatever the model could do.
"""

import re
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from ccproxy_trio.settings.model import ProviderSettings
from ccproxy_trio.settings.wires import is_at
from ccproxy_trio.translate.dialect import Dialect, bare_name
from ccproxy_trio.translate.profiles import BEGIN, HOSTS


class Window(Struct, frozen=True):
    """How many tokens a prompt may have, and who says so."""

    tokens: int
    source: Literal["configured", "known"]


class WindowRule(Struct, frozen=True):
    """`tokens` holds for the models `pattern` is found in, at these sellers.

    Names are lower case, vendor path removed. The first rule that fits decides; None says that the window of
    these models is not known, although a later pattern would find them.
    """

    sellers: frozenset[str]
    pattern: str
    tokens: int | None


# Profiles whose servers cut a prompt that is too long without a word, instead of refusing it.
SILENT: frozenset[str] = frozenset({"ollama"})

# Profiles of servers that people run themselves.
_SELF_RUN = frozenset({"ollama", "vllm"})

# Sellers beside those that have a profile of their own, by suffixes of host names.
SELLERS: tuple[tuple[str, str], ...] = (
    ("x.ai", "xai"),
    ("together.xyz", "together"),
    ("together.ai", "together"),
    ("fireworks.ai", "fireworks"),
)

_MALLS = frozenset({"openrouter", "together", "fireworks"})  # they sell everybody's models
_OPENAI = frozenset({"openai", "azure"}) | _MALLS
_DEEPSEEK = frozenset({"deepseek"}) | _MALLS
_GEMINI = frozenset({"gemini"}) | _MALLS
_MISTRAL = frozenset({"mistral"}) | _MALLS
_CLAUDE = frozenset({"anthropic"}) | _MALLS
_GROK = frozenset({"xai"}) | _MALLS
_KIMI = frozenset({"moonshot"}) | _MALLS
_GLM = frozenset({"zai"}) | _MALLS
_QWEN = frozenset({"alibaba"}) | _MALLS
_GROQ = frozenset({"groq"})

_DATED_OPUS = r"opus-4($|-20\d{6}|[.-][015]($|\D))"

WINDOWS: tuple[WindowRule, ...] = (
    # Open weights as Groq serves them, all alike but these.
    WindowRule(_GROQ, r"kimi-k2", 262_144),
    WindowRule(_GROQ, r"gemma-?2", 8_192),
    WindowRule(_GROQ, r"llama-?3\.[123]|llama-?4|gpt-oss|qwen-?3|deepseek-r1-distill", 131_072),
    WindowRule(_GROQ, r"", None),
    # OpenAI.
    WindowRule(_OPENAI, r"image|audio|realtime|embedding|search|transcribe|tts|deep-research", None),
    WindowRule(_OPENAI, r"gpt-oss", 131_072),
    WindowRule(_OPENAI, BEGIN + r"gpt-?3\.?5", 16_385),
    WindowRule(_OPENAI, BEGIN + r"gpt-4-32k", 32_768),
    WindowRule(_OPENAI, BEGIN + r"gpt-4-(turbo|1106|0125|vision)", 128_000),
    WindowRule(_OPENAI, BEGIN + r"gpt-4($|-0314|-0613)", 8_192),
    WindowRule(_OPENAI, BEGIN + r"(gpt-4o|gpt-4\.5|chatgpt-4o)", 128_000),
    WindowRule(_OPENAI, BEGIN + r"gpt-4\.1", 1_047_576),
    WindowRule(_OPENAI, BEGIN + r"o1-(mini|preview)", 128_000),
    WindowRule(_OPENAI, BEGIN + r"o[134]($|-)", 200_000),
    WindowRule(_OPENAI, BEGIN + r"gpt-5(\.\d+)?-(chat|codex-spark)", 128_000),
    # 400,000 with the answer, of which a prompt gets 272,000; 1,050,000 and 922,000 for the long ones.
    WindowRule(_OPENAI, BEGIN + r"gpt-5(\.[0-3])?($|-)", 272_000),
    WindowRule(_OPENAI, BEGIN + r"gpt-5\.4-(mini|nano)", 272_000),
    WindowRule(_OPENAI, BEGIN + r"gpt-(5\.[45]($|-pro|-20\d\d)|6(\.\d)?-astra)", 922_000),
    # DeepSeek. Its own endpoint calls its newest small model `deepseek-chat`; elsewhere that is V3.
    WindowRule(frozenset({"deepseek"}), r"deepseek-(chat|reasoner|v4|flash|pro)", 1_048_576),
    WindowRule(_DEEPSEEK, r"deepseek-v4", 1_048_576),
    WindowRule(_DEEPSEEK, r"deepseek-r1-distill", 131_072),
    WindowRule(_DEEPSEEK, r"deepseek-(chat|reasoner|v3|r1)", 163_840),
    # Google.
    WindowRule(_GEMINI, r"gemini-.*(image|tts|live|audio|embedding)", None),
    WindowRule(_GEMINI, r"gemini-1\.5-pro", 2_097_152),
    WindowRule(_GEMINI, r"gemini-(1\.5-flash|2\.[05]|3)", 1_048_576),
    WindowRule(_MALLS, r"gemma-?3", 131_072),
    # Mistral. Names without a date move to newer models; they get what the newest one takes.
    WindowRule(_MISTRAL, r"mixtral-8x22b", 65_536),
    WindowRule(_MISTRAL, r"mixtral-8x7b|mistral-7b", 32_768),
    WindowRule(_MISTRAL, r"mistral-large-24\d\d|mistral-small-25\d\d|ministral-.*-2410", 131_072),
    WindowRule(_MISTRAL, r"devstral-.*-250\d|pixtral|mistral-nemo|magistral", 131_072),
    WindowRule(_MISTRAL, r"mistral-(large|medium|small)|ministral|devstral|codestral", 262_144),
    # Anthropic.
    WindowRule(_CLAUDE, r"claude-(2|3|instant|haiku-4)|claude-" + _DATED_OPUS, 200_000),
    WindowRule(_CLAUDE, r"claude-(sonnet-4|opus-4[.-][678]($|\D))", 1_000_000),
    # Meta.
    WindowRule(_MALLS, r"llama-?4-scout", 10_000_000),
    WindowRule(_MALLS, r"llama-?4-maverick", 1_048_576),
    WindowRule(_MALLS, r"llama-?3\.[123]", 131_072),
    WindowRule(_MALLS, r"llama-?3-(8|70)b", 8_192),
    # xAI.
    WindowRule(_GROK, r"grok-(4-fast|4[.-]1-fast|4\.20)", 2_000_000),
    WindowRule(_GROK, r"grok-(4($|-0709|-latest)|code-fast-1)", 256_000),
    WindowRule(_GROK, r"grok-3", 131_072),
    # Moonshot, Zhipu, Alibaba.
    WindowRule(_KIMI, r"kimi-k2", 262_144),
    WindowRule(_GLM, r"glm-4\.5v", 65_536),
    WindowRule(_GLM, r"glm-4\.5", 131_072),
    WindowRule(_GLM, r"glm-(4\.[67]|5(\.1)?($|-turbo))", 204_800),
    WindowRule(_QWEN, r"qwen-?3-coder", 1_048_576),
    WindowRule(_QWEN, r"qwen-?3($|-)", 262_144),
    WindowRule(_QWEN, r"qwen-?2\.5.*1m", None),
    WindowRule(_QWEN, r"qwen-?2\.5|qwq-32b", 131_072),
)


def window_of(provider: ProviderSettings, model: str, dialect: Dialect) -> Window | None:
    """The context window of `model` (its upstream name) at `provider`, which speaks `dialect`."""
    configured = provider.window(model)
    if configured is not None:
        return Window(configured, "configured")
    seller = _seller(provider, dialect.profile)
    if seller is None:
        return None
    name = bare_name(model)
    for rule in WINDOWS:
        if seller in rule.sellers and re.search(rule.pattern, name):
            return None if rule.tokens is None else Window(rule.tokens, "known")
    return None


def _seller(provider: ProviderSettings, profile: str) -> str | None:
    """Who sells the model; None for a server of somebody's own.

    A profile that was chosen by the model's name alone says nothing: local servers call what they run `gpt-4`
    to please their clients.
    """
    if profile in _SELF_RUN:
        return None
    host = urlsplit(provider.base_url).hostname or ""
    for suffix, seller in (*HOSTS, *SELLERS):
        if is_at(host, suffix):
            return seller
    is_told = provider.profile != "auto" or provider.api_version is not None
    return profile if is_told else None
