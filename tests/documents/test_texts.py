"""What is read, what is remembered, and how long anybody waits. In virtual time, with a pretended child."""

import pytest
import trio
import trio.testing

from ccproxy_trio.documents import texts
from ccproxy_trio.documents.texts import PdfTexts, told
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


async def test_the_least_used_is_forgotten_first(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "_REMEMBERED", 2)
    child = Child()
    documents = PdfTexts(child)
    for pdf in ("a", "b", "a", "c", "a", "b"):
        await documents.of([pdf], until=later())
    assert child.read == ["a", "b", "c", "b"]


async def test_memory_is_bounded_by_characters_too(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "_REMEMBERED_CHARACTERS", 25)
    child = Child()
    documents = PdfTexts(child)
    for pdf in ("a" * 10, "b" * 10, "c" * 10, "a" * 10, "z" * 99, "z" * 99):
        await documents.of([pdf], until=later())
    assert [pdf[0] for pdf in child.read] == ["a", "b", "c", "a", "z"]


@pytest.mark.parametrize("output", [b"", b"{", b'{"pages":"x"}', b'{"problem":"sabotage"}'])
def test_a_child_that_says_nothing_sensible_has_found_it_broken(output: bytes) -> None:
    assert told(output) == PdfText(problem="broken")
