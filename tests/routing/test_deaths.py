"""A provider that broke off a conversation is remembered for it, for a while."""

from ccproxy_trio.routing.deaths import MOST, REMEMBERED_FOR, Deaths


def test_a_death_is_remembered_for_its_conversation_only() -> None:
    deaths = Deaths()
    deaths.remember("talk", "a", 0.0)
    assert deaths.of("talk", 1.0) == {"a"}
    assert deaths.of("other", 1.0) == frozenset()
    assert deaths.of(None, 1.0) == frozenset()


def test_deaths_of_one_conversation_add_up() -> None:
    deaths = Deaths()
    deaths.remember("talk", "a", 0.0)
    deaths.remember("talk", "b", 1.0)
    assert deaths.of("talk", 2.0) == {"a", "b"}


def test_a_death_is_forgotten_in_time_and_does_not_come_back() -> None:
    deaths = Deaths()
    deaths.remember("talk", "a", 0.0)
    assert deaths.of("talk", REMEMBERED_FOR - 0.1) == {"a"}
    assert deaths.of("talk", REMEMBERED_FOR) == frozenset()
    deaths.remember("talk", "b", REMEMBERED_FOR)
    assert deaths.of("talk", REMEMBERED_FOR) == {"b"}


def test_the_memory_is_bounded_and_drops_the_oldest() -> None:
    deaths = Deaths()
    for number in range(MOST):
        deaths.remember(str(number), "a", 0.0)
    deaths.remember("0", "a", 0.0)
    deaths.remember("new", "a", 0.0)
    assert deaths.of("0", 1.0) == {"a"}
    assert deaths.of("1", 1.0) == frozenset()
    assert deaths.of("new", 1.0) == {"a"}
