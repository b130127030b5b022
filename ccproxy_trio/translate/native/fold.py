"""The non-streaming answer, out of events that were passed on, with every member that the provider sent."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from ccproxy_trio.translate.arguments import as_object
from ccproxy_trio.wire.native import decode_members, text_of
from ccproxy_trio.wire.sse import Decoder

_NOTHING = (b"", b"null")
# Delta type -> the block's member that it makes longer, and its own.
_LENGTHENS = {"text_delta": ("text", "text"), "thinking_delta": ("thinking", "thinking")}
# Delta type -> members of the block that it sets.
_SETS = {"signature_delta": ("signature",), "compaction_delta": ("content", "encrypted_content")}


def fold_frames(frames: bytes) -> bytes:
    """The message, as JSON, that these frames tell of: those of one whole answer.

    Raises:
        ValueError: they are no whole answer.
    """
    folding = _Folding()
    decoder = Decoder(max_line_bytes=len(frames), max_payload_bytes=len(frames))
    for event in (*decoder.feed(frames), *decoder.end()):
        folding.take(event.event, event.data)
    return folding.whole()


class _Folding:
    def __init__(self) -> None:
        self._message: dict[str, Raw] = {}
        self._usage: dict[str, Raw] = {}
        self._blocks: list[_Growing] = []
        self._by_index: dict[bytes, _Growing] = {}
        self._is_over = False

    def take(self, name: str | None, data: bytes) -> None:
        match name:
            case "message_start":
                self._begin(decode_members(data))
            case "content_block_start":
                self._start(decode_members(data))
            case "content_block_delta":
                event = decode_members(data)
                self._by_index[bytes(event["index"])].grow(decode_members(bytes(event["delta"])))
            case "message_delta":
                self._end(decode_members(data))
            case "message_stop":
                self._is_over = True
            case _:
                pass  # what has no place in a message

    def whole(self) -> bytes:
        if not self._message or not self._is_over:
            raise ValueError("these frames are not a whole answer")
        content = [block.whole() for block in self._blocks]
        return msgspec.json.encode(self._message | {"content": content, "usage": self._usage})

    def _begin(self, event: Mapping[str, Raw]) -> None:
        if not self._message:  # once more is no more
            self._message = decode_members(bytes(event["message"]))
            self._usage = _counts_of(self._message["usage"])

    def _start(self, event: Mapping[str, Raw]) -> None:
        block = _Growing(decode_members(bytes(event["content_block"])))
        self._blocks.append(block)
        self._by_index[bytes(event["index"])] = block

    def _end(self, event: Mapping[str, Raw]) -> None:
        members = dict(event)
        del members["type"]
        self._count(members.pop("usage", Raw(b"{}")))
        self._message |= decode_members(bytes(members.pop("delta", Raw(b"{}")))) | members

    def _count(self, usage: Raw) -> None:
        """Totals overwrite what was told before; what is left out stays."""
        counts = _counts_of(usage)
        self._usage |= {name: count for name, count in counts.items() if bytes(count) not in _NOTHING}


def _counts_of(usage: Raw) -> dict[str, Raw]:
    """The members of a `usage` object; something else tells nothing."""
    return decode_members(bytes(usage)) if bytes(usage).lstrip().startswith(b"{") else {}


class _Growing:
    """A block and what its deltas brought so far."""

    def __init__(self, block: dict[str, Raw]) -> None:
        self._block = block
        self._texts: dict[str, list[str]] = {}
        self._inputs: list[str] = []
        self._citations: list[Raw] = []

    def grow(self, delta: Mapping[str, Raw]) -> None:
        kind = text_of(delta.get("type")) or ""
        if kind in _LENGTHENS:
            member, name = _LENGTHENS[kind]
            self._texts.setdefault(member, []).append(text_of(delta.get(name)) or "")
        elif kind == "input_json_delta":
            self._inputs.append(text_of(delta.get("partial_json")) or "")
        elif kind == "citations_delta":
            self._citations += [delta[name] for name in ("citation",) if name in delta]
        elif kind in _SETS:
            self._block |= {name: delta[name] for name in _SETS[kind] if name in delta}

    def whole(self) -> dict[str, object]:
        block: dict[str, object] = dict(self._block)
        for member, pieces in self._texts.items():
            before = text_of(self._block.get(member)) or ""
            block[member] = before + "".join(pieces)
        arguments = "".join(self._inputs)
        if arguments:
            block["input"] = as_object(arguments)
        if self._citations:
            block["citations"] = [*self._cited(), *self._citations]
        return block

    def _cited(self) -> list[Raw]:
        before = bytes(self._block.get("citations", Raw(b"null")))
        return msgspec.json.decode(before, type=list[Raw] | None) or []
