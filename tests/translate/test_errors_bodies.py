"""Which words are taken out of an error body, whatever its shape."""

import json
from collections.abc import Callable

import pytest

from ccproxy_trio.translate.complaint import read, read_body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": {"message": None, "code": "c"}}, ""),
        ({"error": "m"}, "m"),
        ({"error": "m", "code": 5}, "m"),
        ({"message": "m"}, "m"),
        ({"error": {}, "message": "m"}, "m"),
        ({"detail": "m"}, "m"),
        (
            {"detail": [{"loc": ["body", "x", 0], "msg": "wrong"}, {"msg": "too"}, "three", 4]},
            "body.x.0: wrong; too; three",
        ),
        ({"detail": {"message": "m"}}, "m"),
        ({"errors": [{"message": "m"}, {"message": "n"}]}, "m"),
        ({"error": [{"message": "m"}]}, "m"),
        ([{"error": {"message": "m"}}], "m"),
        ([], ""),
        ("m", "m"),
        ({"message": {"detail": "m"}}, "m"),
        ({"msg": "m"}, "m"),
        ({"title": "m"}, "m"),
        ({"error_message": "m"}, "m"),
        ({"error": {"message": '{"error": {"message": "inner"}}'}}, "inner"),
        ({"error": {"message": 'BadRequest: {"error": {"message": "inner"}}'}}, "inner"),
        ({"error": {"message": 'Failed: [{"error": {"message": "inner"}}]'}}, "inner"),
        ({"error": {"message": "use {braces} or [brackets]"}}, "use {braces} or [brackets]"),
        ({"error": {"message": "an empty {}"}}, "an empty {}"),
        ({"error": {"message": "a", "metadata": {"raw": "b"}}}, "a: b"),
        ({"error": {"message": "a", "metadata": {"raw": {"error": {"message": "b"}}}}}, "a: b"),
        ({"error": {"message": "a", "metadata": {"raw": '{"message": "b"}'}}}, "a: b"),
        ({"error": {"message": "a", "metadata": {"raw": ""}}}, "a"),
        ({"error": {"message": "", "metadata": {"raw": "b"}}}, "b"),
        ({"error": {"message": "a", "metadata": {"provider": "x"}}}, "a"),
        ({"error": {"message": "a", "metadata": None}}, "a"),
        ({"error": {"message": "  padded  "}}, "padded"),
    ],
)
def test_the_message_is_found(body: object, message: str) -> None:
    assert read_body(json.dumps(body).encode()).message == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"  plain words \n", "plain words"),
        (b"x" * 500, "x" * 200),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"<html><head><title> 502 Bad\nGateway </title></head><body>nginx</body></html>", "502 Bad Gateway"),
        (b"<!DOCTYPE html><body><script>x()</script><h1>Blocked</h1> by us</body>", "Blocked by us"),
        (b'{"error": ', '{"error":'),
    ],
)
def test_what_is_no_json_is_quoted(body: bytes, message: str) -> None:
    assert read_body(body).message == message


def test_codes_are_collected_from_everywhere_in_lower_case() -> None:
    body = {
        "error": {
            "message": "m",
            "code": "A",
            "type": "B",
            "status": "C",
            "reason": "D",
            "innererror": {"code": "E"},
            "inner_error": {"code": "F"},
            "details": [{"reason": "G"}, {"other": 1}, 5],
            "metadata": {"reasons": ["x"], "raw": '{"error": {"code": "H", "type": 7}}'},
        }
    }
    assert read(body).codes == frozenset({"a", "b", "c", "d", "e", "f", "g", "h", "moderation"})
    assert read({"error": {"code": None, "type": None, "innererror": {"code": 5}}}).codes == frozenset()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "503"}, 503),
        ({"status": 400}, 400),
        ({"status_code": 500}, 500),
        ({"statusCode": 599}, 599),
        ({"code": "x", "status": 404}, 404),
        ({"code": 399}, None),
        ({"code": 600}, None),
        ({"code": "4290"}, None),
        ({"code": True, "status": 418}, 418),
        ({}, None),
    ],
)
def test_a_status_inside_the_body(fields: dict[str, object], status: int | None) -> None:
    assert read({"error": {"message": "m", **fields}}).status == status


def test_the_inner_complaint_is_nearer_to_the_cause() -> None:
    body = {
        "error": {
            "message": "router",
            "code": 400,
            "param": "outer",
            "metadata": {
                "raw": '{"error": {"message": "Try again in 2s", "code": 502, "param": "inner",'
                ' "n_prompt_tokens": 3, "n_ctx": 4}}'
            },
        }
    }
    complaint = read(body)
    assert (complaint.status, complaint.parameters) == (502, ("inner",))
    assert (complaint.prompt, complaint.limit, complaint.retry_after) == (3, 4, 2.0)


def test_what_the_inner_complaint_leaves_out_is_taken_from_the_outer() -> None:
    body = {
        "error": {"message": "x", "code": 400, "param": "p", "n_prompt_tokens": 5, "metadata": {"raw": "y"}}
    }
    complaint = read(body)
    assert (complaint.status, complaint.parameters, complaint.prompt) == (400, ("p",), 5)


def test_an_empty_parameter_is_none() -> None:
    assert read({"error": {"message": "m", "param": ""}}).parameters == ()


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: [inner], lambda inner: {"error": inner}, lambda inner: {"errors": [inner]}],
    ids=["list", "error", "errors"],
)
def test_wrapping_is_followed_only_so_deep(wrap: Callable[[object], object]) -> None:
    def wrapped(layers: int) -> object:
        document: object = {"message": "m"}
        for _ in range(layers):
            document = wrap(document)
        return document

    assert read(wrapped(7)).message == "m"
    assert read(wrapped(8)).message == ""


def test_routers_behind_routers_are_followed_only_so_deep() -> None:
    document: object = {"message": "m"}
    for _ in range(20):
        document = {"message": "r", "metadata": {"raw": document}}
    assert read(document).message == "r: r: r: r: r: r: r: r"


def test_an_array_before_an_object_in_a_message_is_the_json() -> None:
    assert read({"message": 'x [{"error": {"message": "inner"}}]'}).message == "inner"


def test_of_a_long_message_the_beginning_is_read() -> None:
    assert len(read({"error": "x" * 10_000}).message) == 4000


def test_bytes_are_read_as_a_body() -> None:
    assert read(b'{"error": "m"}').message == "m"


def test_a_time_named_in_plain_text_is_read() -> None:
    assert read_body(b"busy, try again in 5s").retry_after == 5.0
