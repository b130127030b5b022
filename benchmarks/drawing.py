"""Plots as small SVG files, the same each time: matplotlib without its state, its clock and its fonts."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.pictures import Bar, Bars, Lines, Picture, Plot, Series

# Okabe and Ito's, which colour-blind people can tell apart; the yellow is left out, it vanishes on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # for those who print in grey
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read, searched and translated
    "svg.hashsalt": "ccproxy-trio",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "savefig.facecolor": "white",  # also on a dark page: the text is dark
}


def drawn_as_svg(picture: Picture) -> bytes:
    """A picture of either kind."""
    match picture:
        case Lines(plot, series):
            return lines(plot, series)
        case Bars(plot, groups):
            return bars(plot, groups)
        case _:
            assert_never(picture)


def lines(plot: Plot, series: Sequence[Series]) -> bytes:
    """Lines over two logarithmic axes, as SVG. Each is a group with the id `series-N`."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _canvas(plot, height=4.2)
        for number, each in enumerate(series):
            (line,) = axes.plot(
                [x for x, _ in each.points],
                [y for _, y in each.points],
                color=PALETTE[number % len(PALETTE)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=5,
                label=each.label,
            )
            line.set_gid(f"series-{number}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(sorted({x for each in series for x, _ in each.points}))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.legend(frameon=False)
        return _svg(figure)


def bars(plot: Plot, rows: Mapping[str, Sequence[Bar]]) -> bytes:
    """Horizontal bars as SVG, one colour for each group, with the value written behind each."""
    labels = [bar.label for group in rows.values() for bar in group]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _canvas(plot, height=1.4 + 0.32 * len(labels))
        at, everywhere = 0, list[int]()
        for number, (name, group) in enumerate(rows.items()):
            places = range(at, at + len(group))
            colour = PALETTE[number % len(PALETTE)]
            drawn = axes.barh(places, [bar.value for bar in group], color=colour, label=name, height=0.7)
            for place, bar, patch in zip(places, group, drawn.patches, strict=True):
                patch.set_gid(f"bar-{place - number}")
                _annotate(axes, bar, place)
            everywhere += places
            at += len(group) + 1  # a gap between the groups
        axes.set_yticks(everywhere, labels)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        figure.legend(frameon=False, loc="outside lower right", ncols=2)
        return _svg(figure)


def _canvas(plot: Plot, *, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set_title(plot.title, loc="left", fontsize=11)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    return figure, axes


def _annotate(axes: Axes, bar: Bar, place: int) -> None:
    """The line to the value it goes up to, and the bar's own value behind both."""
    axes.plot([bar.value, bar.up_to], [place, place], color="#555555", linewidth=1)
    end = max(bar.value, bar.up_to, 0.0)
    axes.annotate(f"{bar.value:.1f}", (end, place), xytext=(4, 0), textcoords="offset points", va="center")


def _plain(value: float, _: int | None) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator"))  # they would differ from run to run, and between versions
    figure.savefig(buffer, format="svg", metadata=nothing)
    return b"\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + b"\n"
