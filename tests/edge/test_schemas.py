"""What the proxy remembers of tools between the requests of a session."""

import json

import pytest
import trio.testing
from msgspec import Raw

from ccproxy_trio.translate import schema
from tests.edge.virtual import Client, FakeUpstream, hello, settings_for, virtual_house

Clock = trio.testing.MockClock


async def test_tools_of_a_session_are_rewritten_for_its_first_request_only(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten: list[str] = []
    rewrite = schema.parameters

    def noted(asked: Raw, kind: schema.Kind, where: str) -> Raw:
        rewritten.append(where)
        return rewrite(asked, kind, where)

    monkeypatch.setattr(schema, "parameters", noted)
    tools = [
        {"name": name, "input_schema": {"type": "object", "properties": {name: {}}, "$schema": "x"}}
        for name in ("Read", "Write")
    ]
    upstream = FakeUpstream(hello)
    async with virtual_house(settings_for("a"), a=upstream) as house:
        for _ in range(3):
            client = Client(house.connect())
            await client.post({"tools": tools})
            assert await client.head() == 200
            await client.body()
    assert rewritten == ["tools.Read.input_schema", "tools.Write.input_schema"]
    sent = [json.loads(body)["tools"] for body in upstream.received]
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]
    assert sent[0][0]["function"]["parameters"] == {"type": "object", "properties": {"Read": {}}}
