"""PDFs for models that cannot read them, through the whole proxy, in virtual time."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ccproxy_trio.documents.texts import PdfTexts
from ccproxy_trio.journal import AttemptEnded
from ccproxy_trio.settings.model import DialectOptions
from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.pdf import PdfText
from ccproxy_trio.translate.question import Outgoing
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, hello, settings_for, virtual_house
from tests.support.grammar import check_frames

Clock = trio.testing.MockClock
DATA = base64.b64encode(b"%PDF-1.4").decode()
DOCUMENT = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": DATA},
}
ASKED = {"messages": [{"role": "user", "content": [DOCUMENT]}]}


class Shelf:
    """Documents that take `seconds` to be read."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self.asked: list[tuple[str, ...]] = []
        self.was_left = False

    async def of(self, pdfs: Sequence[str], *, until: float) -> dict[str, PdfText]:
        assert until > trio.current_time()
        self.asked.append(tuple(pdfs))
        try:
            await trio.sleep(self._seconds)
        except trio.Cancelled:
            self.was_left = True
            raise
        return {pdf: PdfText(pages=1, texts=("What it says.",)) for pdf in pdfs}


class Listening(FakeUpstream):
    """Keeps the bodies it was sent; its first `faults` requests fail."""

    def __init__(self, *, faults: int = 0) -> None:
        super().__init__(hello)
        self.bodies: list[dict[str, Any]] = []
        self.opened_at: list[float] = []
        self._faults = faults

    @asynccontextmanager
    async def open(self, asked: Outgoing, *, model: str, dialect: Dialect) -> AsyncIterator[FakeAnswer]:
        self.bodies.append(msgspec.json.decode(asked.body))
        self.opened_at.append(trio.current_time())
        if len(self.bodies) <= self._faults:
            raise UpstreamFault(FaultKind.SERVER_ERROR, status=503)
        async with super().open(asked, model=model, dialect=dialect) as answer:
            yield answer


async def test_the_text_reaches_a_model_that_cannot_read_pdfs(autojump_clock: Clock) -> None:
    shelf, upstream = Shelf(), Listening()
    async with virtual_house(settings_for("a"), documents=shelf, a=upstream) as house:
        client = Client(house.connect())
        await client.post(ASKED)
        assert await client.head() == 200
    content = upstream.bodies[0]["messages"][0]["content"]
    assert content == "[PDF as text, 1 page]\n\n[page 1]\nWhat it says."
    assert shelf.asked == [(DATA,)]


async def test_a_pdf_is_not_read_for_a_model_that_can(autojump_clock: Clock) -> None:
    shelf, upstream = Shelf(), Listening()
    settings = settings_for("a", options=DialectOptions(files=True))
    async with virtual_house(settings, documents=shelf, a=upstream) as house:
        client = Client(house.connect())
        await client.post(ASKED)
        assert await client.head() == 200
    assert upstream.bodies[0]["messages"][0]["content"][0]["type"] == "file"
    assert shelf.asked == []


async def test_nobody_is_asked_about_pdfs_that_are_not_there(autojump_clock: Clock) -> None:
    shelf = Shelf()
    async with virtual_house(settings_for("a"), documents=shelf, a=Listening()) as house:
        client = Client(house.connect())
        await client.post({})
        assert await client.head() == 200
    assert shelf.asked == []


async def test_the_time_it_takes_is_not_the_providers(autojump_clock: Clock) -> None:
    shelf, upstream = Shelf(seconds=50.0), Listening()
    settings = settings_for("a", a_timeout=10.0)
    provider = msgspec.structs.replace(settings.providers[0], total_timeout=10.0)
    settings = msgspec.structs.replace(settings, providers=(provider,))
    async with virtual_house(settings, documents=shelf, a=upstream) as house:
        client = Client(house.connect())
        await client.post({**ASKED, "stream": True})
        assert await client.head() == 200
        story = check_frames(await client.body())
        (attempt,) = (entry for entry in house.journal if isinstance(entry, AttemptEnded))
        assert (await house.snapshot("a")).failure_count == 0
    assert story.of("text") == "hello"
    assert attempt.outcome == "ok"
    assert attempt.seconds < 1
    assert upstream.opened_at[0] >= 50
    assert (20, "message_start") in [(round(at), kind) for at, kind in client.kinds()]
    assert (35, "ping") in [(round(at), kind) for at, kind in client.kinds()]


async def never(_: str) -> PdfText:
    """Reads a PDF that has no end."""
    await trio.sleep_forever()
    raise AssertionError


async def test_nobody_reads_on_when_the_clients_time_is_up(autojump_clock: Clock) -> None:
    documents, upstream = PdfTexts(never, within=900.0), Listening()
    async with virtual_house(settings_for("a"), documents=documents, a=upstream) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({**ASKED, "stream": False}, **{"x-stainless-timeout": "30"})
        assert await client.head() == 504
        assert trio.current_time() - started_at == pytest.approx(25)
        assert (await house.snapshot("a")).failure_count == 0


async def test_with_all_the_time_in_the_world_reading_still_ends(autojump_clock: Clock) -> None:
    documents, upstream = PdfTexts(never, within=900.0), Listening()
    async with virtual_house(settings_for("a"), documents=documents, a=upstream) as house:
        client, started_at = Client(house.connect()), trio.current_time()
        await client.post({**ASKED, "stream": False})
        assert await client.head() == 200
        assert trio.current_time() - started_at == pytest.approx(60)
    assert "reading the PDF took too long" in json.dumps(upstream.bodies)


async def test_a_client_that_hangs_up_ends_the_reading(autojump_clock: Clock) -> None:
    shelf, upstream = Shelf(seconds=50.0), Listening()
    async with virtual_house(settings_for("a"), documents=shelf, a=upstream) as house:
        client = Client(house.connect())
        await client.post({**ASKED, "stream": True})
        await trio.sleep(1.0)
        await client.stream.aclose()
        await trio.sleep(1.0)
        assert shelf.was_left
    assert upstream.bodies == []


async def test_every_candidate_that_needs_the_text_gets_the_same(autojump_clock: Clock) -> None:
    shelf, a, b = Shelf(), Listening(faults=9), Listening()
    async with virtual_house(settings_for("a", "b"), documents=shelf, a=a, b=b) as house:
        client = Client(house.connect())
        await client.post(ASKED)
        assert await client.head() == 200
    assert shelf.asked == [(DATA,)]
    assert json.dumps(a.bodies[0]["messages"]) == json.dumps(b.bodies[0]["messages"])
    assert "What it says." in json.dumps(b.bodies[0])
