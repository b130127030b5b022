"""Which vocabulary a model's tokens are counted with, as data. A model without a row is estimated by bytes.

A row is here only where the vocabulary is the model's own, so that its count is what the provider counts.
Sources: `tiktoken.model` (OpenAI), the local tokeniser of Google's `google-genai` (Gemini counts with Gemma's
vocabulary of its time), and the vocabularies published with the open weights.
"""

import re

from msgspec import Struct

from ccproxy_trio.translate.dialect import bare_name
from ccproxy_trio.translate.profiles import BEGIN


class VocabularyRule(Struct, frozen=True):
    """`vocabulary` counts for the models `pattern` is found in (lower case, vendor path removed).

    The first rule that fits decides; None says that none is known, although a later pattern would fit.
    """

    pattern: str
    vocabulary: str | None


VOCABULARIES: tuple[VocabularyRule, ...] = (
    VocabularyRule(r"gpt-oss", "o200k_harmony"),
    VocabularyRule(BEGIN + r"(gpt-4o|gpt-4\.[15]|chatgpt-4o|gpt-5|o[134]($|-))", "o200k_base"),
    VocabularyRule(BEGIN + r"(gpt-4($|-)|gpt-?3\.?5)", "cl100k_base"),
    VocabularyRule(r"^gemini-1\.", "gemma2"),
    VocabularyRule(r"^gemini-(2\.[05]|3-pro)", "gemma3"),
    VocabularyRule(r"gemma-?2($|[-:])", "gemma2"),
    VocabularyRule(r"gemma-?3($|[-:])", "gemma3"),
    # Distilled models keep the vocabulary of the one they were made from.
    VocabularyRule(r"deepseek-r1-(distill-)?.*llama", "llama3"),
    VocabularyRule(r"deepseek-r1-(distill-)?.*qwen", None),
    VocabularyRule(r"deepseek-r1:", None),  # Ollama's small ones are distilled too
    VocabularyRule(r"deepseek-(v3|r1)", "deepseek_v3"),
    VocabularyRule(r"llama-?3([.-]|:|$)", "llama3"),
    VocabularyRule(r"kimi-k2", "kimi_k2"),
    VocabularyRule(r"glm-?4($|[-:.])", "glm4"),
    VocabularyRule(r"qwen-?3($|[-:])", "qwen3"),
    VocabularyRule(r"qwen-?2(\.5)?($|[-:])|^qwq", "qwen2"),
    VocabularyRule(r"mistral-nemo|ministral|pixtral|devstral|magistral|mistral-small(3|-25)", "mistral_v3"),
    VocabularyRule(r"^phi-?4($|[-:])", "phi4"),
)


def vocabulary_of(model: str) -> str | None:
    """The name of the vocabulary of `model` (its upstream name); None if it is not known."""
    name = bare_name(model)
    for rule in VOCABULARIES:
        if re.search(rule.pattern, name):
            return rule.vocabulary
    return None
