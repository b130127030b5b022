"""What is to be reached, and whether it is.

A goal bounds a figure, by itself or against the peers' figures of the same run. Where nothing was measured,
nothing is met.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

from benchmarks.figures import Bound


class Goal(Struct, frozen=True, kw_only=True):
    """One bound. `key` names it in the file of reasons.

    `limit` is in the figure's own unit; `of_best` and `of_litellm` are factors on the best translating peer's
    figure and on LiteLLM's. All that are given must hold.
    """

    key: str
    what: str
    unit: str
    bound: Bound = Bound.AT_MOST
    limit: float | None = None
    of_best: Fraction | None = None
    of_litellm: Fraction | None = None

    def told(self) -> str:
        """The bound in words."""
        limits = [
            f"{factor} {whose}"
            for factor, whose in (
                (self.of_best and _times(self.of_best), "of the best peer"),
                (self.of_litellm and _times(self.of_litellm), "of LiteLLM"),
            )
            if factor
        ]
        if self.limit is not None:
            limits.append(amount(self.limit, self.unit))
        return f"{self.bound} {', '.join(limits)}"


class Found(Struct, frozen=True, kw_only=True):
    """A goal's figure, and the peers' of the same run where there are any. None: not measured.

    `remark` goes behind our figure.
    """

    ours: float | None = None
    best: float | None = None
    best_name: str = ""
    litellm: float | None = None
    remark: str = ""


class Judged(Struct, frozen=True, kw_only=True):
    """A goal with its figure. `is_met`: all its bounds are known to hold."""

    goal: Goal
    found: Found
    is_met: bool


GOALS = (
    Goal(
        key="added-p50",
        what="time added, median, 76 kB, no stream, one at a time",
        unit="ms",
        of_best=Fraction(1, 3),
        of_litellm=Fraction(1, 12),
    ),
    Goal(
        key="requests-a-second",
        what="requests a second, 16 at a time",
        unit="",
        bound=Bound.AT_LEAST,
        of_best=Fraction(3),
        of_litellm=Fraction(12),
    ),
    Goal(
        key="bursts-a-second",
        what="bursts of 100 chunks a second, 16 at a time",
        unit="",
        bound=Bound.AT_LEAST,
        of_best=Fraction(8),
        of_litellm=Fraction(30),
    ),
    Goal(
        key="cpu-a-chunk",
        what="CPU a relayed chunk, 64 streams of 100 chunks a second",
        unit="µs",
        of_best=Fraction(1, 3),
        of_litellm=Fraction(1, 10),
    ),
    Goal(
        key="first-content",
        what="time added to the first content of a stream",
        unit="ms",
        of_best=Fraction(1, 3),
    ),
    Goal(
        key="fallback-500",
        what="time added when the first provider answers 500",
        unit="ms",
        of_litellm=Fraction(1, 10),
    ),
    Goal(
        key="fallback-429",
        what="time added when it answers 429",
        unit="ms",
        of_litellm=Fraction(1, 10),
    ),
    Goal(
        key="fallback-refused",
        what="time added when it refuses connections",
        unit="ms",
        of_litellm=Fraction(1, 10),
    ),
    Goal(
        key="fallback-hang",
        what="time added beyond the deadline when it hangs",
        unit="ms",
        limit=10,
    ),
    Goal(
        key="floor",
        what="CPU a request, no stream, against the floor of Quart-Trio and h11",
        unit="times",
        limit=1.5,
    ),
    Goal(key="instructions-request", what="instructions a request", unit="M", limit=8),
    Goal(key="instructions-burst", what="instructions a burst of 100 chunks", unit="M", limit=15),
    Goal(key="memory-idle", what="memory, idle", unit="MB", limit=60),
    Goal(key="memory-stream", what="memory for each stream that is held", unit="MB", limit=0.25),
    Goal(
        key="memory-after",
        what="memory after 1,000 streams have gone, against before",
        unit="times",
        limit=1.2,
    ),
    Goal(key="start", what="start to first answer", unit="s", limit=1),
    Goal(
        key="linear-history",
        what="CPU a kB: in a history of 10 MB, against one of 1 MB",
        unit="times",
        limit=1.3,
    ),
    Goal(
        key="linear-tools",
        what="CPU a tool: among 200, against among 24",
        unit="times",
        limit=1.3,
    ),
    Goal(
        key="workers",
        what="requests a second of two workers against one",
        unit="times",
        bound=Bound.AT_LEAST,
        limit=1.8,
    ),
)


def judge(goals: Sequence[Goal], found: Mapping[str, Found]) -> list[Judged]:
    """Every goal with its figure, in order."""
    return [_judged(goal, found.get(goal.key, Found())) for goal in goals]


def under(facts: Mapping[str, str], found: Mapping[str, Found]) -> Mapping[str, str]:
    """The facts under a benchmark's table, with a sentence for each goal that it has a figure for."""
    judged = judge([goal for goal in GOALS if goal.key in found], found)
    return dict(facts) | {f"GOAL {each.goal.what}": _sentence(each) for each in judged}


def _sentence(judged: Judged) -> str:
    figure = amount(judged.found.ours, judged.goal.unit)
    remark = f", {judged.found.remark}" if judged.found.remark else ""
    return f"{figure} ({judged.goal.told()}: {'met' if judged.is_met else 'MISSED'}{remark})"


def _judged(goal: Goal, found: Found) -> Judged:
    limits: list[float | None] = [goal.limit] if goal.limit is not None else []
    limits += [_share(goal.of_best, found.best)] if goal.of_best else []
    limits += [_share(goal.of_litellm, found.litellm)] if goal.of_litellm else []
    return Judged(goal=goal, found=found, is_met=all(_holds(goal, found.ours, limit) for limit in limits))


def _share(factor: Fraction, of: float | None) -> float | None:
    return None if of is None else float(factor) * of


def _holds(goal: Goal, ours: float | None, limit: float | None) -> bool:
    """Whether the bound is known to hold: what was not measured is not met."""
    if ours is None or limit is None:
        return False
    return ours <= limit if goal.bound is Bound.AT_MOST else ours >= limit


def _times(factor: Fraction) -> str:
    return f"{factor.numerator} times that" if factor.denominator == 1 else str(factor)


def amount(value: float | None, unit: str) -> str:
    """A figure with its unit and three digits that count; a dash where there is none."""
    if value is None:
        return "–"
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip()
