"""What makes a rehearsal exact to repeat: seeded chance, a clock of its own, and Trio's scheduler in hand."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import trio
from trio._core import _run

from ccproxy_trio.fleet import World

EPOCH = 1_767_225_600.0  # the wall clock's first instant: 2026-01-01, midnight UTC


def seeded_world(seed: int) -> World:
    """A wall clock that goes with Trio's, and chance that follows from `seed`.

    Each use has a source of its own, so that one more id does not change when a breaker tries again.
    """
    ids = random.Random(f"ids {seed}")  # noqa: S311 - nothing here is secret, and all of it is to be repeated
    return World(
        wall=lambda: EPOCH + trio.current_time(),
        draw=random.Random(f"draws {seed}").random,  # noqa: S311 - as above
        seed=partial(random.Random(f"seeds {seed}").getrandbits, 32),  # noqa: S311 - as above
        mint=lambda: f"{ids.getrandbits(96):024x}",
    )


@contextmanager
def repeatable_scheduling(seed: int) -> Iterator[None]:
    """Make Trio run its tasks in an order that follows from `seed`, in any process.

    Who goes first at one instant decides real questions: which of ten waiting requests becomes the trial.
    Trio shuffles the tasks that are ready at the same moment with a random source of its own, and those that
    wait for the same deadline come in the order of memory addresses. Hypothesis has the same trouble, so Trio
    has a switch for it: tasks are sorted by age, then shuffled by a source that can be seeded. The switch has
    no public name. Should it go away, these lines fail, and the tests with them; a rehearsal that differs
    from its repetition without a word would be worse.
    """
    was_on, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _switch(on=True)
    _run._r.seed(seed)
    try:
        yield
    finally:
        _switch(on=was_on)
        _run._r.setstate(state)


def _switch(*, on: bool) -> None:
    _run._ALLOW_DETERMINISTIC_SCHEDULING = on  # type: ignore[misc]  # final for all but Hypothesis and us
