"""The request of a probe that asks for as little as there is."""

import msgspec
import pytest

from ccproxy_trio.translate.probe import probe_body, probe_request
from ccproxy_trio.wire.openai import encode
from tests.translate.asking import dialect


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_one_token_is_asked_for_in_the_field_that_the_dialect_knows(field: str) -> None:
    asked = msgspec.json.decode(encode(probe_request("m", dialect(max_tokens_field=field))))
    assert asked["model"] == "m"
    assert asked[field] == 1
    assert not {"max_tokens", "max_completion_tokens"} - {field} & asked.keys()


def test_each_wire_is_asked_in_its_own_words() -> None:
    chat, responses, native = (
        msgspec.json.decode(probe_body("m", dialect(wire=wire)))
        for wire in ("chat", "responses", "anthropic")
    )
    said = [{"role": "user", "content": "ping"}]
    assert chat == {"model": "m", "messages": said, "max_tokens": 1}
    assert responses == {"model": "m", "input": "ping", "max_output_tokens": 16, "store": False}
    assert native == {"model": "m", "messages": said, "max_tokens": 1}
