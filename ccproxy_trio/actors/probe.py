"""Asks a provider's cheapest endpoint whether it is there, on a schedule, and reports what it found."""

from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from ccproxy_trio.health.lateness import was_late
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.journal import Journal, Probed

PROBE_LIMIT = 10.0  # seconds


class ProbeSchedule(Struct, frozen=True, kw_only=True):
    """When to ask. `interval` in seconds, each wait varied by ±10 % so that providers drift apart.

    `draw` gives a number in [0, 1); `last_success` the epoch second of the provider's last real success.
    """

    name: str
    interval: float
    draw: Callable[[], float]
    wall: Callable[[], float]
    last_success: Callable[[], float | None]
    journal: Journal


async def keep_probing(
    ask: Callable[[], Awaitable[ProbeResult]],
    schedule: ProbeSchedule,
    *,
    tell: Callable[[ProbeResult], None],
) -> None:
    """Probe for ever. The first probe comes after a random part of the interval, so a fleet does not march.

    A provider whose real traffic succeeded within the interval is not asked: its quota is not ours to spend.
    """
    await trio.sleep(schedule.interval * schedule.draw())
    while True:
        if not _busy_and_well(schedule):
            result = await _probe_within_limit(ask)
            if result is not None:
                schedule.journal(_entry(schedule.name, result))
                tell(result)
        await trio.sleep(schedule.interval * (0.9 + 0.2 * schedule.draw()))


def _entry(name: str, result: ProbeResult) -> Probed:
    return Probed(provider=name, result=str(result.verdict), detail=result.detail, seconds=result.seconds)


def _busy_and_well(schedule: ProbeSchedule) -> bool:
    last = schedule.last_success()
    return last is not None and schedule.wall() - last < schedule.interval


async def _probe_within_limit(ask: Callable[[], Awaitable[ProbeResult]]) -> ProbeResult | None:
    """None: nothing was learned, since this process did not run in between."""
    due_at = trio.current_time() + PROBE_LIMIT
    result = ProbeResult(verdict=ProbeVerdict.FAIL, detail="no answer in time", seconds=PROBE_LIMIT)
    with trio.move_on_at(due_at):
        result = await ask()
    late = was_late(due_at, trio.current_time())
    return None if late and result.verdict is ProbeVerdict.FAIL else result
