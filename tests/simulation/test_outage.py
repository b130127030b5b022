import math

import pytest
from msgspec.structs import replace

from ccproxy_trio.settings.model import Settings
from ccproxy_trio.simulation.outage import (
    KINDS,
    BadOutage,
    Kind,
    Outage,
    Trouble,
    parse_outage,
    parse_trouble,
    usual_outage,
)
from tests.simulation.rehearsing import settings_of

SETTINGS = settings_of("openai", "azure")


@pytest.mark.parametrize(
    ("text", "begins_at", "lasts", "trouble"),
    [
        ("openai=30s@10s", 10.0, 30.0, Trouble()),
        ("openai=30s", 10.0, 30.0, Trouble()),
        ("openai=2m@1m30s:hang", 90.0, 120.0, Trouble(kind=Kind.HANG)),
        ("openai=30@0:429", 0.0, 30.0, Trouble(kind=Kind.STATUS, status=429, rest=20.0)),
        ("openai=30@0:429=5s", 0.0, 30.0, Trouble(kind=Kind.STATUS, status=429, rest=5.0)),
        ("openai=30@0:503", 0.0, 30.0, Trouble(kind=Kind.STATUS, status=503)),
        ("openai=30@0:503=1m", 0.0, 30.0, Trouble(kind=Kind.STATUS, status=503, rest=60.0)),
        ("openai=forever@5s:401", 5.0, math.inf, Trouble(kind=Kind.STATUS, status=401)),
        ("openai=30@0:slow", 0.0, 30.0, Trouble(kind=Kind.SLOW, factor=5.0)),
        ("openai=30@0:slow=2.5", 0.0, 30.0, Trouble(kind=Kind.SLOW, factor=2.5)),
        ("openai=30@0:flap", 0.0, 30.0, Trouble(every_second=True)),
        ("openai=30@0:flap=hang", 0.0, 30.0, Trouble(kind=Kind.HANG, every_second=True)),
        ("openai=30@0:black hole", 0.0, 30.0, Trouble(kind=Kind.BLACKHOLE)),
        ("openai=30@0:Black-Hole", 0.0, 30.0, Trouble(kind=Kind.BLACKHOLE)),
    ],
)
def test_an_outage_is_read(text: str, begins_at: float, lasts: float, trouble: Trouble) -> None:
    outage = parse_outage(text, SETTINGS)
    assert outage == Outage(provider="openai", begins_at=begins_at, lasts=lasts, trouble=trouble)
    assert parse_outage(str(outage), SETTINGS) == outage  # as it is shown, it can be typed


def test_every_kind_has_a_line_in_the_help() -> None:
    spelled = {text.split("[")[0].split(",")[0] for text in KINDS}
    assert spelled == {kind.value for kind in Kind if kind is not Kind.STATUS} | {"429", "500", "flap"}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.STATUS])
def test_every_kind_can_be_typed(kind: Kind) -> None:
    assert parse_trouble(kind.value).kind is kind


BAD = {
    "nobody=30s@10s": "there is no provider 'nobody'. Providers that take part: openai, azure.",
    "opnai=30s@10s": 'Did you mean "openai"?',
    "openai": "no `=` in it. Write NAME=DURATION@START[:KIND], for example openai=30s@10s",
    "openai=": "how long? Give a time such as 30s",
    "openai=0s": "how long?",
    "openai=ten@3s": "'ten' is not a time such as 30s",
    "openai=3s@soon": "'soon' is not a time",
    "openai=3s@": "'' is not a time",
    "openai=3s@1s:hanging": "there is no kind 'hanging'. Did you mean \"hang\"? There is refused, ",
    "openai=3s@1s:600": "those go from 400 to 599",
    "openai=3s@1s:200": "those go from 400 to 599",
    "openai=3s@1s:0500": "those go from 400 to 599",
    "openai=3s@1s:slow=1": "a factor above 1",
    "openai=3s@1s:slow=fast": "a factor above 1",
    "openai=3s@1s:slow=nan": "a factor above 1",
    "openai=3s@1s:flap=flap": "flap cannot flap",
    "openai=3s@1s:hang=3s": "hang takes no value",
    "openai=3s@1s:429=later": "'later' is not a time",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_outage_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(BadOutage) as refused:
        parse_outage(text, SETTINGS)
    assert str(refused.value).startswith(f"--outage {text}: ")
    assert BAD[text] in str(refused.value)
    assert "openai" in str(refused.value)


def test_names_may_hold_the_signs_that_options_are_made_of() -> None:
    settings = settings_of("a", "a=b", "eu@west:1 x")
    assert parse_outage("a=b=3s", settings).provider == "a=b"
    assert parse_outage("a=3s", settings).provider == "a"
    assert parse_outage("eu@west:1 x=3s@2s:hang", settings).provider == "eu@west:1 x"


def test_a_disabled_provider_has_no_outage() -> None:
    one, other = settings_of("on", "off").providers
    settings = Settings(providers=(one, replace(other, enabled=False)))
    with pytest.raises(BadOutage, match=r'off takes no part.*"enabled": false.*take part: on\.'):
        parse_outage("off=3s", settings)


def test_an_outage_covers_its_beginning_and_not_its_end() -> None:
    outage = usual_outage("openai")
    assert [outage.covers(now) for now in (9.99, 10.0, 39.99, 40.0)] == [False, True, True, False]
