"""What is told of errors, and what is counted."""

import pytest

from ccproxy_trio.journal import (
    ActorCrashed,
    Entry,
    GrammarViolated,
    Note,
    Tally,
    blame,
    bottom,
)


def raised(error: BaseException) -> BaseException:
    """The error with the frames it came through."""

    def deeper() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        deeper()
    return caught.value


def test_the_error_at_the_bottom_of_groups_is_the_first_of_them() -> None:
    inner = KeyError("k")
    grouped = BaseExceptionGroup("outer", [ExceptionGroup("inner", [inner, ValueError("v")])])
    assert bottom(grouped) is inner
    assert bottom(inner) is inner


def test_blame_says_which_error_and_where_and_never_what_it_said() -> None:
    told = blame(ExceptionGroup("group", [raised(ValueError("canary-key"))]))
    assert told.startswith("ValueError at raised.<locals>.deeper:")
    assert "canary" not in told
    assert blame(ValueError("canary-key")) == "ValueError"  # it was never raised


def test_what_should_never_happen_is_counted_and_everything_passed_on() -> None:
    told: list[Entry] = []
    tally = Tally(told.append)
    entries: list[Entry] = [
        GrammarViolated(request_id=None, kinds=("ping",)),
        ActorCrashed(actor="dispatcher", error="KeyError", restart_in=None),
        ActorCrashed(actor="dispatcher", error="KeyError", restart_in=0.05),
        Note(level="error", event="internal.error", text="unexpected"),
        Note(level="info", event="config.reloaded", text="as wanted"),
    ]
    for entry in entries:
        tally(entry)
    assert (tally.grammar, tally.actors, tally.others) == (1, 2, 1)
    assert told == entries
