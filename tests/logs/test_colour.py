import io

import pytest

from ccproxy_trio.logs.colour import NARROW, WIDE, Palette, depth

TERMINAL = {"TERM": "xterm-256color"}


def test_a_pipe_gets_no_colour():
    assert depth(io.StringIO(), TERMINAL) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm"}, "standard"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "dumb"}, None),
        ({}, None),
        ({"TERM": "xterm", "NO_COLOR": "1"}, None),
        ({"TERM": "xterm", "NO_COLOR": ""}, "standard"),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, None),
    ],
)
def test_a_terminal_gets_the_depth_it_has(terminal, environ, expected):
    assert depth(terminal, environ) == expected


@pytest.mark.parametrize(
    ("force", "expected"),
    [("1", "standard"), ("2", "256"), ("3", "truecolor"), ("yes", "256"), ("0", None), ("false", None)],
)
def test_force_color_goes_before_what_the_stream_is(force, expected):
    assert depth(io.StringIO(), {"FORCE_COLOR": force}) == expected


def test_a_closed_stream_gets_no_colour():
    closed = io.StringIO()
    closed.close()
    assert depth(closed, TERMINAL) is None


@pytest.mark.parametrize(("depth_", "at_least"), [("256", 64), ("truecolor", 64), ("standard", 48)])
def test_providers_have_colours_of_their_own(depth_, at_least):
    names = [f"provider-{number}" for number in range(at_least)]
    palette = Palette(names, depth_)
    assert len({palette.of(name) for name in names}) == at_least


def test_the_first_dozen_differ_in_hue_and_not_only_in_accent():
    for hues in (WIDE, NARROW):
        assert len(set(hues)) == len(hues) >= 12


def test_a_colour_follows_the_place_in_the_file():
    assert Palette(["a", "b"], "256").of("b") == Palette(["x", "y", "z"], "256").of("y")


def test_an_unlisted_name_has_the_same_colour_in_every_process():
    # Python's own hash would differ from one start to the next.
    assert Palette([], "256").of("newcomer") == Palette(["a", "b"], "256").of("newcomer")
    assert str(Palette([], "256").of("newcomer").color.number) == "141"
