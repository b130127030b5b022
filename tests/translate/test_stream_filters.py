"""Stop sequences and <think> tags: what is held back, and that cutting the text elsewhere changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy_trio.translate.parts import Text, Thinking
from ccproxy_trio.translate.stops import StopMatcher, possible_start
from ccproxy_trio.translate.think import ThinkTags

letters = st.text(alphabet="ab<", max_size=12)


@given(st.lists(letters), st.lists(st.text(alphabet="ab<", max_size=4), max_size=3))
def test_the_stop_sequence_that_is_complete_first_wins_however_the_text_is_cut(
    pieces: list[str], sequences: list[str]
) -> None:
    text = "".join(pieces)
    matcher = StopMatcher(sequences)
    shown = "".join(matcher.feed(piece) for piece in pieces) + matcher.release()
    for end in range(len(text) + 1):  # the definition, naively
        complete = [sequence for sequence in sequences if sequence and text[:end].endswith(sequence)]
        if complete:
            longest = max(complete, key=len)
            assert (matcher.matched, shown) == (longest, text[: end - len(longest)])
            return
    assert (matcher.matched, shown) == (None, text)


def test_of_two_stop_sequences_the_one_that_ends_first_wins_then_the_longer() -> None:
    for sequences, shown, matched in [
        (["abcd", "bc"], "xa", "bc"),
        (["bc", "abc"], "x", "abc"),
        (["c", "abc", "bc"], "x", "abc"),
    ]:
        matcher = StopMatcher(sequences)
        assert (matcher.feed("xabcd"), matcher.matched) == (shown, matched)


def test_only_what_may_become_a_stop_sequence_is_held_back() -> None:
    matcher = StopMatcher(["</block>"])
    assert matcher.feed("a </bloc") == "a "
    assert matcher.feed("k </") == "</block "
    assert matcher.release() == "</"
    assert matcher.release() == ""
    assert matcher.feed("k>") == "k>"


def test_behind_a_match_nothing_is_shown() -> None:
    matcher = StopMatcher(["b"])
    assert matcher.feed("ab") == "a"
    assert matcher.feed("c") == ""
    assert matcher.release() == ""


@given(letters, st.text(alphabet="ab<", min_size=1, max_size=5))
def test_a_possible_start_is_the_first_tail_that_begins_the_marker(text: str, marker: str) -> None:
    tails = [at for at in range(len(text)) if marker.startswith(text[at:]) and text[at:] != marker]
    assert possible_start(text, marker) == min(tails, default=len(text))


def split(*pieces: str) -> list[Text | Thinking]:
    """What comes out, neighbours of one kind joined."""
    tags = ThinkTags()
    out: list[Text | Thinking] = []
    for part in [part for piece in pieces for part in tags.feed(piece)] + tags.release():
        if out and type(out[-1]) is type(part):
            out[-1] = type(part)(out[-1].text + part.text)
        else:
            out.append(part)
    return out


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>\nHm.\n</think>\n\n42", [Thinking("Hm.\n"), Text("42")]),
        ("\n <think>Hm.</think>42", [Thinking("Hm."), Text("42")]),
        ("<think></think>42", [Text("42")]),
        ("<think>\n\n</think>\n\n42\n", [Text("42\n")]),
        ("<think>a</b></think>42", [Thinking("a</b>"), Text("42")]),
        ("<think>never closed </thin", [Thinking("never closed </thin")]),
        ("<think>a</think>b<think>c</think>", [Thinking("a"), Text("b<think>c</think>")]),
        ("42 <think>a</think>", [Text("42 <think>a</think>")]),
        (" <thing>", [Text(" <thing>")]),
        ("\n<thi", [Text("\n<thi")]),
        ("  ", [Text("  ")]),
        ("", []),
    ],
)
def test_tags_split_the_same_however_the_text_is_cut(text: str, parts: list[Text | Thinking]) -> None:
    assert split(text) == parts
    assert split(*text) == parts
    for at in range(len(text)):
        assert split(text[:at], text[at:]) == parts


def test_what_was_held_back_is_let_go_when_something_else_comes() -> None:
    tags = ThinkTags()
    assert tags.feed("<thi") == []
    assert tags.release() == [Text("<thi")]
    assert tags.feed("<think>") == [Text("<think>")]  # no longer at the very start
    inside = ThinkTags()
    assert inside.feed("<think>a</") == [Thinking("a")]
    assert inside.release() == [Thinking("</")]
    assert inside.release() == []
    assert inside.feed("b</think>c") == [Thinking("b"), Text("c")]
