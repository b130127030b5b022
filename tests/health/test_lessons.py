"""Lessons: what they say, how they add up, and what a notebook keeps of them."""

from typing import Any

import msgspec
import pytest

from ccproxy_trio.health.lessons import Lesson, Notebook, together
from ccproxy_trio.settings.model import DialectOptions


def lesson(parameter: str, **switches: Any) -> Lesson:
    return Lesson(parameter, msgspec.convert(switches, DialectOptions))


STOP = lesson("stop", stop=False)
CAP = lesson("max_tokens", output_cap=16_384)
LOWERED = lesson("reasoning_effort", efforts=["low", "medium", "high"])


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (STOP, 'stop: "stop": false'),
        (CAP, 'max_tokens: "output_cap": 16384'),
        (LOWERED, 'reasoning_effort: "efforts": ["low", "medium", "high"]'),
        (lesson("messages.role", system_role="system"), 'messages.role: "system_role": "system"'),
    ],
)
def test_a_lesson_is_told_as_the_configuration_would_write_it(told: Lesson, words: str) -> None:
    assert told.words() == words


def test_of_what_was_tried_for_one_parameter_only_the_end_is_kept() -> None:
    dropped = lesson("reasoning_effort", reasoning="none")
    assert together((LOWERED, STOP, dropped)) == (
        lesson("reasoning_effort", efforts=["low", "medium", "high"], reasoning="none"),
        STOP,
    )


def test_a_lesson_known_already_is_not_news() -> None:
    notebook = Notebook()
    assert notebook.learn("m", STOP) is not None
    assert notebook.learn("m", STOP) is None
    assert notebook.learn("m", lesson("other name", stop=False)) is None
    assert notebook.learn("other", STOP) is not None
    assert notebook.lessons == {"m": (STOP,), "other": (STOP,)}


def test_a_later_lesson_overrules_an_earlier_one_about_the_same_switch() -> None:
    notebook = Notebook()
    for cap in (16_384, 8192, 4096):
        assert notebook.learn("m", lesson("max_tokens", output_cap=cap)) is not None
    assert notebook.of("m") == (lesson("max_tokens", output_cap=4096),)


def test_a_lesson_that_was_overruled_is_news_when_it_comes_again() -> None:
    efforts = lesson("reasoning_effort", reasoning="effort", efforts=["none", "low"])
    silent = lesson("reasoning_effort", reasoning="none")
    notebook = Notebook()
    for told in (efforts, silent, efforts):
        assert notebook.learn("m", told) is not None
    assert notebook.of("m") == (efforts,)


def test_what_several_lessons_say_together_is_not_news() -> None:
    notebook = Notebook()
    notebook.learn("m", STOP)
    notebook.learn("m", CAP)
    assert notebook.learn("m", lesson("both", stop=False, output_cap=16_384)) is None
    assert notebook.of("m") == (STOP, CAP)


def test_lessons_about_different_switches_stand_side_by_side() -> None:
    notebook = Notebook()
    notebook.learn("m", STOP)
    notebook.learn("m", CAP)
    assert notebook.of("m") == (STOP, CAP)
    assert notebook.of("stranger") == ()


def test_the_line_holds_the_providers_own_options_and_all_that_was_learned_of_the_model() -> None:
    notebook = Notebook(msgspec.convert({"vision": False, "stop": True}, DialectOptions), ("m", "a", "b"))
    notebook.learn("a", lesson("top_k", top_k=False))
    first = notebook.learn("m", CAP)
    second = notebook.learn("m", STOP)
    assert first is not None
    assert second is not None
    assert first.line == '"options": {"output_cap": 16384, "stop": true, "vision": false}'
    assert second.line == '"options": {"output_cap": 16384, "stop": false, "vision": false}'
    assert (second.words, second.others) == ('stop: "stop": false', ("a", "b"))


def test_other_models_keep_what_was_learned_of_those_that_stay() -> None:
    notebook = Notebook(models=("m", "gone"))
    notebook.learn("m", STOP)
    notebook.learn("gone", CAP)
    revised = notebook.revised(DialectOptions(), ("m", "new"))
    assert revised.lessons == {"m": (STOP,)}
    learned = revised.learn("m", CAP)
    assert learned is not None
    assert learned.others == ("new",)


def test_other_options_begin_with_an_empty_book() -> None:
    notebook = Notebook(models=("m",))
    notebook.learn("m", STOP)
    assert notebook.revised(msgspec.convert({"stop": True}, DialectOptions), ("m",)).lessons == {}


def refusing(*paths: str) -> Lesson:
    return lesson(paths[-1], leave_out=list(paths))


def test_what_is_left_out_adds_up_whatever_was_learned_first() -> None:
    """Two requests under way may each learn of one thing, neither of them of the other's."""
    for first, second in ((refusing("a"), refusing("b")), (refusing("b"), refusing("a"))):
        notebook = Notebook(msgspec.convert({"leave_out": ["own"]}, DialectOptions), ("m",))
        notebook.learn("m", first)
        told = notebook.learn("m", second)
        assert told is not None
        assert notebook.of("m") == (first, second)
        options = msgspec.json.decode("{" + told.line + "}")["options"]
        assert (options["leave_out"][0], set(options["leave_out"])) == ("own", {"own", "a", "b"})


def test_a_lesson_that_holds_all_of_an_earlier_one_takes_its_place() -> None:
    notebook = Notebook()
    notebook.learn("m", refusing("a"))
    assert notebook.learn("m", refusing("a", "b")) is not None
    assert notebook.of("m") == (refusing("a", "b"),)
    assert notebook.learn("m", refusing("a")) is None


def test_of_two_refusals_of_one_parameter_both_are_kept() -> None:
    betas = lesson("anthropic-beta", refused_betas=["a"]), lesson("anthropic-beta", refused_betas=["b"])
    assert together(betas) == (lesson("anthropic-beta", refused_betas=["a", "b"]),)
