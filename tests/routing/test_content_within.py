"""A request has ten minutes to its first content, or as long as its slowest provider may take."""

from ccproxy_trio.routing.patience import (
    CLIENT_MARGIN,
    CONTENT_WITHIN,
    FAIR_SHARE,
    before_it_gives_up,
    content_within,
)
from tests.edge.virtual import settings_for


def test_ten_minutes_where_every_provider_is_quicker() -> None:
    assert content_within(settings_for("a", "b", b_timeout=200.0)) == CONTENT_WITHIN


def test_the_slowest_provider_gets_its_chance_and_a_share_for_another() -> None:
    assert content_within(settings_for("a", "b", b_timeout=900.0)) == 900.0 + FAIR_SHARE


def test_a_client_that_gives_up_sooner_hears_from_us_before() -> None:
    assert before_it_gives_up(600.0, 60.0) == 60.0 - CLIENT_MARGIN
    assert before_it_gives_up(600.0, 3000.0) == 600.0
    assert before_it_gives_up(600.0, 2.0) == 1.0
    assert before_it_gives_up(600.0, None) == 600.0
