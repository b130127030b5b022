"""Every wording of the table, as its provider writes it."""

import pytest

from ccproxy_trio.translate.overflow import beyond_allowance, recognise
from ccproxy_trio.translate.wordings import WORDINGS
from ccproxy_trio.wire.faults import FaultKind, Overflow

PROMPT, OUTPUT = FaultKind.CONTEXT_OVERFLOW, FaultKind.OUTPUT_OVERFLOW

SAID: list[tuple[str, str, FaultKind, Overflow]] = [
    (
        "OpenAI, Azure",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in "
        "10000 tokens. "
        "Please reduce the length of the messages.",
        PROMPT,
        Overflow(10_000, 8192),
    ),
    (
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        "This model's maximum context length is 4097 tokens. However, you requested 4500 tokens "
        "(500 in the messages, 4000 in the completion). Please reduce",
        OUTPUT,
        Overflow(500, 4097, 4000),
    ),
    (
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        "This model's maximum context length is 4097 tokens. However, you requested 9500 tokens "
        "(5000 in the messages, 500 in the functions, and 4000 in the completion).",
        PROMPT,
        Overflow(5500, 4097, 4000),
    ),
    (
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        "This model's maximum context length is 65536 tokens. However, you requested 73728 tokens "
        "(65536 in the messages, 8192 in the completion).",
        PROMPT,
        Overflow(65_536, 65_536, 8192),
    ),
    (
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        "This endpoint's maximum context length is 163840 tokens. However, you requested about 170000 tokens "
        "(120000 of text input, 20000 of tool input, 30000 in the output). Please reduce",
        OUTPUT,
        Overflow(140_000, 163_840, 30_000),
    ),
    (
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        "Requested token count exceeds the model's maximum context length of 8192 tokens. You "
        "requested a total "
        "of 9000 tokens: 1000 tokens from the input messages and 8000 tokens for the completion.",
        OUTPUT,
        Overflow(1000, 8192, 8000),
    ),
    (
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        "This model's maximum context length is 4096 tokens, however you requested 4500 tokens (3500 in your "
        "prompt; 1000 for the completion). Please reduce your prompt; or completion length.",
        OUTPUT,
        Overflow(3500, 4096, 1000),
    ),
    (
        "vLLM, Bedrock (output and prompt)",
        "This model's maximum context length is 4096 tokens. However, you requested 1000 output tokens and "
        "your prompt contains at least 3997 input tokens, for a total of at least 4997 tokens.",
        OUTPUT,
        Overflow(3997, 4096, 1000),
    ),
    (
        "Vertex",
        "Unable to submit request because the input token count is 135538 but model only supports up to "
        "32768. Reduce the input token count and try again.",
        PROMPT,
        Overflow(135_538, 32_768),
    ),
    (
        "OpenAI (GPT-5)",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
        PROMPT,
        Overflow(300_000, 272_000),
    ),
    (
        "others",
        "input length 5000 exceeds context length 4096",
        PROMPT,
        Overflow(5000, 4096),
    ),
    ("others (colon)", "context length exceeded: 40000 > 32768", PROMPT, Overflow(40_000, 32_768)),
    (
        "others (prompt)",
        "The prompt (5000 tokens) exceeds the maximum context of 4096",
        PROMPT,
        Overflow(5000, 4096),
    ),
    ("others (answer)", "max_tokens must be at most 8192", OUTPUT, Overflow(limit=8192)),
    ("Ollama", "the input length exceeds the context length", PROMPT, Overflow()),
    (
        "OpenRouter (prompt only)",
        "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens "
        "(40000 of text input).",
        PROMPT,
        Overflow(40_000, 32_768),
    ),
    (
        "OpenAI, vLLM (max_tokens)",
        "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context "
        "length is 4096 "
        "tokens and your request has 1000 input tokens (4000 > 4096 - 1000).",
        OUTPUT,
        Overflow(1000, 4096, 4000),
    ),
    (
        "vLLM (passed)",
        "You passed 5000 input tokens and requested 100 output tokens. However, the model's "
        "context length is "
        "only 4096 tokens, resulting in a maximum input length of 3996 tokens.",
        PROMPT,
        Overflow(5000, 4096, 100),
    ),
    (
        "vLLM (input)",
        "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
        PROMPT,
        Overflow(5000, 4096),
    ),
    (
        "vLLM (prompt)",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that",
        PROMPT,
        Overflow(5000, 4096),
    ),
    (
        "llama.cpp",
        "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
        PROMPT,
        Overflow(9000, 8192),
    ),
    ("llama.cpp (old)", "the request exceeds the available context size.", PROMPT, Overflow()),
    (
        "Gemini",
        "The input token count (1,200,000) exceeds the maximum number of tokens allowed (1048576).",
        PROMPT,
        Overflow(1_200_000, 1_048_576),
    ),
    (
        "Gemini",
        "The input token count exceeds the maximum number of tokens allowed 1048576.",
        PROMPT,
        Overflow(None, 1_048_576),
    ),
    (
        "oMLX",
        "Prompt too long: 40000 tokens exceeds max context window of 32768 tokens",
        PROMPT,
        Overflow(40_000, 32_768),
    ),
    ("Anthropic", "prompt is too long: 208310 tokens > 200000 maximum", PROMPT, Overflow(208_310, 200_000)),
    (
        "Anthropic (max_tokens)",
        "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease",
        OUTPUT,
        Overflow(190_000, 200_000, 64_000),
    ),
    (
        "Mistral",
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum "
        "context length",
        PROMPT,
        Overflow(40_000, 32_768),
    ),
    (
        "Mistral (limit)",
        "This prompt is too large for model with 32768 maximum context length",
        PROMPT,
        Overflow(None, 32_768),
    ),
    (
        "Together, TGI (total)",
        "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000 `inputs` tokens and 1000 "
        "`max_new_tokens`",
        OUTPUT,
        Overflow(4000, 4097, 1000),
    ),
    (
        "Together, TGI (given)",
        "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000",
        PROMPT,
        Overflow(5000, 4097),
    ),
    ("TGI", "`inputs` must have less than 4096 tokens. Given: 5000", PROMPT, Overflow(5000, 4096)),
    (
        "xAI",
        "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
        PROMPT,
        Overflow(150_000, 131_072),
    ),
    (
        "Moonshot",
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 270000)",
        PROMPT,
        Overflow(270_000, 262_144),
    ),
    (
        "SGLang",
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        PROMPT,
        Overflow(9000, 8192),
    ),
    (
        "LM Studio",
        "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with "
        "context length of only 4096 tokens",
        PROMPT,
        Overflow(9000, 4096),
    ),
    (
        "Cohere",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000. Try",
        PROMPT,
        Overflow(5000, 4081),
    ),
    (
        "Cerebras",
        "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
        PROMPT,
        Overflow(9000, 8192),
    ),
    (
        "Fireworks",
        "The prompt is too long: 140000, model maximum context length: 131071",
        PROMPT,
        Overflow(140_000, 131_071),
    ),
    ("GitHub", "prompt token count of 70000 exceeds the limit of 64000", PROMPT, Overflow(70_000, 64_000)),
    (
        "Qwen",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]",
        PROMPT,
        Overflow(None, 98_304),
    ),
    (
        "OpenAI (answer)",
        "max_tokens is too large: 64000. This model supports at most 16384 completion tokens, whereas you "
        "provided 64000.",
        OUTPUT,
        Overflow(None, 16_384),
    ),
    (
        "Groq (answer)",
        "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is "
        "less than the "
        "`context_window` for this model",
        OUTPUT,
        Overflow(None, 8192),
    ),
    (
        "DeepSeek, Qwen (answer)",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        OUTPUT,
        Overflow(None, 8192),
    ),
    ("DeepSeek, Qwen (answer)", "Range of max_tokens should be [1, 8192]", OUTPUT, Overflow(None, 8192)),
    (
        "Anthropic (answer)",
        "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for x",
        OUTPUT,
        Overflow(None, 8192, 64_000),
    ),
    (
        "OpenAI, Azure (answer's range)",
        "Invalid 'max_tokens': integer above maximum value. Expected a value <= 4096, but got 32000 instead.",
        OUTPUT,
        Overflow(None, 4096, 32_000),
    ),
    (
        "Gemini (answer)",
        "Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range "
        "is from 1 (inclusive) to 65537 (exclusive). Update the value and try again.",
        OUTPUT,
        Overflow(None, 65_536, 100_000),
    ),
    (
        "Bedrock (answer)",
        "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens "
        "value that is lower than 4096.",
        OUTPUT,
        Overflow(None, 4096),
    ),
    (
        "FastAPI servers (answer)",
        "body.max_tokens: Input should be less than or equal to 8192",
        OUTPUT,
        Overflow(None, 8192),
    ),
    (
        "OpenAI (newer models)",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        PROMPT,
        Overflow(),
    ),
    (
        "OpenAI, vLLM (limit)",
        "This model's maximum context length is 8192 tokens.",
        PROMPT,
        Overflow(None, 8192),
    ),
    ("Bedrock", "Input is too long for requested model.", PROMPT, Overflow()),
    ("Zhipu", "Prompt exceeds max length", PROMPT, Overflow()),
    ("MiniMax", "invalid params, context window exceeds limit (2013)", PROMPT, Overflow()),
    ("Groq, Cerebras", "Please reduce the length of the messages or completion.", PROMPT, Overflow()),
    ("Anthropic, others", "Prompt is too long", PROMPT, Overflow()),
]


@pytest.mark.parametrize(("text", "kind", "overflow"), [s[1:] for s in SAID], ids=[s[0] for s in SAID])
def test_what_is_said_is_understood_with_its_numbers(text: str, kind: FaultKind, overflow: Overflow) -> None:
    assert recognise(text, frozenset()) == (kind, overflow)
    shouted_and_wrapped = text.upper().replace(" ", "\n ")
    assert recognise(shouted_and_wrapped, frozenset()) == (kind, overflow)


def test_every_wording_of_the_table_has_an_example() -> None:
    assert {wording.source for wording in WORDINGS} == {source for source, *_ in SAID}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Invalid value for 'temperature'",
        "Rate limit reached: 8192 tokens per minute",
        "The model `gpt-9` does not exist",
        "max_tokens must be positive",
    ],
)
def test_other_complaints_are_none_of_these(text: str) -> None:
    assert recognise(text, frozenset({"invalid_request_error"})) is None


@pytest.mark.parametrize("code", ["context_length_exceeded", "exceed_context_size_error"])
def test_a_code_will_do_where_the_words_are_not_known(code: str) -> None:
    assert recognise("trop long", frozenset({code})) == (PROMPT, Overflow())


@pytest.mark.parametrize(
    ("text", "overflow"),
    [
        ("on tokens per minute (TPM): Limit 6000, Requested 7200, please", Overflow(7200, 6000)),
        ("on tokens per day (TPD): Limit: 100000, Used: 5, Requested: 100001", Overflow(100_001, 100_000)),
        ("on tokens per min (TPM): Limit 30000, Used 29000, Requested 5000.", None),
        ("on tokens per min (TPM): Limit 30000, Requested 30000.", None),
        ("slow down", None),
    ],
)
def test_a_request_that_no_waiting_makes_fit(text: str, overflow: Overflow | None) -> None:
    assert beyond_allowance(text) == overflow


def test_absurd_numbers_are_borne() -> None:
    found = recognise("prompt is too long: " + "9" * 5000 + " tokens > 8 maximum", frozenset())
    assert found is not None
    assert found[1].prompt == int("9" * 18)
