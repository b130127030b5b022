"""How providers say that a prompt, or the answer asked for, is too long: a table of their wordings.

In a pattern `{P}` stands for the prompt's tokens, `{L}` for the limit, `{C}` for the answer's (`max_tokens`),
`{T}` for both together. A blank matches any white space; case does not matter. The first pattern that matches
decides, so the ones with more numbers come first.
"""

import re

from msgspec import Struct

from ccproxy_trio.wire.faults import FaultKind, Overflow


class Wording(Struct, frozen=True):
    """One way of saying it. `of_output`: the limit is one on the answer alone."""

    source: str
    pattern: str
    of_output: bool = False


WORDINGS: tuple[Wording, ...] = (
    Wording(
        "OpenAI, vLLM (max_tokens)",
        r"max_(?:completion_)?tokens\W.{0,60}?too large: {C}.{0,200}?(?:context|model) length is {L} tokens"
        r".{0,60}?has {P} input tokens",
    ),
    Wording(
        "OpenAI, DeepSeek, vLLM, OpenRouter (total)",
        r"maximum context length (?:is|of) {L} tokens.{0,40}?requested (?:about |a total of )?{T} tokens"
        r"(?: \(|: ){P} (?:in the messages|of text input|tokens from the input messages)"
        r".{0,80}?{C} (?:in the (?:completion|output)|tokens for the completion)",
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
        "vLLM (input)",
        r"maximum (?:context|model) length (?:is|of) {L}(?: tokens)?\W.{0,80}?\b{P} (?:input )?tokens",
    ),
    Wording("vLLM (prompt)", r"prompt \(length {P}\) is longer than the maximum model length of {L}"),
    Wording("llama.cpp", r"request \({P} tokens\) exceeds the available context size \({L}"),
    Wording(
        "Gemini",
        r"input token count(?: \(?{P}\)?)? exceeds the maximum number of tokens allowed(?: \(?{L}\)?)?",
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
    Wording("Qwen", r"range of input length should be \[\d+, {L}\]"),
    # Limits on the answer alone. They come before the wordings without numbers, which say less.
    Wording("OpenAI (answer)", r"supports at most {L} completion tokens", of_output=True),
    Wording(
        "Groq (answer)",
        r"max_(?:completion_)?tokens\W.{0,20}?must be less than or equal to `?{L}",
        of_output=True,
    ),
    Wording(
        "DeepSeek, Qwen (answer)",
        r"range of max_(?:completion_)?tokens (?:is|should be) \[\d+, {L}\]",
        of_output=True,
    ),
    Wording(
        "Anthropic (answer)",
        r"max_tokens: {C} > {L}, which is the maximum allowed number of output tokens",
        of_output=True,
    ),
    # Without numbers of the prompt. What is not said is estimated by whoever tells the client.
    Wording("OpenAI (newer models)", r"exceeds? (?:the|this) (?:model's )?context window"),
    Wording("OpenAI, vLLM (limit)", r"maximum (?:context|model) length (?:is|of) {L} tokens"),
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
_ALLOWANCE = r"tokens per (?:minute|min|day)\b.{0,80}?limit:? {L}\b.{0,60}?requested:? {P}\b"


def _compiled(pattern: str) -> re.Pattern[str]:
    for name in "PLCT":
        pattern = pattern.replace("{" + name + "}", rf"(?P<{name}>\d[\d,_]*)")
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE | re.DOTALL)


_COMPILED = tuple((wording, _compiled(wording.pattern)) for wording in WORDINGS)
_COMPILED_ALLOWANCE = _compiled(_ALLOWANCE)


def recognise(text: str, codes: frozenset[str]) -> tuple[FaultKind, Overflow] | None:
    """CONTEXT_OVERFLOW or OUTPUT_OVERFLOW with the numbers in `text`; None if it speaks of neither.

    `codes` are the error's codes and types in lower case.
    """
    for wording, pattern in _COMPILED:
        found = pattern.search(text)
        if found is not None:
            overflow = _numbers(found)
            return _kind(wording, overflow), overflow
    return (FaultKind.CONTEXT_OVERFLOW, Overflow()) if codes & CODES else None


def beyond_allowance(text: str) -> Overflow | None:
    """The numbers of a rate limit that this request alone exceeds."""
    found = _COMPILED_ALLOWANCE.search(text)
    if found is None:
        return None
    overflow = _numbers(found)
    return overflow if (overflow.prompt or 0) > (overflow.limit or 0) else None


def _kind(wording: Wording, overflow: Overflow) -> FaultKind:
    """The prompt fits where, without the answer asked for, it would be below the limit."""
    if wording.of_output:
        return FaultKind.OUTPUT_OVERFLOW
    prompt, limit, completion = overflow.prompt, overflow.limit, overflow.completion
    if prompt is None or limit is None or completion is None:
        return FaultKind.CONTEXT_OVERFLOW
    return FaultKind.OUTPUT_OVERFLOW if prompt < limit else FaultKind.CONTEXT_OVERFLOW


def _numbers(found: re.Match[str]) -> Overflow:
    groups = {name: _integer(value) for name, value in found.groupdict().items() if value is not None}
    prompt, total, completion = groups.get("P"), groups.get("T"), groups.get("C")
    if total is not None and completion is not None:
        prompt = total - completion  # whatever else was listed: functions, tool input
    return Overflow(prompt=prompt, limit=groups.get("L"), completion=completion)


def _integer(digits: str) -> int:
    return int(digits.replace(",", "").replace("_", "")[:18])
