"""The request of a probe that asks for one token."""

import msgspec
import pytest

from ccproxy_trio.translate.probe import probe_request
from ccproxy_trio.wire.openai import encode
from tests.translate.asking import dialect


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_one_token_is_asked_for_in_the_field_that_the_dialect_knows(field: str) -> None:
    asked = msgspec.json.decode(encode(probe_request("m", dialect(max_tokens_field=field))))
    assert asked["model"] == "m"
    assert asked[field] == 1
    assert not {"max_tokens", "max_completion_tokens"} - {field} & asked.keys()
