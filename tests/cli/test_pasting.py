import pytest

from ccproxy_trio.cli.pasting import caught_by, invitation, paste_line, shown_url

URL = "http://127.0.0.1:8082"


def invited(*, guarded=False, **environ):
    return "\n".join(line.plain for line in invitation(URL, guarded=guarded, environ=environ))


def test_the_line_to_paste_starts_claude_code_on_this_proxy():
    assert invited() == (
        "✅ Listening on http://127.0.0.1:8082\n"
        "   Point Claude Code at it (paste this into another terminal):\n"
        "   ANTHROPIC_BASE_URL=http://127.0.0.1:8082 ANTHROPIC_AUTH_TOKEN=any claude"
    )


def test_a_client_key_is_asked_for_and_never_printed():
    line = paste_line(URL, guarded=True, environ={})
    assert "ANTHROPIC_AUTH_TOKEN=YOUR_CLIENT_KEY" in line
    text = invited(guarded=True, ANTHROPIC_API_KEY="client-canary")
    assert 'ANTHROPIC_AUTH_TOKEN="$ANTHROPIC_API_KEY" claude' in text
    assert "Clients must send a client key" in text
    assert "canary" not in text


def test_where_logins_are_passed_on_claude_code_is_started_with_its_own():
    line = paste_line(URL, guarded=False, environ={}, passes_credentials=True)
    assert line == "ANTHROPIC_BASE_URL=http://127.0.0.1:8082 claude"
    line = paste_line(URL, guarded=True, environ={}, passes_credentials=True)
    assert line.endswith(' ANTHROPIC_CUSTOM_HEADERS="x-api-key: YOUR_CLIENT_KEY" claude')
    line = paste_line(
        URL, guarded=True, environ={"ANTHROPIC_API_KEY": "client-canary"}, passes_credentials=True
    )
    # Claude Code would send the variable in place of its login.
    assert line.startswith("env -u ANTHROPIC_API_KEY ANTHROPIC_BASE_URL=")
    assert line.endswith(' ANTHROPIC_CUSTOM_HEADERS="x-api-key: $ANTHROPIC_API_KEY" claude')
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:8082 claude" in "".join(
        text.plain for text in invitation(URL, guarded=False, environ={}, passes_credentials=True)
    )


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_variable_that_would_divert_the_requests_is_told(variable):
    text = invited(**{variable: "http://proxy:3128"})
    assert f"⚠️  {variable} is set" in text
    assert "NO_PROXY=127.0.0.1 ANTHROPIC_BASE_URL=" in text
    assert "3128" not in text


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("value", ["127.0.0.1", "example.com, 127.0.0.1", "*"])
def test_with_loopback_exempt_nothing_is_told(name, value):
    assert invited(HTTP_PROXY="http://proxy:3128", **{name: value}) == invited()


def test_what_no_proxy_holds_already_is_kept():
    environ = {"HTTP_PROXY": "http://proxy", "NO_PROXY": "example.com,10.0.0.0/8 $(rm)"}
    assert paste_line(URL, guarded=False, environ=environ).startswith(
        "NO_PROXY='example.com,10.0.0.0/8 $(rm),127.0.0.1' "
    )


def test_without_a_proxy_variable_nothing_is_caught():
    assert caught_by({"HTTP_PROXY": ""}) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("box.lan", "http://box.lan:80"),
    ],
)
def test_the_url_shown_can_be_reached_from_here(host, url):
    assert shown_url(host, 80) == url
