"""A request has ten minutes to its first content, or as long as its slowest provider may take."""

from ccproxy_trio.routing.patience import CONTENT_WITHIN, FAIR_SHARE, content_within
from tests.edge.virtual import settings_for


def test_ten_minutes_where_every_provider_is_quicker() -> None:
    assert content_within(settings_for("a", "b", b_timeout=200.0)) == CONTENT_WITHIN


def test_the_slowest_provider_gets_its_chance_and_a_share_for_another() -> None:
    assert content_within(settings_for("a", "b", b_timeout=900.0)) == 900.0 + FAIR_SHARE
