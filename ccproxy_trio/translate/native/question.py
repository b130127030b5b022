"""A request on Anthropic's own wire."""

from collections.abc import Callable

from msgspec import Struct

from ccproxy_trio.translate.adjust import Repair
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.native.body import Written, written
from ccproxy_trio.translate.native.headers import sent_on
from ccproxy_trio.translate.native.learning import Refusal, repair
from ccproxy_trio.translate.native.reader import NativeReader
from ccproxy_trio.translate.question import Asked, Outgoing
from ccproxy_trio.translate.request import Target
from ccproxy_trio.wire.faults import UpstreamFault


class NativeQuestion(Struct, frozen=True):
    """A `translate.question.Question`."""

    asked: Asked
    target: Target
    written: Written

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or changed, a sentence each."""
        return self.written.notes

    def outgoing(self) -> Outgoing:
        """What is sent. The client's key goes with it; whether it is used is the provider's configuration."""
        sender = self.asked.sender
        return Outgoing(
            body=self.written.body,
            headers=sent_on(sender.headers, self.target.dialect),
            query=sender.query,
            credential=sender.credential,
        )

    def reader(self, mint: Callable[[], str]) -> NativeReader:
        """Who understands the answer."""
        return NativeReader(target=self.target, mint=mint)

    def repair(self, fault: UpstreamFault, dialect: Dialect) -> Repair | None:
        """How it may be put instead of this, which was refused with `fault`."""
        return repair(Refusal(fault, self.asked, self.written.body, dialect))


def put(asked: Asked, target: Target) -> NativeQuestion:
    """The request as it came, but for what this provider must not read.

    Raises:
        RequestRefused: an image, a document or a tool in it is none.
        Untranslatable: it needs more than this provider has.
    """
    return NativeQuestion(asked, target, written(asked, target))
