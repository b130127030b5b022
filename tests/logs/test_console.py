import base64
import io

import pytest
from rich.text import Text

from ccproxy_trio.journal import AttemptEnded, Note
from ccproxy_trio.logs.console import Painter, open_journal
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings
from ccproxy_trio.settings.scrub import printable, scrubber, secrets_of

KEY = "sk-liv>>>0123/456 789"  # every way of quoting changes it, and each in its own way


def note(text, level="info", **more):
    return Note(level=level, event="test.note", text=text, **more)


def attempt():
    return AttemptEnded(request_id="r", provider="p", model="m", outcome="ok", seconds=1)


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", "dbg inf wrn err"),
        ("INFO", "inf wrn err"),
        (" Warning ", "wrn err"),
        ("error", "err"),
        ("critical", ""),
        ("nonsense", "inf wrn err"),
    ],
)
def test_a_level_lets_through_what_is_as_grave_or_graver(told, level, seen):
    entries = [note("dbg", "debug"), note("inf"), note("wrn", "warning"), note("err", "error")]
    words = [line.split()[-1] for line in told(*entries, level=level).splitlines()]
    assert " ".join(words) == seen


def test_attempts_are_told_at_debug_only(told):
    assert told(attempt(), level="info") == ""
    assert "attempt [p] m" in told(attempt(), level="debug")


def test_a_line_begins_with_the_time_of_day():
    stream = io.StringIO()
    open_journal(level="info", stream=stream, environ={}, names=[])(note("x"))
    hours, minutes, seconds = stream.getvalue().split(" ")[0].split(":")
    assert int(hours) < 24
    assert int(minutes) < 60
    assert int(seconds) <= 60


def test_a_pipe_gets_no_escape_sequence_and_a_terminal_does(terminal):
    pipe = io.StringIO()
    for stream in (pipe, terminal):
        open_journal(level="info", stream=stream, environ={"TERM": "xterm"}, names=["p"])(
            note("x", provider="p")
        )
    assert "\x1b" not in pipe.getvalue()
    assert "\x1b[36m[p]\x1b[0m" in terminal.getvalue()


def test_a_text_of_one_style_is_painted_in_it(terminal):
    painter = Painter(stream=terminal, environ={"TERM": "xterm"})
    assert painter.paint(Text("x", "red")) == painter.paint(Text.assemble(("x", "red"))) == "\x1b[31mx\x1b[0m"


def test_no_color_leaves_no_escape_sequence_at_all(terminal):
    journal = open_journal(
        level="info", stream=terminal, environ={"TERM": "xterm", "NO_COLOR": "1"}, names=["p"]
    )
    journal(note("x", provider="p"))
    assert "\x1b" not in terminal.getvalue()


def test_control_characters_of_a_foreign_text_stay_one_harmless_line(told):
    text = told(note("a\nb\r\x1b[2J\x9b\x00\u2028\u202e\ud800z"))
    assert text == "ℹ️  a b  [2J     z\n"


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        f"Bearer {KEY}",
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode(),
        "sk-liv%3E%3E%3E0123%2F456%20789",
        "sk-liv%3E%3E%3E0123%2F456+789",
    ],
)
def test_a_secret_is_removed_in_every_form(told, form):
    text = told(note(f"it said {form}, sorry"), secrets=[f" {KEY}\n"])
    assert "***" in text
    assert "0123" not in text
    assert form not in text


def test_the_key_inside_a_header_value_is_a_secret_too(told):
    assert told(note(f"x {KEY}"), secrets=[f"Bearer {KEY}"]) == "ℹ️  x ***\n"


def test_a_secret_is_removed_from_every_field(told):
    text = told(note("x", provider=KEY, request_id=KEY), secrets=[KEY])
    assert text == "ℹ️  [***] x · ***\n"


def test_a_placeholder_key_does_not_blot_out_words_or_names(told):
    text = told(
        note("ollama: the dummy is local-ollama", provider="local-ollama"),
        names=["local-ollama"],
        secrets=["ollama", "local-ollama", ""],
    )
    assert text == "ℹ️  [local-ollama] ollama: the dummy is local-ollama\n"


def test_every_secret_of_the_settings_is_known():
    provider = ProviderSettings(
        name="p",
        api_key=Secret("provider-key"),
        base_url="https://user:url-password@host/v1",
        models=Models(big=("m",)),
        custom_headers={"X-Key": Secret("header-value")},
    )
    odd = ProviderSettings(name="o", api_key=Secret("other-key"), base_url="https://[::1", models=Models())
    settings = Settings(providers=(provider, odd), client_api_keys=(Secret("client-key"),))
    found = {"client-key", "provider-key", "header-value", "url-password", "other-key"}
    assert set(secrets_of(settings)) == found


def test_ordinary_text_is_printable_as_it_is():
    assert printable("naïve ✅ text") == "naïve ✅ text"
    assert scrubber([], [])("plain") == "plain"
