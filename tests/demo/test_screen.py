import io

from ccproxy_trio.demo.screen import Screen
from ccproxy_trio.journal import AttemptEnded, Note


def test_a_log_line_in_the_middle_of_an_answer_begins_a_line_of_its_own():
    stream = io.StringIO()
    screen = Screen(stream=stream, environ={})
    journal = screen.beside(lambda entry: stream.write(f"{entry.text}\n"))
    screen.piece("Hello ")
    screen.piece("there")
    journal(Note(level="info", event="x", text="logged"))
    screen.line("next")
    assert stream.getvalue() == "Hello there\nlogged\nnext\n"


def test_entries_that_print_nothing_do_not_break_an_answer():
    stream = io.StringIO()
    screen = Screen(stream=stream, environ={})
    seen = []
    attempt = AttemptEnded(request_id="r", provider="p", model="m", outcome="ok", seconds=1)
    screen.piece("Hello ")
    screen.beside(seen.append)(attempt)
    screen.piece("there")
    screen.end_line()
    screen.end_line()
    assert stream.getvalue() == "Hello there\n"
    assert seen == [attempt]


def test_a_terminal_without_emoji_is_no_obstacle():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Screen(stream=stream, environ={}).line("🎬 one")
    assert raw.getvalue() == b"? one\n"
