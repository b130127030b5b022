"""What is read, what is remembered, and how long anybody waits. In virtual time, with a pretended child."""

import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec

import pytest
import trio
import trio.testing

from ccproxy_trio.documents import texts
from ccproxy_trio.documents.texts import DIGEST_INLINE, NoReader, PdfTexts, installed_reader, told
from ccproxy_trio.translate.pdf import PdfText

Clock = trio.testing.MockClock


class Child:
    """Takes `seconds` for each PDF and says what it was given."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.read: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.error: OSError | None = None

    async def __call__(self, pdf: str) -> PdfText:
        self.read.append(pdf)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await trio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        return said(pdf)


def said(pdf: str) -> PdfText:
    return PdfText(pages=1, texts=(pdf,))


def later(seconds: float = 600.0) -> float:
    return trio.current_time() + seconds


async def test_a_pdf_is_read_once_however_often_it_comes(autojump_clock: Clock) -> None:
    child = Child()
    documents = PdfTexts(child)
    for _ in range(3):
        assert await documents.of(["a", "b"], until=later()) == {"a": said("a"), "b": said("b")}
    assert child.read == ["a", "b"]


async def test_two_requests_with_one_pdf_wait_for_one_child(autojump_clock: Clock) -> None:
    child = Child()
    documents = PdfTexts(child)
    answers: list[object] = []

    async def ask() -> None:
        answers.append(await documents.of(["a"], until=later()))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert answers == [{"a": said("a")}] * 5
    assert child.read == ["a"]


async def test_another_goes_on_when_the_one_who_had_it_read_leaves(autojump_clock: Clock) -> None:
    child = Child(seconds=10.0)
    documents = PdfTexts(child)
    answers: list[object] = []

    async def ask() -> None:
        answers.append(await documents.of(["a"], until=later()))

    async def ask_and_leave() -> None:
        with trio.move_on_after(2.0):
            await documents.of(["a"], until=later())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_and_leave)
        await trio.sleep(1.0)
        nursery.start_soon(ask)
    assert answers == [{"a": said("a")}]
    assert child.read == ["a", "a"]


async def test_few_are_read_at_a_time(autojump_clock: Clock) -> None:
    child = Child()
    documents = PdfTexts(child)
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(one, documents, str(number))
    assert child.most_at_once == 2
    assert len(child.read) == 8


async def one(documents: PdfTexts, pdf: str) -> None:
    await documents.of([pdf], until=later())


async def test_one_that_takes_too_long_is_not_tried_again(autojump_clock: Clock) -> None:
    child = Child(seconds=1e6)
    documents = PdfTexts(child, within=20.0)
    for _ in range(2):
        assert await documents.of(["a"], until=later()) == {"a": PdfText(problem="slow")}
    assert child.read == ["a"]
    assert trio.current_time() == pytest.approx(20.0)


async def test_what_there_was_no_time_for_is_tried_again(autojump_clock: Clock) -> None:
    child = Child(seconds=5.0)
    documents = PdfTexts(child)
    slow = PdfText(problem="slow")
    assert await documents.of(["a", "b"], until=later(7.0)) == {"a": said("a"), "b": slow}
    assert await documents.of(["a", "b"], until=later()) == {"a": said("a"), "b": said("b")}


async def test_a_system_without_a_process_to_give_is_asked_again(autojump_clock: Clock) -> None:
    child = Child()
    child.error = OSError("no more processes")
    documents = PdfTexts(child)
    assert await documents.of(["a"], until=later()) == {"a": PdfText(problem="slow")}
    child.error = None
    assert await documents.of(["a"], until=later()) == {"a": said("a")}


async def test_the_least_used_is_forgotten_first(autojump_clock: Clock) -> None:
    child = Child()
    documents = PdfTexts(child, remembered=2)
    for pdf in ("a", "b", "a", "c", "a", "b"):
        await documents.of([pdf], until=later())
    assert child.read == ["a", "b", "c", "b"]


async def test_memory_is_bounded_by_characters_too(autojump_clock: Clock) -> None:
    child = Child()
    documents = PdfTexts(child, characters=25)
    for letter in "abcbdcdz":
        await documents.of([letter * 10], until=later())
    for _ in range(2):
        await documents.of(["x" * 99], until=later())
    assert [pdf[0] for pdf in child.read] == ["a", "b", "c", "d", "c", "z", "x"]


class Pages(tuple[str, ...]):
    """Counts how often anybody goes through them."""

    rounds = 0

    def __iter__(self) -> Iterator[str]:
        self.rounds += 1
        return super().__iter__()


async def test_what_is_kept_is_not_measured_again_for_each_that_is_forgotten(autojump_clock: Clock) -> None:
    given: list[Pages] = []

    async def read(pdf: str) -> PdfText:
        given.append(Pages([pdf]))
        return PdfText(pages=1, texts=given[-1])

    documents = PdfTexts(read, remembered=4)
    for number in range(40):
        await documents.of([str(number)], until=later())
    assert {pages.rounds for pages in given[:36]} == {2}  # when it was learnt, and when it was forgotten
    assert {pages.rounds for pages in given[36:]} == {1}


class Watched(str):
    """A PDF that keeps the threads in which its bytes were wanted."""

    __slots__ = ("threads",)

    def __new__(cls, text: str) -> "Watched":
        made = super().__new__(cls, text)
        made.threads = []
        return made

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.threads.append(threading.current_thread())
        return super().encode(encoding, errors)


async def test_a_large_pdf_is_digested_beside_everything_else() -> None:
    pdf, child = Watched("a" * (DIGEST_INLINE + 1)), Child(seconds=0.0)
    documents = PdfTexts(child)
    for _ in range(2):
        assert await documents.of([pdf], until=later()) == {pdf: said(pdf)}
    assert child.read == [pdf]
    assert threading.main_thread() not in pdf.threads
    assert len(pdf.threads) == 2


async def test_a_small_pdf_is_not_worth_a_thread() -> None:
    pdf = Watched("a" * DIGEST_INLINE)
    await PdfTexts(Child(seconds=0.0)).of([pdf], until=later())
    assert pdf.threads == [threading.main_thread()]


async def test_where_nothing_can_read_them_pdfs_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "find_spec", lambda _name: None)
    pdf = Watched("a" * 99)
    reader = installed_reader()
    assert isinstance(reader, NoReader)
    assert await reader.of([pdf], until=later()) == {pdf: PdfText(problem="missing")}
    assert pdf.threads == []


async def test_the_library_is_looked_for_once(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[str] = []
    read: list[tuple[str, str]] = []

    def find(name: str) -> ModuleSpec:
        sought.append(name)
        return ModuleSpec(name, None, origin="/x/lib/pypdf/__init__.py")

    async def child(pdf: str, *, library: str) -> PdfText:
        read.append((pdf, library))
        return said(pdf)

    monkeypatch.setattr(texts, "find_spec", find)
    monkeypatch.setattr(texts, "read_in_child", child)
    reader = installed_reader()
    await reader.of(["a", "b"], until=later())
    assert sought == ["pypdf"]
    assert read == [("a", "/x/lib"), ("b", "/x/lib")]


@pytest.mark.parametrize("output", [b"", b"{", b'{"pages":"x"}', b'{"problem":"sabotage"}'])
def test_a_child_that_says_nothing_sensible_has_found_it_broken(output: bytes) -> None:
    assert told(output) == PdfText(problem="broken")
