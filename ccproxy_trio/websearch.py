"""A web search that a client asks for: put to the backend, within its time, and answered in any case.

There is no failing over and no error response here. A search that fails is told in the answer, where the
model that asked for it can read it.
"""

from collections.abc import Callable
from contextlib import suppress

import trio
from msgspec import Struct

from ccproxy_trio.audience import Opened
from ccproxy_trio.journal import Journal, Note
from ccproxy_trio.translate.emit import Emitter
from ccproxy_trio.translate.fold import fold
from ccproxy_trio.translate.grammar import Grammar
from ccproxy_trio.translate.local import LocalAnswer, found, not_found
from ccproxy_trio.translate.search import presentable, refusal
from ccproxy_trio.upstream.search import Search
from ccproxy_trio.wire.events import Event, Message, encode_frames
from ccproxy_trio.wire.search import SearchFault, SearchQuestion


class Enquiry(Struct, frozen=True, kw_only=True):
    """One search and what it takes. `within`: seconds for all of it. `at_most`: results to show."""

    question: SearchQuestion
    backend: Search
    within: float
    at_most: int
    request_id: str
    journal: Journal


async def answer_search(enquiry: Enquiry, emitter: Emitter) -> Message:
    """Search for a client that waits for the whole answer. Cancelling ends the search."""
    events = _told(await _outcome(enquiry), emitter)
    Grammar().check(events)
    return fold(events)


async def stream_search(enquiry: Enquiry, emitter: Emitter, *, started: Callable[[Opened], None]) -> None:
    """Search for a client that reads along. Cancelling ends the search.

    The head goes out at once: nothing that can happen now needs another status, and pings can follow it.
    """
    frames, receive = trio.open_memory_channel[bytes](2)  # the head and the rest: sending never waits
    with frames:
        grammar = Grammar()
        head = emitter.open()
        grammar.check(head)
        frames.send_nowait(encode_frames(head))
        started(Opened(frames=receive, ended=lambda: grammar.is_over))
        rest = _told(await _outcome(enquiry), emitter)
        grammar.check(rest)
        with suppress(trio.BrokenResourceError):  # the client has gone
            frames.send_nowait(encode_frames(rest))


def _told(answer: LocalAnswer, emitter: Emitter) -> list[Event]:
    """The events of an answer that no provider gave, without those that are sent already."""
    return emitter.answer(answer.content, stop_reason=answer.stop_reason, usage=answer.usage)


async def _outcome(enquiry: Enquiry) -> LocalAnswer:
    question = enquiry.question
    if (code := refusal(question)) is not None:
        return not_found(question, code)
    began_at = trio.current_time()
    try:
        with trio.fail_after(enquiry.within):
            hits = await enquiry.backend.search(question)
    except trio.TooSlowError:
        fault = SearchFault("unavailable", f"no answer within {enquiry.within:g} s")
    except SearchFault as error:
        fault = error
    else:
        shown = presentable(hits, question, at_most=enquiry.at_most)
        _note(enquiry, "debug", f"Web search: {len(shown)} results in {trio.current_time() - began_at:.1f} s")
        return found(question, shown)
    _note(enquiry, "warning", f"Web search failed: {fault.reason}")
    return not_found(question, fault.code)


def _note(enquiry: Enquiry, level: str, text: str) -> None:
    enquiry.journal(Note(level=level, event="search.ended", text=text, request_id=enquiry.request_id))
