"""The wires: which way of speaking a candidate's dialect names, and how a request is put in it."""

from typing import assert_never

from ccproxy_trio.translate import chat
from ccproxy_trio.translate.native import question as native
from ccproxy_trio.translate.question import Asked, Question
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.responses import question as responses


def put(asked: Asked, target: Target) -> Question:
    """The request in the words of the target.

    Raises:
        RequestRefused: it needs something that none but Anthropic can give.
        Untranslatable: it needs more than this upstream takes.
    """
    match target.dialect.wire:
        case "chat":
            return chat.put(asked, target)
        case "responses":
            return responses.put(asked, target)
        case "anthropic":
            return native.put(asked, target)
        case _:
            assert_never(target.dialect.wire)
