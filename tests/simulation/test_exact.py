"""The same options, the same bytes: in one process, in another, whatever Python's hashes are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from trio._core import _run

from ccproxy_trio.simulation.exact import EPOCH, repeatable_scheduling, seeded_world
from tests.simulation.rehearsing import BREAKER, rehearsed, settings_of, simulate, written

# One provider away, and a crowd that waits for it: who goes first at an instant is who makes the one forced
# attempt of that second. Without the seed no two runs of this are alike.
CROWD = ("--outage", "a=20s@4s", "--sessions", "6", "--every", "3s", "--for", "30s")


def _in_a_process(*arguments: str, hashes: str) -> bytes:
    command = [sys.executable, "-m", "ccproxy_trio", "simulate", *arguments]
    environ = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": hashes, "NO_COLOR": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, timeout=120)
    assert done.stderr == b""
    assert done.returncode in (0, 1)
    return done.stdout


@pytest.mark.process
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_two_processes_print_the_same_bytes(form: list[str], tmp_path: Path) -> None:
    config = written(tmp_path, "a")
    arguments = ("--config", config, *CROWD, "--seed", "7", *form)
    first, second = (_in_a_process(*arguments, hashes=hashes) for hashes in ("1", "2"))
    assert first == second
    assert len(first) > 1000


def test_a_repetition_in_one_process_prints_the_same(tmp_path: Path) -> None:
    config = written(tmp_path, "a")
    outputs = [simulate("--config", config, *CROWD, "--json").stdout for _ in range(2)]
    assert len(set(outputs)) == 1


def test_the_seed_decides_what_chance_does(tmp_path: Path) -> None:
    config = written(tmp_path, "a")
    outputs = {simulate("--config", config, *CROWD, "--seed", str(seed)).stdout for seed in range(2)}
    assert len(outputs) == 2


def test_chance_that_is_not_used_changes_nothing() -> None:
    settings = settings_of("a", "b", breaker=BREAKER)
    paths = [rehearsed(settings, "a=10s@3s", lasts=30.0, seed=seed).visits for seed in range(3)]
    assert paths[0] == paths[1] == paths[2]


async def _order() -> list[int]:
    """The order in which tasks go on that have waited for one deadline."""
    order: list[int] = []

    async def wait(number: int) -> None:
        with trio.move_on_at(trio.current_time() + 0.001):
            await trio.sleep_forever()
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(wait, number)
    return order


def test_tasks_that_are_ready_at_one_instant_take_turns_by_the_seed() -> None:
    orders = []
    for seed in (1, 1, 2):
        with repeatable_scheduling(seed):
            clock = trio.testing.MockClock(autojump_threshold=0)
            orders.append(trio.run(_order, clock=clock))
    assert orders[0] == orders[1] != orders[2]


def test_trio_is_left_as_it_was() -> None:
    state, was_on = _run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING

    def fail() -> None:
        with repeatable_scheduling(3):
            assert _run._r.getstate() != state
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _run._r.getstate() == state
    assert _run._ALLOW_DETERMINISTIC_SCHEDULING is was_on


async def test_the_world_follows_from_the_seed_and_its_clock_from_trios(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, same, other = seeded_world(1), seeded_world(1), seeded_world(2)
    assert [one.draw(), one.seed(), one.mint()] == [same.draw(), same.seed(), same.mint()]
    assert one.mint() == same.mint() != other.mint()
    assert len(one.mint()) == 24
    before = one.wall()
    await trio.sleep(90)
    assert (before, one.wall()) == (EPOCH, EPOCH + 90)
