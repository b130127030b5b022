"""Figures of several rounds, and the goals they are held against."""

import enum
import statistics
from collections.abc import Mapping, Sequence

from msgspec import Struct


class Rounds(Struct, frozen=True, kw_only=True):
    """One figure over the rounds it was measured in."""

    median: float
    low: float
    high: float


class Bound(enum.StrEnum):
    """On which side of its limit a figure should be."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


class Goal(Struct, frozen=True, kw_only=True):
    """A figure beside what it should be; in one run, on one machine."""

    what: str
    figure: float
    bound: Bound
    limit: float
    unit: str
    met: bool


def over_rounds(figures: Sequence[float]) -> Rounds:
    """The median of the rounds, the lowest and the highest."""
    return Rounds(median=statistics.median(figures), low=min(figures), high=max(figures))


def at_most(limit: float, what: str, *, figure: float, unit: str = "") -> Goal:
    """A goal that is met at or below its limit."""
    return Goal(what=what, figure=figure, bound=Bound.AT_MOST, limit=limit, unit=unit, met=figure <= limit)


def at_least(limit: float, what: str, *, figure: float, unit: str = "") -> Goal:
    """A goal that is met at or above its limit."""
    return Goal(what=what, figure=figure, bound=Bound.AT_LEAST, limit=limit, unit=unit, met=figure >= limit)


def with_goals(facts: Mapping[str, str], goals: Sequence[Goal]) -> Mapping[str, str]:
    """The facts under a table, with a sentence for each goal."""
    return dict(facts) | {f"GOAL {goal.what}": _sentence(goal) for goal in goals}


def short(figure: float) -> str:
    """A figure with no more digits than it is worth, for a narrow column."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def low_high(figure: Rounds) -> str:
    """The lowest and the highest round, for a narrow column."""
    return f"{short(figure.low)}-{short(figure.high)}"


def _sentence(goal: Goal) -> str:
    outcome = "met" if goal.met else "MISSED"
    return f"{goal.figure:.3g}{goal.unit} ({goal.bound} {goal.limit:g}{goal.unit}: {outcome})"
