import pytest
from msgspec import Raw

from ccproxy_trio.wire.chunks import (
    FunctionPiece,
    TokenDetails,
    complains,
    decode_chunk,
    decode_counts,
    decode_details,
    present,
)
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"5",
        b'"x"',
        b"[]",
        b"[5]",
        b"{",
        b"{} x",
        b"<html>",
        b'{"choices":5}',
        b'{"choices":[{"delta":{"content":5}}]}',
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"other":"\xff"}',
        b'{"logprobs":NaN}',
        b'{"other":' + b"[" * 100_000,
        b"[" * 100_000,
    ],
)
def test_what_is_no_chunk_is_a_protocol_fault(payload: bytes) -> None:
    with pytest.raises(UpstreamFault) as caught:
        decode_chunk(payload)
    assert caught.value.kind is FaultKind.PROTOCOL


def test_fields_that_servers_disagree_about_take_any_value() -> None:
    for value in (b"null", b'"x"', b"5", b"1.5", b"true", b"[1]", b'{"a":1}'):
        chunk = decode_chunk(
            b'{"object":%b,"choices":[{"finish_reason":%b,"stop_reason":%b,"delta":{"reasoning":%b,'
            b'"tool_calls":[{"function":{"arguments":%b}}]}}]}' % ((value,) * 5)
        )
        assert chunk.choices is not None


def test_of_a_list_the_first_counts() -> None:
    assert present(decode_chunk(b'[{"error":{"message":"bad"}},{}]').error)


@pytest.mark.parametrize("nothing", [b"", b"null", b"{}", b"[]", b'""', b"false"])
def test_a_field_with_nothing_in_it_is_not_present(nothing: bytes) -> None:
    assert not present(Raw(nothing))


def test_counts_of_another_shape_are_none() -> None:
    for usage in (b"5", b'"x"', b"[" * 100_000):
        assert decode_counts(Raw(usage)) is None
    for details in (b"", b"5", b"[]", b"[" * 100_000):
        assert decode_details(Raw(details)) == TokenDetails()


@pytest.mark.parametrize("blank", [b"null", b"{}", b'{"message":"","code":null,"param":[]}'])
def test_an_error_full_of_blanks_is_none(blank: bytes) -> None:
    assert not complains(Raw(blank))


@pytest.mark.parametrize("error", [b"5", b'"x"', b'{"code":0}', b'{"message":"","code":500}', b"[" * 100_000])
def test_an_error_of_any_shape_is_one(error: bytes) -> None:
    assert complains(Raw(error))


def test_half_a_character_costs_no_more_than_itself() -> None:
    written = rb"\ud83d \ud83d\ude00 \ude00 \\ud83d"
    chunk = decode_chunk(b'{"choices":[{"delta":{"content":"%b"}}]}' % written)
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    assert chunk.choices[0].delta.content == "\ufffd 😀 \ufffd \\ud83d"


def test_arguments_are_what_was_written() -> None:
    big = b"9" * 5000
    for written in (b'{"a": 1, "a": 2}', big, b"1e400", b"[1.0]", b"null", b'"{}"'):
        payload = b'{"choices":[{"delta":{"function_call":{"arguments":%b}}}]}' % written
        chunk = decode_chunk(payload)
        assert chunk.choices is not None
        assert chunk.choices[0].delta is not None
        assert chunk.choices[0].delta.function_call == FunctionPiece(arguments=Raw(written))
