"""Token counts as Claude Code should read them, so that its compaction fires when the routed model is full.

Claude Code believes that every model has the window it knows, and compacts at a share of that. Where the real
window is another one, all counts that it reads are multiplied by believed / real. Nothing else is: the
journal, the log and the pre-check work with what is really counted.
"""

import msgspec
from msgspec import UNSET, Struct

from ccproxy_trio.wire.events import OutputTokensDetails, Usage

CLIENT_WINDOW = 200_000  # tokens; what Claude Code takes every model to have
LONG_CLIENT_WINDOW = 1_000_000
_LONG_CONTEXT = "context-1m-"  # how the beta is called that says it; a date follows


class Scale(Struct, frozen=True):
    """Windows in tokens: the one that the client believes in, and the real one."""

    client: int = 1
    real: int = 1

    @property
    def factor(self) -> float:
        """By how much counts are multiplied, for people."""
        return self.client / self.real

    def tokens(self, count: int) -> int:
        """A count as the client should read it. What is something stays something.

        Rounded down, and in whole numbers throughout, so that `client` is reached exactly when `real` is.
        """
        return max(count * self.client // self.real, min(count, 1))

    def usage(self, usage: Usage) -> Usage:
        """All counts of an answer.

        Their sum is the scaled sum: each rounded by itself would miss the limit by a few tokens. The largest
        part goes last and takes the difference.
        """
        if self.client == self.real:
            return usage
        parts = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_creation_input_tokens": usage.cache_creation_input_tokens,
            "cache_read_input_tokens": usage.cache_read_input_tokens,
        }
        scaled: dict[str, int] = {}
        real = told = 0
        for name in sorted(parts, key=lambda name: parts[name]):
            real += parts[name]
            scaled[name] = max(real * self.client // self.real - told, min(parts[name], 1))
            told += scaled[name]
        details = usage.output_tokens_details
        if details is not UNSET:
            details = OutputTokensDetails(min(self.tokens(details.thinking_tokens), scaled["output_tokens"]))
        return msgspec.structs.replace(usage, **scaled, output_tokens_details=details)


UNSCALED = Scale()


def scale_for(wish: bool | int, *, real: int | None, believed: int) -> Scale:
    """The scale of one exchange.

    `wish` is the setting: off, on, or the window that Claude Code was told in its own settings. `real` is the
    smallest window that an answer may come from, None if it is not known; `believed` what the client thinks
    by itself.
    """
    if wish is False or real is None:
        return UNSCALED
    return Scale(believed if wish is True else wish, real)


def believed_window(betas: str) -> int:
    """The window that a client believes in that sent these betas (the header's value)."""
    names = (name.strip() for name in betas.split(","))
    return LONG_CLIENT_WINDOW if any(name.startswith(_LONG_CONTEXT) for name in names) else CLIENT_WINDOW
