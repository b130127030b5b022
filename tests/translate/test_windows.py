"""Which windows are known, of whom, and who decides otherwise."""

import re

import msgspec
import pytest

from ccproxy_trio.settings.model import ProviderSettings
from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.profiles import PROFILES
from ccproxy_trio.translate.windows import WINDOWS, Window, window_of
from tests.translate.asking import UNKNOWN_HOST, provider

OPENAI = "https://api.openai.com/v1"
OPENROUTER = "https://openrouter.ai/api/v1"


def known(url: str, model: str, profile: str = "auto", **fields: object) -> int | None:
    found = window(provider(profile, base_url=url, **fields), model)  # type: ignore[arg-type]
    assert found is None or found.source == "known"
    return None if found is None else found.tokens


def window(asked: ProviderSettings, model: str) -> Window | None:
    return window_of(asked, model, resolve(asked, model))


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-3.5-turbo", 16_385),
        ("gpt-4", 8_192),
        ("gpt-4-0613", 8_192),
        ("gpt-4-32k", 32_768),
        ("gpt-4-turbo-2024-04-09", 128_000),
        ("gpt-4o", 128_000),
        ("ft:gpt-4o-mini", 128_000),
        ("chatgpt-4o-latest", 128_000),
        ("gpt-4.1-mini", 1_047_576),
        ("o1-mini", 128_000),
        ("o3", 200_000),
        ("o4-mini-2025-04-16", 200_000),
        ("gpt-5", 272_000),
        ("gpt-5-mini", 272_000),
        ("gpt-5.1-codex-max", 272_000),
        ("gpt-5-chat-latest", 128_000),
        ("gpt-5.3-codex-spark", 128_000),
        ("gpt-5.4", 922_000),
        ("gpt-5.4-mini", 272_000),
        ("gpt-5.5-2026-04-01", 922_000),
        ("gpt-6-astra", 922_000),
        ("gpt-6.2-astra", 922_000),
        ("gpt-5.9", None),
        ("gpt-7", None),
        ("gpt-realtime", None),
        ("gpt-4o-audio-preview", None),
        ("llama-3.3-70b", None),  # OpenAI does not sell it: a gateway in disguise
    ],
)
def test_openai_models(model: str, tokens: int | None) -> None:
    assert known(OPENAI, model) == tokens


@pytest.mark.parametrize(
    ("url", "model", "tokens"),
    [
        ("https://acme.openai.azure.com/openai/v1", "prod-gpt-4o", 128_000),
        ("https://acme.openai.azure.com/openai/v1", "gpt-35-turbo", 16_385),
        ("https://api.deepseek.com", "deepseek-chat", 1_048_576),
        (OPENROUTER, "deepseek/deepseek-chat", 163_840),
        (OPENROUTER, "deepseek/deepseek-v4-pro", 1_048_576),
        (OPENROUTER, "deepseek/deepseek-r1-distill-llama-70b", 131_072),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro", 1_048_576),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-1.5-pro", 2_097_152),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash-image", None),
        ("https://api.groq.com/openai/v1", "openai/gpt-oss-120b", 131_072),
        ("https://api.groq.com/openai/v1", "moonshotai/kimi-k2-instruct-0905", 262_144),
        ("https://api.groq.com/openai/v1", "gemma2-9b-it", 8_192),
        ("https://api.groq.com/openai/v1", "gpt-4o", None),
        ("https://api.mistral.ai/v1", "mistral-large-2411", 131_072),
        ("https://api.mistral.ai/v1", "mistral-large-latest", 262_144),
        ("https://api.mistral.ai/v1", "devstral-small-2507", 131_072),
        ("https://api.mistral.ai/v1", "open-mixtral-8x22b", 65_536),
        ("https://api.mistral.ai/v1", "open-mixtral-8x7b", 32_768),
        ("https://api.anthropic.com/v1", "claude-opus-4-1-20250805", 200_000),
        ("https://api.anthropic.com/v1", "claude-opus-4-20250514", 200_000),
        ("https://api.anthropic.com/v1", "claude-haiku-4-5", 200_000),
        ("https://api.anthropic.com/v1", "claude-opus-4-6", 1_000_000),
        (OPENROUTER, "anthropic/claude-sonnet-4.5", 1_000_000),
        (OPENROUTER, "anthropic/claude-opus-4.5", 200_000),
        (OPENROUTER, "meta-llama/llama-4-scout", 10_000_000),
        (OPENROUTER, "meta-llama/llama-4-maverick", 1_048_576),
        (OPENROUTER, "meta-llama/llama-3.3-70b-instruct", 131_072),
        (OPENROUTER, "meta-llama/llama-3-70b-instruct", 8_192),
        (OPENROUTER, "google/gemma-3-27b-it", 131_072),
        (OPENROUTER, "openai/gpt-4o:extended", 128_000),
        ("https://api.x.ai/v1", "grok-4-0709", 256_000),
        ("https://api.x.ai/v1", "grok-4-fast-reasoning", 2_000_000),
        ("https://api.x.ai/v1", "grok-3-mini", 131_072),
        ("https://api.moonshot.ai/v1", "kimi-k2-thinking", 262_144),
        ("https://api.z.ai/api/paas/v4", "glm-4.6", 204_800),
        ("https://open.bigmodel.cn/api/paas/v4", "glm-4.5-air", 131_072),
        ("https://open.bigmodel.cn/api/paas/v4", "glm-4.5v", 65_536),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen3-coder-plus", 1_048_576),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen3-max", 262_144),
        ("https://api.together.xyz/v1", "Qwen/Qwen2.5-72B-Instruct-Turbo", 131_072),
        ("https://api.together.xyz/v1", "Qwen/Qwen2.5-14B-Instruct-1M", None),
    ],
)
def test_models_by_seller(url: str, model: str, tokens: int | None) -> None:
    assert known(url, model) == tokens


@pytest.mark.parametrize(
    ("profile", "url", "model"),
    [
        ("auto", "http://127.0.0.1:11434/v1", "llama3.3"),
        ("auto", "http://127.0.0.1:8000/v1", "gpt-4"),  # a local server that calls what it runs so
        ("auto", UNKNOWN_HOST, "gpt-4"),
        ("generic", UNKNOWN_HOST, "gpt-4o"),
        ("generic", UNKNOWN_HOST, "llama-3-8b"),
        ("vllm", UNKNOWN_HOST, "qwen3-32b"),
        ("ollama", OPENAI, "gpt-4o"),
    ],
)
def test_whoever_runs_a_model_himself_decides_its_window(profile: str, url: str, model: str) -> None:
    assert known(url, model, profile) is None


def test_a_profile_that_was_configured_is_believed() -> None:
    assert known("https://gateway.example/v1", "gpt-4o", "openai") == 128_000
    assert known("https://gateway.example/v1", "gpt-4o", api_version="2024-10-21") == 128_000
    assert known("https://notopenai.com/v1", "gpt-4o") is None


def test_the_configuration_goes_first() -> None:
    asked = msgspec.structs.replace(provider("auto", base_url=OPENAI), context_window={"gpt-4o": 5})
    assert window(asked, "gpt-4o") == Window(5, "configured")
    assert window(asked, "gpt-4.1") == Window(1_047_576, "known")
    local = msgspec.structs.replace(provider("ollama"), context_window=32_768)
    assert window(local, "whatever") == Window(32_768, "configured")


def test_the_table_is_in_order() -> None:
    for rule in WINDOWS:
        re.compile(rule.pattern)
        assert rule.tokens is None or 4_096 <= rule.tokens <= 10_000_000
        assert not rule.sellers & {"generic", "vllm", "ollama"}
    assert {"openai", "azure", "groq", "mistral"} <= set(PROFILES) & {s for r in WINDOWS for s in r.sellers}
