import re
from typing import Any

import msgspec
import pytest

from ccproxy_trio.settings.model import DialectOptions, ProfileName
from ccproxy_trio.translate import profiles
from ccproxy_trio.translate.dialect import Dialect, differences, reason, resolve
from ccproxy_trio.translate.native.profiles import NATIVE
from tests.translate.asking import dialect, provider


@pytest.mark.parametrize(
    ("base_url", "model", "profile"),
    [
        ("https://api.openai.com/v1", "gpt-4o", "openai"),
        ("https://eu.api.openai.com/v1", "anything", "openai"),
        ("https://notopenai.com/v1", "anything", "generic"),
        ("https://x.openai.azure.com/openai/v1", "prod", "azure"),
        ("https://x.services.ai.azure.com/models", "prod", "azure"),
        ("https://openrouter.ai/api/v1", "openai/gpt-5", "openrouter"),
        ("https://api.deepseek.com", "deepseek-chat", "deepseek"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro", "gemini"),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b", "groq"),
        ("https://api.mistral.ai/v1", "mistral-large", "mistral"),
        ("http://localhost:11434/v1", "llama3.1:70b", "ollama"),
        ("http://[::1]:11434/v1", "gpt-4o", "ollama"),
        ("http://localhost:8000/v1", "llama-3", "generic"),
        ("http://localhost:999999/v1", "llama-3", "generic"),
        ("https://gateway.example/v1", "gpt-5.1", "openai"),
        ("https://gateway.example/v1", "openai/o3-mini", "openai"),
        ("https://gateway.example/v1", "ft:gpt-4o-mini:acme", "openai"),
        ("https://gateway.example/v1", "gpt-oss-120b", "generic"),
        ("https://gateway.example/v1", "deepseek-reasoner", "deepseek"),
        ("https://gateway.example/v1", "google/gemini-2.5-flash", "gemini"),
        ("https://gateway.example/v1", "codestral-latest", "mistral"),
        ("https://gateway.example/v1", "qwen3-235b", "generic"),
    ],
)
def test_auto_is_decided_by_host_then_by_the_models_name(base_url: str, model: str, profile: str) -> None:
    assert resolve(provider("auto", base_url=base_url), model).profile == profile


def test_api_version_means_azure() -> None:
    asked = provider("auto", base_url="https://proxy.example", api_version="2024-10-21")
    assert resolve(asked, "gpt-4o").profile == "azure"
    assert reason(asked, "gpt-4o") == "profile azure: api_version is set"


@pytest.mark.parametrize(
    ("asked", "model", "sentence"),
    [
        (provider("groq"), "m", "profile groq: configured"),
        (provider("auto", base_url="https://groq.com"), "m", "profile groq: chosen by the host groq.com"),
        (provider("auto", base_url="http://10.0.0.1:11434"), "m", "profile ollama: chosen by the port 11434"),
        (provider("auto"), "gpt-5", "profile openai: chosen by the model's name gpt-5"),
        (provider("auto"), "m", "profile generic: neither the host nor the model's name is known"),
    ],
)  # fmt: skip
def test_reason_says_what_was_chosen_and_why(asked: Any, model: str, sentence: str) -> None:
    assert reason(asked, model) == sentence


@pytest.mark.parametrize(
    ("asked", "model", "wire", "sentence"),
    [
        (provider("auto", base_url="https://api.anthropic.com"), "m", "anthropic",
         "profile anthropic: chosen by the host api.anthropic.com; wire anthropic: the profile's"),
        (provider("auto", base_url="https://api.deepseek.com/anthropic/"), "m", "anthropic",
         "profile deepseek: chosen by the host api.deepseek.com; "
         "wire anthropic: chosen by the address, which ends in /anthropic"),
        (provider("auto", base_url="https://api.kimi.com/coding"), "m", "anthropic",
         "profile moonshot: chosen by the host api.kimi.com; "
         "wire anthropic: chosen by the address, which ends in /coding"),
        (provider("auto", base_url="https://api.kimi.com/coding/v1"), "m", "chat",
         "profile moonshot: chosen by the host api.kimi.com"),
        (provider("auto", base_url="https://x.example/anthropic/v1/messages"), "gpt-5", "anthropic",
         "profile openai: chosen by the model's name gpt-5; "
         "wire anthropic: chosen by the address, which ends in /anthropic/v1/messages"),
        (provider("generic", wire="anthropic"), "m", "anthropic",
         "profile generic: configured; wire anthropic: configured"),
        (provider("auto", base_url="https://api.deepseek.com/anthropic", wire="chat"), "m", "chat",
         "profile deepseek: chosen by the host api.deepseek.com; wire chat: configured"),
        (provider("anthropic", wire="chat"), "m", "chat",
         "profile anthropic: configured; wire chat: configured"),
    ],
)  # fmt: skip
def test_the_wire_is_told_with_its_reason_where_there_was_something_to_choose(
    asked: Any, model: str, wire: str, sentence: str
) -> None:
    assert resolve(asked, model).wire == wire
    assert reason(asked, model) == sentence


NEEDS_IT = profiles.ModelRule(None, "needs-it", DialectOptions(wire="responses", vision=False))


@pytest.mark.parametrize(
    ("asked", "wire"),
    [
        (provider("auto", base_url="https://api.openai.com/v1"), "responses"),
        (provider("openai"), "responses"),
        (provider("auto", base_url="https://x.example", api_version="2024-10-21"), "responses"),
        (provider("auto", base_url="https://x.example/v1"), "chat"),
        (provider("auto", base_url="https://x.example/v1", wire="responses"), "responses"),
        (provider("openai", wire="chat"), "chat"),
    ],
)
def test_a_models_name_alone_says_nothing_of_the_wire(
    asked: Any, wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that calls its model as OpenAI does may speak nothing but Chat Completions."""
    monkeypatch.setattr("ccproxy_trio.translate.dialect.MODELS", (NEEDS_IT,))
    chosen = resolve(asked, "gpt-5-needs-it")
    assert (chosen.profile in ("openai", "azure"), chosen.wire, chosen.vision) == (True, wire, False)


NATIVE_SWITCHES = ("mid_system", "thinking_style", "output_cap", "efforts", "leave_out")
ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("model", "mid_system", "style", "cap", "efforts", "takes_effort"),
    [
        ("claude-3-haiku-20240307", "user", "none", 4_096, ALL_EFFORTS, False),
        ("claude-3-opus-20240229", "user", "none", 4_096, ALL_EFFORTS, False),
        ("claude-3-5-haiku-20241022", "user", "none", 8_192, ALL_EFFORTS, False),
        ("claude-3.5-sonnet", "user", "none", 8_192, ALL_EFFORTS, False),
        ("claude-3-7-sonnet-20250219", "user", "budget", None, ALL_EFFORTS, False),
        ("claude-opus-4-20250514", "user", "budget", 32_000, ALL_EFFORTS, False),
        ("claude-opus-4-1", "user", "budget", 32_000, ALL_EFFORTS, False),
        ("claude-opus-4@20250514", "user", "budget", 32_000, ALL_EFFORTS, False),
        ("claude-sonnet-4-20250514", "user", "budget", 64_000, ALL_EFFORTS, False),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "user", "budget", 64_000, ALL_EFFORTS, False),
        ("anthropic/claude-sonnet-4.5", "user", "budget", 64_000, ALL_EFFORTS, False),
        ("claude-haiku-4-5-20251001", "user", "budget", 64_000, ALL_EFFORTS, False),
        ("claude-opus-4-5", "user", "budget", 64_000, ("low", "medium", "high"), True),
        ("claude-opus-4-6", "user", "any", None, ("low", "medium", "high", "max"), True),
        ("claude-sonnet-4-6", "user", "any", 64_000, ("low", "medium", "high", "max"), True),
        ("claude-opus-4-7", "user", "adaptive", None, ALL_EFFORTS, True),
        ("claude-opus-4-8", "keep", "adaptive", None, ALL_EFFORTS, True),
        ("claude-sonnet-5", "keep", "adaptive", None, ALL_EFFORTS, True),
        ("claude-fable-5-20260901", "keep", "adaptive", None, ALL_EFFORTS, True),
        ("claude-of-tomorrow", "keep", "any", None, ALL_EFFORTS, True),
    ],
)
def test_families_of_anthropic(
    model: str, mid_system: str, style: str, cap: int | None, efforts: tuple[str, ...], takes_effort: bool
) -> None:
    leave_out = () if takes_effort else ("output_config.effort",)
    assert facts("anthropic", model, *NATIVE_SWITCHES) == (mid_system, style, cap, efforts, leave_out)


@pytest.mark.parametrize("profile", sorted(profiles.PROFILES))
def test_an_unknown_server_of_anthropics_wire_is_taken_for_anthropic(profile: str) -> None:
    chosen = dialect(profile, wire="anthropic")
    if profile in NATIVE:
        assert (chosen.betas, chosen.server_tools, chosen.mid_system) == ("none", False, "user")
        assert {"context_management", "metadata", "tools.defer_loading"} <= set(chosen.leave_out)
    else:
        shown = (
            "wire",
            "mid_system",
            "files",
            "file_urls",
            "betas",
            "server_tools",
            "thinking_blocks",
            "leave_out",
        )
        assert [getattr(chosen, name) for name in shown] == [
            "anthropic",
            "keep",
            True,
            True,
            "all",
            True,
            "signed",
            (),
        ]


def test_what_a_model_lacks_is_left_out_beside_what_its_server_does_not_read() -> None:
    known = dialect("openrouter", model="anthropic/claude-haiku-4.5", wire="anthropic")
    assert {"output_config.effort", "context_management"} <= set(known.leave_out)
    assert (known.thinking_blocks, known.key_header) == ("signed", "authorization")
    assert (
        dialect("openrouter", model="anthropic/claude-haiku-4.5", wire="anthropic", leave_out=[]).leave_out
        == ()
    )


def facts(profile: str, model: str, *names: str) -> tuple[Any, ...]:
    chosen = msgspec.structs.asdict(dialect(profile, model=model))
    return tuple(chosen[name] for name in names)


@pytest.mark.parametrize(
    ("model", "reasoning", "role", "sampling", "stop", "cap"),
    [
        ("gpt-4o", "none", "system", True, True, 16_384),
        ("gpt-4o-2024-05-13", "none", "system", True, True, 4_096),
        ("prod-gpt-4o-mini", "none", "system", True, True, 16_384),
        ("gpt-4.1-mini", "none", "system", True, True, 32_768),
        ("gpt-4-turbo", "none", "system", True, True, 4_096),
        ("gpt-4", "none", "system", True, True, 4_096),
        ("gpt-35-turbo", "none", "system", True, True, 4_096),
        ("gpt-3.5-turbo", "none", "system", True, True, 4_096),
        ("o1", "effort", "developer", False, True, None),
        ("o3", "effort", "developer", False, False, None),
        ("o4-mini", "effort", "developer", False, False, None),
        ("gpt-5", "effort", "developer", False, False, None),
        ("gpt-5.1-codex", "effort", "developer", False, False, None),
        ("gpt-5-chat-latest", "none", "developer", True, False, 16_384),
        ("gpt-10", "effort", "developer", False, False, None),
        ("my-deployment", "effort", "system", True, True, None),
    ],
)
@pytest.mark.parametrize("profile", ["openai", "azure"])
def test_families_of_openai(
    profile: str, model: str, reasoning: str, role: str, sampling: bool, stop: bool, cap: int | None
) -> None:
    expected = (reasoning, role, sampling, stop, cap, "max_completion_tokens")
    names = ("reasoning", "system_role", "sampling", "stop", "output_cap", "max_tokens_field")
    assert facts(profile, model, *names) == expected


@pytest.mark.parametrize(
    ("model", "efforts", "with_tools"),
    [
        ("o3", ("low", "medium", "high"), True),
        ("gpt-5", ("minimal", "low", "medium", "high"), True),
        ("gpt-5.1", ("none", "low", "medium", "high"), True),
        ("gpt-5.2", ("none", "low", "medium", "high", "xhigh"), True),
        ("gpt-5.1-codex-max", ("low", "medium", "high", "xhigh"), True),
        ("gpt-5-pro", ("high",), True),
        ("gpt-5.4", ("none", "low", "medium", "high", "xhigh"), False),
        ("gpt-5.10", ("none", "low", "medium", "high", "xhigh"), False),
        ("gpt-6-astra", ("low", "medium", "high", "xhigh"), False),
    ],
)
def test_efforts_of_openais_models(model: str, efforts: tuple[str, ...], with_tools: bool) -> None:
    assert facts("openai", model, "efforts", "reasoning_with_tools") == (efforts, with_tools)


@pytest.mark.parametrize(
    ("profile", "model", "sees"),
    [
        ("openai", "gpt-4o", True),
        ("openai", "gpt-4", False),
        ("openai", "gpt-3.5-turbo", False),
        ("openai", "o3-mini", False),
        ("deepseek", "deepseek-chat", False),
        ("groq", "meta-llama/llama-4-scout", True),
        ("groq", "llama-3.3-70b-versatile", False),
        ("ollama", "llama3.1:70b", False),
        ("ollama", "llava", True),
        ("generic", "anything", True),
        ("openrouter", "moonshotai/kimi-k2", False),
    ],
)
def test_who_can_see(profile: str, model: str, sees: bool) -> None:
    assert dialect(profile, model=model).vision is sees


def test_open_weights_speak_as_their_makers_do() -> None:
    assert facts("vllm", "qwen3-32b", "reasoning", "qwen_template") == ("qwen", True)
    assert facts("generic", "qwen3-32b", "reasoning", "qwen_template") == ("qwen", False)
    assert facts("groq", "openai/gpt-oss-120b", "reasoning") == ("effort",)
    assert facts("openrouter", "anthropic/claude-opus-4.5", "cache") == ("cache_control",)
    assert facts("openrouter", "openai/gpt-4o", "cache", "output_cap", "reasoning") == (
        "none",
        None,
        "openrouter",
    )
    assert facts("gemini", "gemini-2.0-flash", "reasoning") == ("none",)


@pytest.mark.parametrize(
    ("host", "takes_it"),
    [("api.together.xyz", True), ("api.together.ai", True), ("api.fireworks.ai", True), ("a.example", False)],
)
def test_top_k_goes_to_servers_known_to_take_it(host: str, takes_it: bool) -> None:
    asked = provider("auto", base_url=f"https://{host}/v1")
    assert resolve(asked, "llama-3.3-70b").top_k is takes_it


def test_deepseeks_beta_continues_a_prefix() -> None:
    beta = provider("auto", base_url="https://api.deepseek.com/beta/")
    assert resolve(beta, "deepseek-chat").prefill == "prefix"
    assert dialect("deepseek", model="deepseek-chat").prefill == "none"


def test_options_win_over_everything() -> None:
    chosen = dialect(
        "openai", model="gpt-4o", output_cap=None, vision=False, efforts=("low",), mid_system="hoist"
    )
    assert (chosen.output_cap, chosen.vision, chosen.efforts, chosen.mid_system) == (
        None,
        False,
        ("low",),
        "hoist",
    )


NOT_TO_BE_SET = {
    "profile": "a key of its own in the provider's entry",
    "extra_key": "follows from the host: Vertex and the Gemini API each read only their own",
    "wire_told": "whether `wire` is set there",
}


def test_every_switch_can_be_set_in_the_configuration_but_for_those_that_follow_from_something_else() -> None:
    assert set(Dialect.__struct_fields__) - set(DialectOptions.__struct_fields__) == set(NOT_TO_BE_SET)
    assert set(DialectOptions.__struct_fields__) < set(Dialect.__struct_fields__)


# The switches that every profile is described by, and what an unknown server is taken to want.
TABLE = {
    "wire": "chat",
    "max_tokens_field": "max_tokens",
    "output_cap": None,
    "system_role": "system",
    "mid_system": "user",
    "reasoning": "none",
    "efforts": ("low", "medium", "high"),
    "replay": "none",
    "tool_media": "user",
    "schema": "json",
    "tool_id": "plain40",
    "sampling": True,
    "stop": True,
    "parallel": True,
    "stream_usage": True,
    "json_schema": True,
    "strict": False,
    "cache": "none",
    "prompt_cache_key": False,
    "user_field": "none",
    "merge_users": False,
}


def test_an_unknown_server_is_spoken_to_with_the_least() -> None:
    chosen = msgspec.structs.asdict(dialect("generic"))
    assert {name: chosen[name] for name in TABLE} == TABLE


def test_differences_are_those_from_an_unknown_server() -> None:
    assert differences(dialect("generic")) == ()
    assert differences(dialect("mistral", output_cap=5)) == (
        "output_cap: 5",
        'tool_id: "mistral9"',
        "stream_usage: false",
        "merge_users: true",
        "null_content: false",
        'prefill: "prefix"',
    )
    assert differences(dialect("generic", efforts=("low",))) == ('efforts: ["low"]',)


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_what_differs_can_be_written_into_the_configuration_as_it_is_shown(profile: str) -> None:
    shown = differences(dialect(profile, model="gpt-5.4"))
    options = msgspec.json.decode(f"{{{', '.join(quoted(line) for line in shown)}}}")
    written = dialect("generic", model="m", **options)
    usual = msgspec.structs.replace(written, profile=profile, wire_told=False)
    assert usual == dialect(profile, model="gpt-5.4")


def quoted(line: str) -> str:
    name, _, value = line.partition(": ")
    return f'"{name}": {value}'


def test_every_profile_of_the_configuration_has_its_row() -> None:
    assert set(ProfileName.__args__) - {"auto"} == set(profiles.PROFILES)  # type: ignore[attr-defined]
    rows = {profile for rule in profiles.MODELS for profile in rule.profiles or ()}
    rows |= {profile for _, profile in (*profiles.HOSTS, *profiles.MODEL_NAMES)} | set(
        profiles.PORTS.values()
    )
    assert rows <= set(profiles.PROFILES)


def test_every_row_fits_the_dialect() -> None:
    for row in (*profiles.PROFILES.values(), *(rule.switches for rule in profiles.MODELS)):
        set_ones = {
            name: value for name, value in msgspec.structs.asdict(row).items() if value is not msgspec.UNSET
        }
        assert msgspec.convert(set_ones, Dialect)
    for rule in profiles.MODELS:
        assert re.compile(rule.pattern)
