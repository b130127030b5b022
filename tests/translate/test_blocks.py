import base64
from typing import Any

import pytest

from ccproxy_trio.translate.request import needs
from ccproxy_trio.wire.faults import RequestRefused
from tests.translate.asking import assistant, call, request, result, said, text, translated, user

PDF = base64.b64encode(b"%PDF-1.4").decode()


def told(*blocks: Any, **options: Any) -> Any:
    """What blocks of a user become."""
    return said(user(*blocks), **options)[0]["content"]


def answered(content: Any, **options: Any) -> Any:
    """What a tool result becomes."""
    return said(user("a"), assistant(call("t")), user(result("t", content)), **options)[2]["content"]


def recalled(*blocks: Any, **options: Any) -> Any:
    """What blocks of an assistant become."""
    return said(user("a"), assistant(*blocks), **options)[1]["content"]


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source}


@pytest.mark.parametrize("data", ["", "a", "@@@@", "ab c", "é===", "abc=\n"])
def test_image_that_is_not_base64_is_refused_in_words_that_make_claude_code_drop_images(data: str) -> None:
    with pytest.raises(RequestRefused, match=r"messages\.0\.content\.0\.source: Could not process image"):
        told(image(type="base64", media_type="image/png", data=data))


def test_image_of_a_strange_media_type_is_refused() -> None:
    with pytest.raises(RequestRefused, match="Could not process image"):
        told(image(type="base64", media_type="text/html;base64,x", data="aaaa"))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "data:image/png;base64,x", "http://a b"])
def test_image_url_other_than_http_is_refused(url: str) -> None:
    with pytest.raises(RequestRefused, match="Could not process image"):
        told(image(type="url", url=url))


def test_image_url_is_passed_on_and_never_fetched() -> None:
    url = "http://169.254.169.254/latest"
    assert told(image(type="url", url=url)) == [{"type": "image_url", "image_url": {"url": url}}]


def test_images_become_notes_where_nobody_can_see() -> None:
    seen = told("look", image(type="base64", media_type="image/png", data="aaaa"), vision=False)
    assert seen == "look\n\n[image/png: not shown, this model cannot see images]"
    assert "image: not shown" in told(image(type="url", url="https://x/y"), vision=False)


def test_invalid_image_is_refused_even_where_nobody_can_see() -> None:
    with pytest.raises(RequestRefused):
        told(image(type="base64", media_type="image/png", data="?"), vision=False)


def test_needs_vision_wherever_an_image_hides() -> None:
    picture = image(type="url", url="https://x/y")
    assert needs(request(user("a"))) == frozenset()
    assert (
        needs(request(user("a", text("b"), result("t", "x"), document(type="text", data="x")))) == frozenset()
    )
    assert needs(request(user(picture))) == {"vision"}
    assert needs(request(user("a"), assistant(call("t")), user(result("t", [text("x"), picture])))) == {
        "vision"
    }
    assert needs(request(user(document(type="content", content=[picture])))) == {"vision"}


def test_pdf_is_a_file_part_where_files_are_taken() -> None:
    pdf = document(type="base64", media_type="application/pdf", data=PDF)
    assert told(pdf, files=True) == [
        {
            "type": "file",
            "file": {"filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        }
    ]
    assert told(pdf) == "[document PDF: not available here]"


@pytest.mark.parametrize("source", [("text/plain", PDF), ("application/pdf", "?")])
def test_document_that_is_no_pdf_is_refused(source: tuple[str, str]) -> None:
    with pytest.raises(RequestRefused, match="Could not process PDF"):
        told(document(type="base64", media_type=source[0], data=source[1]))


def test_documents_become_text_with_title_and_context() -> None:
    assert (
        told({**document(type="text", data="B"), "title": "T", "context": "C"}) == "title: T\ncontext: C\nB"
    )
    assert told({**document(type="content", content="B"), "title": "T"}) == "title: T\nB"
    assert told({**document(type="content", content=[text("B")]), "title": "T"}) == "title: T\n\nB"
    assert told(document(type="content", content=[text("A"), text("B")])) == "A\n\nB"


def test_documents_out_of_reach_become_notes_and_the_operator_hears_of_it() -> None:
    assert (
        told(document(type="url", url="https://x/a.pdf")) == "[document https://x/a.pdf: not available here]"
    )
    assert told(document(type="file", file_id="f1")) == "[document f1: not available here]"
    notes = translated(
        request(user(document(type="file", file_id="f1"), document(type="file", file_id="f2")))
    ).notes
    assert notes == ("a document was left out: this provider cannot read it",)


def test_tool_result_lists_are_lines() -> None:
    hit = {"type": "search_result", "source": "https://s", "title": "Hit", "content": [text("x")]}
    items = [text("a"), text(""), text("b "), hit, {"type": "tool_reference", "tool_name": "Grep"}]
    assert answered(items) == "a\n\nb \nHit\nhttps://s\nx\n[tool now available: Grep]"


def test_browser_state_is_json_text() -> None:
    state = {"type": "browser_state", "tabs": [{"tab_id": "1", "title": "t", "url": "u"}]}
    assert answered([state]) == '{"type":"browser_state","tabs":[{"tab_id":"1","title":"t","url":"u"}]}'


def test_failed_result_says_so_even_without_text() -> None:
    messages = said(user("a"), assistant(call("t")), user(result("t", "", is_error=True)))
    assert messages[2]["content"] == "[tool error] "


def test_container_upload_is_refused() -> None:
    with pytest.raises(RequestRefused, match=r"messages\.0\.content\.0\.type: container_upload"):
        told({"type": "container_upload", "file_id": "f"})


def test_summary_of_a_compaction_is_text() -> None:
    assert told({"type": "compaction", "content": "so far"}, "go on") == "so far\n\ngo on"
    assert told({"type": "compaction"}, "go on") == "go on"
    assert recalled({"type": "compaction", "content": "so far"}) == "so far"
    with pytest.raises(RequestRefused, match="only Anthropic can read this summary"):
        told({"type": "compaction", "encrypted_content": "x"})


@pytest.mark.parametrize("place", ["user", "assistant", "system", "result"])
def test_unknown_block_is_refused_by_path_unless_lenient(place: str) -> None:
    strange = {"type": "hologram", "n": 1}
    conversation = {
        "user": [user(strange)],
        "assistant": [user("a"), assistant(strange)],
        "system": [user("a"), {"role": "system", "content": [strange]}],
        "result": [user("a"), assistant(call("t")), user(result("t", [strange]))],
    }[place]
    with pytest.raises(
        RequestRefused, match=r"messages\.\d\.content\.0.*\.type: unknown content block type 'hologram'"
    ):
        said(*conversation)
    assert '"hologram"' in str(said(*conversation, lenient=True)[-1]["content"])


def test_tools_that_anthropic_ran_become_words() -> None:
    words = recalled(
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s1",
            "content": [
                {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "SECRET"}
            ],
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s2",
            "content": {"type": "e", "error_code": "unavailable"},
        },
        {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "srv", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m", "content": "plain"},
        {
            "type": "bash_code_execution_tool_result",
            "tool_use_id": "b",
            "content": {"type": "r", "stdout": "out", "stderr": "err", "return_code": 1, "content": []},
        },
        {
            "type": "tool_search_tool_result",
            "tool_use_id": "x",
            "content": {"type": "r", "tool_references": [{"type": "tool_reference", "tool_name": "Grep"}, 5]},
        },
        {"type": "mcp_tool_listing", "mcp_server_name": "srv", "tools": []},
        {"type": "fallback", "from": {}, "to": {}},
        {"type": "image", "source": {"type": "url", "url": "https://x"}},
        {"type": "document", "source": {"type": "text", "data": "x"}},
    )
    assert words.split("\n\n") == [
        '[used web_search: {"query":"q"}]',
        "t\nu",
        "unavailable",
        "[used n of srv: {}]",
        "plain",
        "out\nerr",
        "Grep",
        "[image]",
        "x",
    ]


def test_result_of_a_server_tool_that_is_nested_without_end_is_cut_off() -> None:
    deep: Any = "core"
    for _ in range(20):
        deep = {"content": [deep]}
    assert recalled("x", {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": deep}) == "x"


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"b": 1, "a": "é"}, '{"b":1,"a":"é"}'),
        ({}, "{}"),
        (None, "{}"),
        ("half {", '{"value":"half {"}'),
        ([1, 2], '{"value":[1,2]}'),
    ],
)
def test_arguments_are_always_an_object_in_compact_json(given: Any, arguments: str) -> None:
    (made,) = said(user("a"), assistant({"type": "tool_use", "id": "t", "name": "n", "input": given}))[1][
        "tool_calls"
    ]
    assert made["function"]["arguments"] == arguments
