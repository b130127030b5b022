"""Token counts: the `usage` object of OpenAI's wires as an Anthropic one.

Anthropic counts the cached part of a prompt beside `input_tokens`, OpenAI inside `prompt_tokens`. The three
input counts must add up to the upstream's prompt: Claude Code decides from that sum when to compact.
"""

import re

from msgspec import UNSET, Raw

from ccproxy_trio.wire.chunks import decode_counts, decode_details
from ccproxy_trio.wire.events import OutputTokensDetails, Usage
from ccproxy_trio.wire.response_events import decode_response_counts

_MOST = 10**12  # beyond any real count: what is larger is nonsense and would upset sums
_NUMBER = re.compile(rb'"?([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"?')


def read_usage(usage: Raw) -> Usage | None:
    """The counts of a chat completion's `usage`, never negative; None where it tells nothing.

    A count that is missing, negative or no number is 0; digits in quotes are a number.
    """
    counts = decode_counts(usage)
    if counts is None:
        return None
    in_prompt = decode_details(counts.prompt_tokens_details)
    in_completion = decode_details(counts.completion_tokens_details)
    cached = (
        _count(in_prompt.cached_tokens)
        or _count(counts.prompt_cache_hit_tokens)
        or _count(counts.cached_tokens)
    )
    return _usage(
        prompt=_count(counts.prompt_tokens),
        cached=cached,
        written=_count(in_prompt.cache_write_tokens),
        output=_count(counts.completion_tokens),
        thought=_count(in_completion.reasoning_tokens),
        total=_count(counts.total_tokens),
    )


def read_response_usage(usage: Raw) -> Usage | None:
    """The same of a response's `usage`, which has other names for them."""
    counts = decode_response_counts(usage)
    if counts is None:
        return None
    in_input = decode_details(counts.input_tokens_details)
    in_output = decode_details(counts.output_tokens_details)
    return _usage(
        prompt=_count(counts.input_tokens),
        cached=_count(in_input.cached_tokens),
        written=_count(in_input.cache_write_tokens),
        output=_count(counts.output_tokens),
        thought=_count(in_output.reasoning_tokens),
        total=_count(counts.total_tokens),
    )


def _usage(*, prompt: int, cached: int, written: int, output: int, thought: int, total: int) -> Usage | None:
    read = min(cached, prompt)
    written = min(written, prompt - read)
    # Some servers count reasoning outside of the output; then the total knows better.
    output = max(output, total - prompt if prompt else 0)
    thought = min(thought, output)
    if not prompt and not output:
        return None
    return Usage(
        input_tokens=prompt - read - written,
        output_tokens=output,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
        output_tokens_details=OutputTokensDetails(thought) if thought else UNSET,
    )


def _count(value: Raw) -> int:
    number = _NUMBER.fullmatch(bytes(value))
    # By way of a float: there is no number too large for it, and it is exact up to what counts.
    return 0 if number is None else int(min(float(number[1]), _MOST))
