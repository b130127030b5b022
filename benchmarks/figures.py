"""Figures of several rounds."""

import enum
import statistics
from collections.abc import Sequence

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


def over_rounds(figures: Sequence[float]) -> Rounds:
    """The median of the rounds, the lowest and the highest."""
    return Rounds(median=statistics.median(figures), low=min(figures), high=max(figures))


def short(figure: float) -> str:
    """A figure with no more digits than it is worth, for a narrow column."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def low_high(figure: Rounds) -> str:
    """The lowest and the highest round, for a narrow column."""
    return f"{short(figure.low)}-{short(figure.high)}"
