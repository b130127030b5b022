"""Token counts: a Chat Completions `usage` object as an Anthropic one.

Anthropic counts the cached part of a prompt beside `input_tokens`, OpenAI inside `prompt_tokens`. The three
input counts must add up to the upstream's prompt: Claude Code decides from that sum when to compact.
"""

import re

from msgspec import UNSET, Raw

from ccproxy_trio.wire.chunks import TokenCounts, decode_counts, decode_details
from ccproxy_trio.wire.events import OutputTokensDetails, Usage

_MOST = 10**12  # beyond any real count: what is larger is nonsense and would upset sums
_NUMBER = re.compile(rb'"?([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"?')


def read_usage(usage: Raw) -> Usage | None:
    """The counts of an upstream `usage` value, never negative; None where it tells nothing.

    A count that is missing, negative or no number is 0; digits in quotes are a number.
    """
    counts = decode_counts(usage)
    if counts is None:
        return None
    in_prompt = decode_details(counts.prompt_tokens_details)
    in_completion = decode_details(counts.completion_tokens_details)
    prompt = _count(counts.prompt_tokens)
    read = min(
        _count(in_prompt.cached_tokens)
        or _count(counts.prompt_cache_hit_tokens)
        or _count(counts.cached_tokens),
        prompt,
    )
    written = min(_count(in_prompt.cache_write_tokens), prompt - read)
    output = _output(counts, prompt)
    thought = min(_count(in_completion.reasoning_tokens), output)
    if not prompt and not output:
        return None
    return Usage(
        input_tokens=prompt - read - written,
        output_tokens=output,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
        output_tokens_details=OutputTokensDetails(thought) if thought else UNSET,
    )


def _output(counts: TokenCounts, prompt: int) -> int:
    # Some servers count reasoning outside `completion_tokens`; then the total knows better.
    return max(_count(counts.completion_tokens), _count(counts.total_tokens) - prompt if prompt else 0)


def _count(value: Raw) -> int:
    number = _NUMBER.fullmatch(bytes(value))
    # By way of a float: there is no number too large for it, and it is exact up to what counts.
    return 0 if number is None else int(min(float(number[1]), _MOST))
