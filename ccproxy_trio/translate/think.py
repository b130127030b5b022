"""Reasoning inside text: `<think>...</think>` at the very start of an answer, told apart from the answer."""

import enum

from ccproxy_trio.translate.parts import Text, Thinking
from ccproxy_trio.translate.stops import possible_start

_OPEN = "<think>"
_CLOSE = "</think>"


class _Where(enum.Enum):
    START = enum.auto()  # nothing but white space so far
    THOUGHT = enum.auto()
    ANSWER = enum.auto()


class ThinkTags:
    """Splits text that comes in pieces, holding back only what may be part of a tag.

    White space right behind a tag belongs to the tag: chat templates write `<think>\\n` and `</think>\\n\\n`.
    Everything else comes out as it went in.
    """

    def __init__(self) -> None:
        self._where = _Where.START
        self._held = ""
        self._after_tag = False

    def feed(self, text: str) -> list[Text | Thinking]:
        """The pieces that `text` completes, in order, none of them empty."""
        text, self._held = self._held + text, ""
        out: list[Text | Thinking] = []
        if self._where is _Where.START:
            text = self._start(text)
        if self._where is _Where.THOUGHT:
            text = self._thought(text, out)
        if self._where is _Where.ANSWER:
            self._give(Text, text, out)
        return out

    def release(self) -> list[Text | Thinking]:
        """What was held back: something else follows it, so it was no tag."""
        out: list[Text | Thinking] = []
        if self._held:
            thought = self._where is _Where.THOUGHT
            self._give(Thinking if thought else Text, self._held, out)
            self._where = _Where.THOUGHT if thought else _Where.ANSWER
            self._held = ""
        return out

    def _start(self, text: str) -> str:
        """Decide what the answer begins with; what is left to split."""
        head = text.lstrip()
        if head.startswith(_OPEN):
            self._where = _Where.THOUGHT
            self._after_tag = True
            return head[len(_OPEN) :]
        if _OPEN.startswith(head):
            self._held = text
            return ""
        self._where = _Where.ANSWER
        return text

    def _thought(self, text: str, out: list[Text | Thinking]) -> str:
        """Give out the thought in `text`; what comes behind its end."""
        thought, tag, rest = text.partition(_CLOSE)
        if not tag:
            keep = possible_start(text, _CLOSE)
            thought, self._held = text[:keep], text[keep:]
        self._give(Thinking, thought, out)
        if tag:
            self._where = _Where.ANSWER
            self._after_tag = True
        return rest

    def _give(self, kind: type[Text] | type[Thinking], text: str, out: list[Text | Thinking]) -> None:
        if self._after_tag:
            text = text.lstrip()
        if text:
            self._after_tag = False
            out.append(kind(text))
