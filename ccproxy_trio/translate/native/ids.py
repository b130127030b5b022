"""Ids of messages and calls that another answer may have, too, replaced by ours.

Claude Code merges turns whose messages have the same id, and takes a history for interrupted in which the id
of a call occurs twice. Anthropic's own never do; servers that imitate it begin with `call_0` in every answer.
"""

import re
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from ccproxy_trio.wire.native import text_of

_MESSAGE = "msg_"
_CALLS = {"tool_use": "toolu_", "server_tool_use": "srvtoolu_", "mcp_tool_use": "mcptoolu_"}
_ANTHROPIC = re.compile(r"(?:srv|mcp)?toolu_.")


class Ids:
    """Those of one answer. `mint` gives 24 fresh hexadecimal digits."""

    def __init__(self, mint: Callable[[], str]) -> None:
        self._mint = mint
        self._message: str | None = None
        self._calls: dict[str, str] = {}  # theirs -> what the client is told

    def of_message(self, message: Mapping[str, Raw]) -> dict[str, bytes]:
        """The `id` that the message has to get instead of its own; nothing where that stays."""
        theirs = text_of(message.get("id")) or ""
        if self._message is None:
            is_unique = theirs.startswith(_MESSAGE) and theirs != _MESSAGE
            self._message = theirs if is_unique else _MESSAGE + self._mint()
        return {} if theirs == self._message else {"id": _quoted(self._message)}

    def of_block(self, kind: str, block: Mapping[str, Raw]) -> dict[str, bytes]:
        """The `id` or `tool_use_id` that the block has to get instead; nothing where its own stays."""
        if kind.endswith("tool_use"):
            return self._of_call(kind, text_of(block.get("id")) or "")
        theirs = text_of(block.get("tool_use_id"))
        if theirs is None or self._calls.get(theirs, theirs) == theirs:
            return {}
        return {"tool_use_id": _quoted(self._calls[theirs])}

    def _of_call(self, kind: str, theirs: str) -> dict[str, bytes]:
        if _ANTHROPIC.match(theirs) and theirs not in self._calls:
            self._calls[theirs] = theirs
            return {}
        self._calls[theirs] = ours = _CALLS.get(kind, "toolu_") + self._mint()
        return {"id": _quoted(ours)}


def _quoted(text: str) -> bytes:
    return msgspec.json.encode(text)
