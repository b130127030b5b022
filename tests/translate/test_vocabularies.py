import pytest

from ccproxy_trio.translate.vocabularies import VOCABULARIES, vocabulary_of


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("prod-gpt-4o", "o200k_base"),
        ("openai/gpt-4.1", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("gpt-5.1-codex", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("ft:gpt-4o-mini:acme", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("openai/gpt-oss-120b", "o200k_harmony"),
        ("gpt-oss:20b", "o200k_harmony"),
        ("gpt-6-astra", None),
        ("gemini-1.5-pro", "gemma2"),
        ("google/gemini-2.5-flash", "gemma3"),
        ("gemini-3-pro-preview", "gemma3"),
        ("gemini-3.5-flash", None),
        ("gemma3:27b", "gemma3"),
        ("gemma-2-9b-it", "gemma2"),
        ("gemma3n:e4b", None),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3"),
        ("llama3.2", "llama3"),
        ("llama-4-scout", None),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v3"),
        ("deepseek-r1", "deepseek_v3"),
        ("deepseek-r1:8b", None),
        ("deepseek-r1-distill-llama-70b", "llama3"),
        ("deepseek-r1-distill-qwen-32b", None),
        ("deepseek-chat", None),  # whatever DeepSeek serves by that name just now
        ("deepseek-v4-pro", None),
        ("kimi-k2-thinking", "kimi_k2"),
        ("glm-4.6", "glm4"),
        ("glm-5", None),
        ("qwen3:32b", "qwen3"),
        ("Qwen/Qwen3-Coder-480B", "qwen3"),
        ("qwen3.5-plus", None),
        ("qwen2.5-coder:14b", "qwen2"),
        ("mistral-nemo", "mistral_v3"),
        ("devstral-small-2507", "mistral_v3"),
        ("mistral-small3.2", "mistral_v3"),
        ("mistral-large-2411", None),
        ("phi4", "phi4"),
        ("claude-opus-4-8", None),
        ("grok-4", None),
        ("m", None),
    ],
)
def test_a_model_is_counted_with_its_own_vocabulary_or_none(model: str, vocabulary: str | None) -> None:
    assert vocabulary_of(model) == vocabulary


def test_every_vocabulary_that_is_named_can_be_loaded() -> None:
    from splintr import Tokenizer

    for name in {rule.vocabulary for rule in VOCABULARIES if rule.vocabulary is not None}:
        assert Tokenizer.from_pretrained(name).encode_ordinary("hi there")
