"""What is known of those who speak Anthropic's wire, as data: laid over a profile's row, on that wire alone.

A profile without a row here is treated as Anthropic itself, which takes whatever Claude Code says; where that
is too much, refusals teach the rest (`learning.py`), and `options` may name it beforehand.

Sources: Anthropic's pages on models, thinking and effort; the vendors' pages on Claude Code; what their
servers answered, as their users report it.
"""

from msgspec.structs import replace

from ccproxy_trio.settings.model import DialectOptions as Switches
from ccproxy_trio.translate.profiles import ModelRule

ITSELF = Switches(
    mid_system="keep",
    files=True,
    file_urls=True,
    max_tools=None,
    merge_users=False,
    efforts=("low", "medium", "high", "xhigh", "max"),
)

# What only Anthropic is known to read. `output_config` is how hard to think and in what form to answer.
_ANTHROPICS_OWN = (
    *("context_management", "metadata", "service_tier", "speed", "inference_geo", "billing_policy"),
    *("diagnostics", "fallbacks", "fallback_credit_token", "cache_control"),
    *("cache_control.ttl", "cache_control.scope", "messages.citations", "messages.caller"),
    *("tools.defer_loading", "tools.allowed_callers", "tools.eager_input_streaming"),
    *("tools.input_examples", "tools.strict"),
)
SHAPED_LIKE_IT = Switches(
    mid_system="user",
    files=False,
    file_urls=False,
    max_tools=None,
    efforts=("low", "medium", "high", "xhigh", "max"),
    leave_out=("output_config", "output_format", *_ANTHROPICS_OWN),
    betas="none",
    thinking_blocks="any",  # their own may bear no signature, and are wanted back
    thinking_style="budget",
    server_tools=False,
    tool_references=False,
    billing_header=False,
)
_BY_BEARER = replace(SHAPED_LIKE_IT, key_header="authorization")

NATIVE: dict[str, Switches] = {
    # These two refuse a history in which any call was made without a thought, as long as they are to think.
    "deepseek": replace(SHAPED_LIKE_IT, thinking_before_calls="all"),
    "moonshot": replace(_BY_BEARER, thinking_before_calls="all"),
    "zai": _BY_BEARER,
    "minimax": _BY_BEARER,
    "alibaba": _BY_BEARER,
    "openrouter": replace(_BY_BEARER, files=True, file_urls=True),
    "ollama": _BY_BEARER,
    "vllm": _BY_BEARER,
}

_BUDGET = Switches(mid_system="user", thinking_style="budget")
_NO_EFFORT = ("output_config.effort",)
_NO_THINKING = Switches(mid_system="user", thinking_style="none", leave_out=_NO_EFFORT)

# Anthropic's models, whoever serves them. A name without a row here is a newer one, which takes everything.
NATIVE_MODELS: tuple[ModelRule, ...] = (
    ModelRule(frozenset({"openrouter"}), r"claude", Switches(thinking_blocks="signed")),
    ModelRule(None, r"claude-(2|instant|3-(opus|sonnet|haiku))", replace(_NO_THINKING, output_cap=4_096)),
    ModelRule(None, r"claude-3[.-]5", replace(_NO_THINKING, output_cap=8_192)),
    ModelRule(None, r"claude-3[.-]7", replace(_BUDGET, leave_out=_NO_EFFORT)),
    ModelRule(
        None,
        r"claude-(opus|sonnet|haiku)-4($|@|-20\d{6}|[.-][015]($|\D))",
        replace(_BUDGET, output_cap=64_000),
    ),
    ModelRule(None, r"claude-opus-4($|@|-20\d{6}|[.-][01]($|\D))", Switches(output_cap=32_000)),
    ModelRule(
        None,
        r"claude-((sonnet|haiku)-4($|@|-20\d{6}|[.-][05]($|\D))|opus-4($|@|-20\d{6}|[.-][01]($|\D)))",
        Switches(leave_out=_NO_EFFORT),
    ),
    ModelRule(None, r"claude-opus-4[.-]5($|\D)", Switches(efforts=("low", "medium", "high"))),
    ModelRule(
        None,
        r"claude-(opus|sonnet)-4[.-]6($|\D)",
        Switches(mid_system="user", efforts=("low", "medium", "high", "max")),
    ),
    ModelRule(None, r"claude-sonnet-4[.-]6($|\D)", Switches(output_cap=64_000)),
    ModelRule(None, r"claude-opus-4[.-]7($|\D)", Switches(mid_system="user")),
    # From these on a budget is refused.
    ModelRule(
        None,
        r"claude-(opus-4[.-][789]($|\D)|(opus|sonnet|haiku|fable|mythos)-[5-9])",
        Switches(thinking_style="adaptive"),
    ),
)
