"""Probes: their rhythm, their limit, and when they are left out. In virtual time."""

import trio
import trio.testing

from ccproxy_trio.actors.probe import ProbeSchedule, keep_probing
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.journal import Entry

Clock = trio.testing.MockClock
OK = ProbeResult(verdict=ProbeVerdict.OK, seconds=0.0)


class Watchman:
    """Notes when a probe was asked and what was told."""

    def __init__(self, *, draw: float, last_success: float | None = None) -> None:
        self.asked: list[float] = []
        self.told: list[ProbeResult] = []
        self.journal: list[Entry] = []
        self.last_success = last_success
        self.hangs = False
        self._draw = draw
        self._started_at = trio.current_time()

    def schedule(self, interval: float) -> ProbeSchedule:
        return ProbeSchedule(
            name="alpha",
            interval=interval,
            draw=lambda: self._draw,
            wall=self.now,
            last_success=lambda: self.last_success,
            journal=self.journal.append,
        )

    def now(self) -> float:
        return trio.current_time() - self._started_at

    async def ask(self) -> ProbeResult:
        self.asked.append(self.now())
        if self.hangs:
            await trio.sleep_forever()
        return OK

    async def watch(self, *, interval: float, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await keep_probing(self.ask, self.schedule(interval), tell=self.told.append)


async def test_a_probe_comes_every_interval_give_or_take_a_tenth(autojump_clock: Clock) -> None:
    early, late = Watchman(draw=0.0), Watchman(draw=0.5)
    await early.watch(interval=100, seconds=280)
    assert [round(at) for at in early.asked] == [0, 90, 180, 270]
    late = Watchman(draw=0.5)
    await late.watch(interval=100, seconds=280)
    assert [round(at) for at in late.asked] == [50, 150, 250]


async def test_a_provider_at_work_is_not_asked(autojump_clock: Clock) -> None:
    watchman = Watchman(draw=0.0, last_success=95.0)
    await watchman.watch(interval=100, seconds=280)
    assert [round(at) for at in watchman.asked] == [270]


async def test_a_probe_that_hangs_fails_after_ten_seconds_and_the_next_one_comes(
    autojump_clock: Clock,
) -> None:
    watchman = Watchman(draw=0.0)
    watchman.hangs = True
    await watchman.watch(interval=100, seconds=115)
    assert [result.verdict for result in watchman.told] == [ProbeVerdict.FAIL, ProbeVerdict.FAIL]
    assert [round(at) for at in watchman.asked] == [0, 100]


async def test_each_probe_is_told_and_written_down(autojump_clock: Clock) -> None:
    watchman = Watchman(draw=0.0)
    await watchman.watch(interval=100, seconds=95)
    assert watchman.told == [OK, OK]
    assert len(watchman.journal) == 2
