"""What plots show, whoever draws them: lines or bars, their data and what is around it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Series(Struct, frozen=True, kw_only=True):
    """One line: points by rising x."""

    label: str
    points: tuple[tuple[float, float], ...]


class Bar(Struct, frozen=True, kw_only=True):
    """One bar: its value, and how far the thin line goes on from there."""

    label: str
    value: float
    up_to: float


class Plot(Struct, frozen=True, kw_only=True):
    """What is around the data. Axis names carry their units."""

    title: str
    x: str
    y: str = ""


class Lines(Struct, frozen=True):
    """Lines over two logarithmic axes."""

    plot: Plot
    series: Sequence[Series]


class Bars(Struct, frozen=True):
    """Horizontal bars in groups, by the groups' names."""

    plot: Plot
    groups: Mapping[str, Sequence[Bar]]


Picture = Lines | Bars
