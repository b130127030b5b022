"""How providers say that a prompt, or the answer asked for, is too long: their wordings, as data.

In a pattern `{P}` stands for the prompt's tokens, `{L}` for the limit, `{C}` for the answer's (`max_tokens`),
`{T}` for both together. A blank matches any white space; case does not matter. The first pattern that matches
decides, so the ones with more numbers come first. `overflow.py` reads them.
"""

from msgspec import Struct


class Wording(Struct, frozen=True):
    """One way of saying it. `of_output`: the limit is one on the answer alone; `exclusive`: one too many."""

    source: str
    pattern: str
    of_output: bool = False
    exclusive: bool = False


WORDINGS: tuple[Wording, ...] = (
    Wording(
        "OpenAI, vLLM (max_tokens)",
        r"max_(?:\w+_)?tokens\W.{0,60}?too large: {C}.{0,200}?(?:context|model) length is {L} tokens"
        r".{0,60}?has {P} input tokens",
    ),
    Wording(
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        r"maximum context length (?:is|of) {L} tokens.{0,40}?requested (?:about |a total of )?{T} tokens"
        r"(?: \(|: ){P} (?:in (?:the messages|your prompt)|of text input|tokens from the input messages)"
        r".{0,80}?{C} (?:in the (?:completion|output)|(?:tokens )?for the completion)",
    ),
    Wording(
        "OpenRouter (prompt only)",
        r"maximum context length is {L} tokens.{0,40}?requested about {P} tokens",
    ),
    Wording("OpenAI, Azure", r"maximum context length is {L} tokens.{0,40}?messages resulted in {P}"),
    Wording(
        "vLLM (passed)",
        r"passed {P} input (?:tokens|characters) and requested {C} output tokens"
        r".{0,80}?context length is (?:only )?{L}",
    ),
    Wording(
        "vLLM, Bedrock (output and prompt)",
        r"maximum (?:context|model) length (?:is|of) {L}(?: tokens)?\W.{0,40}?requested {C} output tokens"
        r".{0,40}?prompt contains (?:at least )?{P} input tokens",
    ),
    Wording(
        "vLLM (input)",
        r"maximum (?:context|model) length (?:is|of) {L}(?: tokens)?\W.{0,80}?\b{P} (?:input )?tokens",
    ),
    Wording("vLLM (prompt)", r"prompt \(length {P}\) is longer than the maximum model length of {L}"),
    Wording("llama.cpp", r"request \({P} tokens\) exceeds the available context size \({L}"),
    Wording(
        "Gemini",
        r"input token count(?: \(?{P}\)?)? exceeds the maximum number of tokens allowed(?: \(?{L}\)?)?",
    ),
    Wording("Vertex", r"input token count is {P} but (?:the )?model only supports up to {L}"),
    Wording(
        "OpenAI (GPT-5)",
        r"exceed(?:s|ed)? the configured limit of {L} tokens.{0,40}?messages resulted in {P} tokens",
    ),
    Wording("oMLX", r"prompt too long: {P} tokens exceeds max context window of {L}"),
    Wording("Anthropic", r"prompt is too long: {P} tokens > {L} maximum"),
    Wording(
        "Anthropic (max_tokens)",
        r"input length and `?max_tokens`? exceed context limit: {P} \+ {C} > {L}",
    ),
    Wording(
        "Mistral",
        r"prompt contains {P} tokens.{0,60}?too large for model with {L} maximum context",
    ),
    Wording("Mistral (limit)", r"too large for model with {L} maximum context"),
    Wording(
        "Together, TGI (total)",
        r"`inputs` tokens \+ `max_new_tokens` must be <= {L}\. given: {P} `inputs` tokens and {C}",
    ),
    Wording("Together, TGI (given)", r"`inputs` tokens \+ `max_new_tokens` must be <= {L}\. given: {P}"),
    Wording("TGI", r"`inputs` must have less than {L} tokens\. given: {P}"),
    Wording("xAI", r"maximum prompt length is {L} but the request contains {P}"),
    Wording("Moonshot", r"exceeded model token limit: {L} \(requested: {P}\)"),
    Wording(
        "SGLang",
        r"input \({P} tokens\) is longer than the model's context length \({L} tokens\)",
    ),
    Wording(
        "LM Studio",
        r"keep the first {P} tokens when context the overflows.{0,80}?context length of only {L} tokens",
    ),
    Wording("Cohere", r"total number of tokens in the prompt cannot exceed {L}\W.{0,20}?received {P}"),
    Wording("Cerebras", r"current length is {P} while limit is {L}"),
    Wording("Fireworks", r"prompt is too long: {P}, model maximum context length: {L}"),
    Wording("GitHub", r"prompt token count of {P} exceeds the limit of {L}"),
    Wording(
        "others", r"input length {P} exceeds (?:the )?(?:maximum )?context (?:length|window) (?:of )?{L}"
    ),
    Wording("others (colon)", r"context (?:length|window) exceeded: {P} > {L}"),
    Wording("others (prompt)", r"prompt \({P} tokens\) exceeds the maximum context(?: length)? of {L}"),
    Wording("Qwen", r"range of input length should be \[\d+, {L}\]"),
    # Limits on the answer alone. They come before the wordings without numbers, which say less.
    Wording("OpenAI (answer)", r"supports at most {L} completion tokens", of_output=True),
    Wording(
        "Groq (answer)",
        r"max_(?:\w+_)?tokens\W.{0,20}?must be less than or equal to `?{L}",
        of_output=True,
    ),
    Wording(
        "DeepSeek, Qwen (answer)",
        r"range of max_(?:\w+_)?tokens (?:is|should be) \[\d+, {L}\]",
        of_output=True,
    ),
    Wording(
        "Anthropic (answer)",
        r"max_tokens: {C} > {L}, which is the maximum allowed number of output tokens",
        of_output=True,
    ),
    Wording(
        "OpenAI, Azure (answer's range)",
        r"invalid '?max_(?:\w+_)?tokens'?: integer above maximum value\. expected a value <= {L}"
        r"(?:,? but got {C})?",
        of_output=True,
    ),
    Wording(
        "Gemini (answer)",
        r"maxOutputTokens value of {C} but the supported range is from \d+ \(inclusive\) "
        r"to {L} \(exclusive\)",
        of_output=True,
        exclusive=True,
    ),
    Wording(
        "Bedrock (answer)",
        r"maximum tokens you requested exceeds the model limit of {L}",
        of_output=True,
    ),
    Wording(
        "FastAPI servers (answer)",
        r"max_(?:\w+_)?tokens: input should be less than or equal to {L}",
        of_output=True,
    ),
    Wording("others (answer)", r"max_(?:\w+_)?tokens\W{0,3} must be at most {L}", of_output=True),
    # Without numbers of the prompt. What is not said is estimated by whoever tells the client.
    Wording("OpenAI (newer models)", r"exceeds? (?:the|this) (?:model's )?context window"),
    Wording("OpenAI, vLLM (limit)", r"maximum (?:context|model) length (?:is|of) {L} tokens"),
    Wording("Ollama", r"input length exceeds (?:the )?(?:maximum )?context (?:length|window)"),
    Wording("llama.cpp (old)", r"exceeds the available context size(?: \({L})?"),
    Wording("Bedrock", r"input is too long for requested model"),
    Wording("Zhipu", r"prompt exceeds max length"),
    Wording("MiniMax", r"context window exceeds limit"),
    Wording("Groq, Cerebras", r"reduce the length of the messages or completion"),
    Wording("Anthropic, others", r"prompt is too long"),
)

CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded", "prompt_too_long"}
)

# "Limit 6000, Requested 7200": a request larger than a minute's allowance never passes, however long we wait.
ALLOWANCE = r"tokens per (?:minute|min|day)\b.{0,80}?limit:? {L}\b.{0,60}?requested:? {P}\b"
