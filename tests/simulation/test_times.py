import math

import pytest

from ccproxy_trio.simulation.times import BadTime, seconds_of, short


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("2m", 120.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1h30m5s", 5405.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("90", 90.0),
        ("0.5", 0.5),
        (" 2M ", 120.0),
        ("5min", 300.0),
        ("168h", 604_800.0),
    ],
)
def test_a_time_is_read_as_people_type_it(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "30x", "-3s", "3 s 4", "1e3", "10s30", "nan", "inf", "169h"])
def test_what_is_no_time_is_refused_and_repeated(text: str) -> None:
    with pytest.raises(BadTime, match=r"is not a time such as 30s|longer than a week"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["30s", "1m30s", "1h", "2h5m", "1.5s", "0.25s", "1h1s", "0s"])
def test_a_span_is_written_as_it_is_read(text: str) -> None:
    assert short(seconds_of(text)) == text


def test_a_span_without_end_has_a_word() -> None:
    assert short(math.inf) == "forever"
