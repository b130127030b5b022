"""The lifespan under a server that does not run Trio says what to do."""

import asyncio
from typing import Any

import pytest
from hypercorn.utils import LifespanFailureError

from ccproxy_trio.app import assemble
from ccproxy_trio.edge.application import Lifespan
from tests.edge.virtual import settings_for


def test_a_server_on_asyncio_is_told_to_run_trio() -> None:
    async def nothing(*_: Any) -> Any:
        raise AssertionError("never asked")

    app = assemble(settings_for("a"), journal=lambda _: None)
    lifespan = Lifespan(app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}})  # type: ignore[typeddict-item]
    with pytest.raises(LifespanFailureError, match="-k trio"):
        asyncio.run(lifespan(nothing, nothing))
