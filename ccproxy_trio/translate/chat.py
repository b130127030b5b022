"""A request on the Chat Completions wire."""

from collections.abc import Callable

from msgspec import Struct

from ccproxy_trio.translate.adjust import Repair, repair
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.question import Asked, Outgoing
from ccproxy_trio.translate.request import Target, Translated, translate
from ccproxy_trio.translate.stream import Reader
from ccproxy_trio.wire.faults import UpstreamFault
from ccproxy_trio.wire.openai import encode


class ChatQuestion(Struct, frozen=True):
    """A `translate.question.Question`."""

    translated: Translated
    target: Target

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or changed, a sentence each."""
        return self.translated.notes

    def outgoing(self) -> Outgoing:
        """What is sent."""
        return Outgoing(body=encode(self.translated.chat))

    def reader(self, mint: Callable[[], str]) -> Reader:
        """Who understands the answer."""
        return Reader(
            target=self.target,
            names=self.translated.names,
            show_thinking=self.translated.show_thinking,
            stop_sequences=self.translated.stop_sequences,
            mint=mint,
        )

    def repair(self, fault: UpstreamFault, dialect: Dialect) -> Repair | None:
        """How it may be put instead of this, which was refused with `fault`."""
        return repair(fault, dialect, self.translated.chat)


def put(asked: Asked, target: Target) -> ChatQuestion:
    """The request as a chat completion.

    Raises:
        RequestRefused: it needs something that none but Anthropic can give.
        Untranslatable: it needs more than this upstream takes.
    """
    return ChatQuestion(translate(asked.request, target), target)
