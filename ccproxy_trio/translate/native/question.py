"""A request on this wire."""

from ccproxy_trio.translate.question import Asked, Question
from ccproxy_trio.translate.request import Target
from ccproxy_trio.wire.faults import Untranslatable


def put(_asked: Asked, _target: Target) -> Question:
    """The request on this wire.

    Raises:
        Untranslatable: it needs more than this upstream takes.
    """
    raise Untranslatable("this wire is not spoken yet")
