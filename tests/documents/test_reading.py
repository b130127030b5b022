"""PDFs read by a real child process."""

import base64
import os
from functools import partial
from pathlib import Path

import pypdf
import pytest
import trio

from ccproxy_trio.documents import reading, texts
from ccproxy_trio.documents.texts import PdfTexts, read_in_child
from ccproxy_trio.translate.pdf import PdfText
from tests.support.pdfs import encrypted, pdf_of

pytestmark = pytest.mark.process

LIBRARY = str(Path(pypdf.__file__).parents[1])
TWO = pdf_of("The first page.", "The second.")
START = base64.b64encode(b"%PDF-1.4").decode()

# No PDF is slow for certain: what it takes depends on the machine and on pypdf's release.
NEVER_DONE = """
import signal, time

class PdfReader:
    def __init__(self, _):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
"""


read = partial(read_in_child, library=LIBRARY)


def sent(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def never_done(tmp_path: Path) -> str:
    """The folder of a library that never comes to the end of a PDF."""
    package = tmp_path / "pypdf"
    package.mkdir()
    (package / "__init__.py").write_text(NEVER_DONE)
    (package / "errors.py").write_text("class PyPdfError(Exception): ...")
    return str(tmp_path)


async def test_the_text_comes_page_by_page() -> None:
    assert await read(sent(TWO)) == PdfText(pages=2, texts=("The first page.", "The second."))


async def test_the_same_pdf_gives_the_same_text() -> None:
    assert await read(sent(TWO)) == await read(sent(TWO))


async def test_a_page_without_text_has_none() -> None:
    assert await read(sent(pdf_of("One.", ""))) == PdfText(pages=2, texts=("One.", ""))


@pytest.mark.parametrize(
    "data", [b"", b"no PDF at all", TWO[:-1][: len(TWO) // 3], b"%PDF-1.4\n%%EOF", b"\x00" * 5000]
)
async def test_a_broken_pdf_is_told_to_be_broken(data: bytes) -> None:
    assert (await read(sent(data))).problem == "broken"


@pytest.mark.parametrize("text", ["", "?", "abc"])
async def test_what_is_not_base64_is_broken(text: str) -> None:
    assert (await read(text)).problem == "broken"


async def test_an_encrypted_pdf_is_told_to_be_encrypted() -> None:
    assert await read(sent(encrypted(TWO, password="secret"))) == PdfText(problem="encrypted")


async def test_a_pdf_that_only_forbids_things_is_read() -> None:
    assert (await read(sent(encrypted(TWO, password="")))).texts == (
        "The first page.",
        "The second.",
    )


async def test_a_damaged_page_spoils_no_other() -> None:
    damaged = pdf_of("One.", "Two.", "Three.").replace(b"(Two.) Tj", b"<</A (Two.) Tj")
    assert await read(sent(damaged)) == PdfText(pages=3, texts=("One.", None, "Three."))


async def test_pages_and_characters_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MOST_PAGES", 2)
    assert await read(sent(pdf_of("a", "b", "c"))) == PdfText(pages=3, texts=("a", "b"))
    monkeypatch.setattr(texts, "MOST_CHARACTERS", 7)
    assert await read(sent(TWO)) == PdfText(pages=2, texts=("The fir",), is_cut=True)
    monkeypatch.setattr(texts, "MOST_CHARACTERS", 15)
    assert await read(sent(TWO)) == PdfText(pages=2, texts=("The first page.",))


async def test_a_pdf_that_takes_too_long_is_given_up_and_its_process_killed(never_done: str) -> None:
    before = children()
    reader = PdfTexts(partial(read_in_child, library=never_done), within=1.0)
    with trio.fail_after(60):
        told = await reader.of([START], until=trio.current_time() + 600)
    assert told == {START: PdfText(problem="slow")}
    assert children() == before


async def test_a_client_that_leaves_kills_the_process(never_done: str) -> None:
    before = children()
    with trio.fail_after(60), trio.move_on_after(0.7) as leaving:
        await read_in_child(START, library=never_done)
    assert leaving.cancelled_caught
    assert children() == before


async def test_a_process_out_of_memory_says_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    large = sent(pdf_of("One.", ballast=60_000_000))
    assert (await read(large)).texts == ("One.",)
    monkeypatch.setattr(texts, "_MEMORY_BYTES", 120 * 2**20)
    assert (await read(sent(TWO))).problem is None
    assert (await read(large)).problem == "broken"


async def test_the_child_inherits_no_keys_and_imports_nothing_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    script = tmp_path / "reading.py"
    script.write_text(
        "import json, os, sys\n"
        "told = [' '.join(os.environ), ' '.join(path for path in sys.path if 'site-packages' not in path)]\n"
        "json.dump({'pages': 1, 'texts': told}, sys.stdout)\n"
    )
    (tmp_path / "json.py").write_text("raise SystemExit('taken from the working directory')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(texts, "_SCRIPT", script)
    names, path = (await read("")).texts
    assert "KEY" not in str(names)
    assert str(tmp_path) not in str(path)


def test_text_is_lines_of_what_can_be_printed() -> None:
    assert reading._clean(" a\x00b  \nc\x1b[1m\td\ud800\n\n") == "a b\nc [1m d"


def children() -> set[str]:
    """The processes started by this one that are not over."""
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(task.read_text().split())
