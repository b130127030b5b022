"""Rows whose provider fails before it has said anything: the next one answers, and the time is bounded."""

from collections.abc import Sequence
from typing import Any

import trio

from tests.conftest import Providers
from tests.faults.conftest import StartProxy
from tests.faults.watching import hear, tells
from tests.support.chunks import says
from tests.support.proxy import Proxy
from tests.support.scripted import Reply, ScriptedProvider
from tests.support.told import Wire

SLACK = 0.8  # seconds that a busy machine may add to any time


class Pair:
    """A proxy over two providers, the first of which fails; both streamed and whole answers are asked for.

    `ways` is how they are asked for: where each costs a time limit, one of them will do on a further wire.
    """

    def __init__(self, proxy: Proxy, first: ScriptedProvider, second: ScriptedProvider) -> None:
        self.ways: Sequence[bool] = (True, False)
        self.proxy = proxy
        self.first = first
        self.second = second
        self._counted = 0

    async def falls_over(
        self, error: str, *, after: float = 0.0, failures: int = 1, status: str = "healthy"
    ) -> None:
        """The second answers, `after` so many seconds and not much later; the first is held this against."""
        for streamed in self.ways:
            began_at = trio.current_time()
            assert await hear(self.proxy, streamed=streamed) == "from second"
            took = trio.current_time() - began_at
            assert after <= took < after + SLACK, took
            self._counted += failures
            await tells(
                self.proxy,
                self.first.name,
                status=status,
                failure_count=self._counted,
                last_error_type=error,
                opens=0,
            )


def ways(wire: Wire) -> Sequence[bool]:
    """Streamed and whole on the first wire, streamed on the others: what each of them waits for adds up."""
    return (True, False) if wire == "chat" else (True,)


async def pair_of(
    providers: Providers,
    start_proxy: StartProxy,
    *,
    first: dict[str, Any] | None = None,
    wire: Wire = "chat",
    **settings: Any,
) -> Pair:
    """`first` are changes of the first provider's entry, `wire` what it speaks; the second speaks Chat."""
    failing, second = providers.start("first", wire=wire), providers.start("second")
    second.plays(says("from ", "second"))
    settings.setdefault("circuit_breaker", {"failure_threshold": 100, "minimum_requests": 0})
    settings.setdefault("retry_budget", {"min_per_s": 100})
    return Pair(await start_proxy(failing.entry(**first or {}), second, **settings), failing, second)


async def each_falls_over(pair: Pair, error: str, *replies: Reply, after: float = 0.0) -> None:
    """`falls_over` for each way to answer."""
    for reply in replies:
        pair.first.plays(reply)
        await pair.falls_over(error, after=after)
