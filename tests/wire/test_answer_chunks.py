import pytest
from msgspec import Raw

from ccproxy_trio.wire.chunks import decode_chunk, decode_counts, present
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
    for usage in (b"5", b'"x"', b"[" * 100_000, b'{"prompt_tokens_details":5}'):
        assert decode_counts(Raw(usage)) is None
