"""The plots are small, valid, the same each time, and show every figure they should."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import plots
from benchmarks.drawing import bars, lines
from benchmarks.fallback_cases import ALONE, HANGS, HEALTHY
from benchmarks.pictures import Bar, Plot, Series
from benchmarks.report import Measure, Sample, report

LINES = (
    Series(label="ours", points=((1, 3.0), (16, 4.5), (256, 60.0))),
    Series(label="theirs", points=((1, 9.0), (16, 14.0), (256, 200.0))),
)
AXES = Plot(title="Time added", x="requests at once", y="milliseconds")


def texts(svg: bytes) -> list[str]:
    return [
        "".join(element.itertext()).strip() for element in ET.fromstring(svg).iter() if "text" in element.tag
    ]


def ids(svg: bytes) -> set[str]:
    return {element.get("id", "") for element in ET.fromstring(svg).iter()}


def test_lines_have_a_group_each_and_their_names_and_units_as_text() -> None:
    svg = lines(AXES, LINES)
    assert {"series-0", "series-1"} <= ids(svg)
    assert "series-2" not in ids(svg)
    assert {"ours", "theirs", "Time added", "requests at once", "milliseconds", "256"} <= set(texts(svg))


def test_bars_have_a_group_each_and_their_values_as_text() -> None:
    rows = {
        "streamed": [Bar(label="refuses", value=2.5, up_to=4.0)],
        "whole": [Bar(label="500", value=7, up_to=9)],
    }
    svg = bars(Plot(title="Added", x="milliseconds"), rows)
    assert {"bar-0", "bar-1"} <= ids(svg)
    assert {"refuses", "500", "2.5", "7.0", "streamed", "whole", "milliseconds"} <= set(texts(svg))


def test_a_plot_is_the_same_each_time_and_tells_no_date() -> None:
    first, second = lines(AXES, LINES), lines(AXES, LINES)
    assert first == second
    assert b"date" not in first
    assert b"Matplotlib v" not in first


def test_a_plot_is_small_and_white_behind() -> None:
    svg = lines(AXES, LINES * 3)
    assert len(svg) < 60_000
    assert b"fill: #ffffff" in svg


def test_a_hang_and_the_undisturbed_case_have_no_bar() -> None:
    names = (ALONE, HEALTHY.name, "refuses", HANGS.name)
    samples = [
        Sample(name, measure, seconds)
        for measure in (Measure.FIRST, Measure.WHOLE)
        for name, seconds in zip(names, (0.001, 0.005, 0.007, 0.4), strict=True)
    ]
    told = report(samples, cases=names, baseline=HEALTHY.name, facts={})
    found = plots.fallback_bars(told)
    assert {measure: [bar.label for bar in group] for measure, group in found.items()} == {
        Measure.FIRST: ["refuses"],
        Measure.WHOLE: ["refuses"],
    }
    assert found[Measure.FIRST][0].value == pytest.approx(2)


def test_only_plots_with_figures_are_drawn(tmp_path: Path) -> None:
    assert plots.drawn(tmp_path) == {}
