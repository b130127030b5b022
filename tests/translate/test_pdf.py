import base64
from typing import Any

import msgspec
import pytest

from ccproxy_trio.translate.pdf import PdfText, pdfs
from ccproxy_trio.translate.request import Target, translate
from ccproxy_trio.wire.openai import encode
from tests.translate.asking import assistant, call, dialect, request, result, text, user

DATA = base64.b64encode(b"%PDF-1.4").decode()
OTHER = base64.b64encode(b"%PDF-1.5 .").decode()


def document(data: str = DATA, **fields: Any) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "source": source, **fields}


def told(pdf: PdfText, *blocks: Any, **options: Any) -> tuple[Any, tuple[str, ...]]:
    """What the blocks become, and what the operator hears, where DATA says `pdf`."""
    target = Target(provider="a", model="m", dialect=dialect(**options), pdf_texts={DATA: pdf})
    translated = translate(request(user(*(blocks or (document(),)))), target)
    body = msgspec.json.decode(encode(translated.chat))
    return body["messages"][-1]["content"], translated.notes


def test_pdfs_are_found_in_users_messages_and_tool_results() -> None:
    asked = request(
        user("a", document(), {"type": "document", "source": {"type": "text", "data": "x"}}),
        assistant(call("t"), call("s")),
        user(result("t", [text("x"), document(OTHER)]), result("s", "plain"), document()),
    )
    assert pdfs(asked) == (DATA, OTHER)
    assert pdfs(request(user("a"), assistant("b"), user("c"))) == ()


def test_what_calls_itself_something_else_is_no_pdf() -> None:
    source = {"type": "base64", "media_type": "text/plain", "data": DATA}
    assert pdfs(request(user({"type": "document", "source": source}))) == ()


def test_text_comes_by_the_page_under_title_and_context() -> None:
    pdf = PdfText(pages=4, texts=("One.", "", None, "Four."))
    assert told(pdf, document(title="T", context="C")) == (
        "title: T\ncontext: C\n[PDF as text, 4 pages]\n\n[page 1]\nOne.\n\n"
        "[page 2]\n[no text on this page]\n\n[page 3]\n[this page could not be read]\n\n[page 4]\nFour.",
        (),
    )


@pytest.mark.parametrize(
    ("pdf", "ending"),
    [
        (PdfText(pages=1, texts=("a",)), "[page 1]\na"),
        (PdfText(pages=1, texts=("a",), is_cut=True), "\n\n[left out, too long: the rest of page 1]"),
        (PdfText(pages=3, texts=("a", "b")), "\n\n[left out, too long: 1 page]"),
        (
            PdfText(pages=9, texts=("a", "b"), is_cut=True),
            "\n\n[left out, too long: the rest of page 2 and 7 pages]",
        ),
    ],
)
def test_what_is_left_out_is_said(pdf: PdfText, ending: str) -> None:
    assert told(pdf)[0].endswith(ending)


@pytest.mark.parametrize(
    ("pdf", "why", "note"),
    [
        (PdfText(problem="missing"), "", "with the extra ccproxy-trio[pdf] installed"),
        (PdfText(problem="encrypted"), ", the PDF is encrypted", "it is encrypted"),
        (PdfText(problem="broken"), ", the PDF is damaged", "it is damaged"),
        (PdfText(problem="slow"), ", reading the PDF took too long", "took too long"),
        (PdfText(pages=2, texts=("", "")), ", the PDF has no text (a scan?)", "may be a scan"),
        (PdfText(pages=2, texts=("", None)), ", the PDF is damaged", "it is damaged"),
    ],
)
def test_a_pdf_without_text_is_a_note_that_says_why(pdf: PdfText, why: str, note: str) -> None:
    content, notes = told(pdf, document(title="T"))
    assert content == f"title: T\n[document PDF: not available here{why}]"
    assert len(notes) == 1
    assert note in notes[0]


def test_text_of_a_pdf_in_a_tool_result_is_part_of_that_result() -> None:
    target = Target(
        provider="a",
        model="m",
        dialect=dialect(),
        pdf_texts={DATA: PdfText(pages=1, texts=("One.",))},
    )
    asked = request(user("a"), assistant(call("t")), user(result("t", [text("read"), document()])))
    messages = msgspec.json.decode(encode(translate(asked, target).chat))["messages"]
    assert messages[-1] == {
        "role": "tool",
        "tool_call_id": "t",
        "content": "read\n[PDF as text, 1 page]\n\n[page 1]\nOne.",
    }


def test_a_provider_that_takes_files_gets_the_file() -> None:
    content, _ = told(PdfText(pages=1, texts=("One.",)), files=True)
    assert [part["type"] for part in content] == ["file"]
