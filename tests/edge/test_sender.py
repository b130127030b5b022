"""What of a request's head may go on to a provider, and above all: what may not."""

import base64

import pytest

from ccproxy_trio.edge.guard import Guard, headers_of
from ccproxy_trio.edge.sender import credential_of, sender_of
from ccproxy_trio.settings.model import Secret
from ccproxy_trio.translate.question import Credential
from tests.edge.virtual import settings_for

PROXYS = "ours-5f2b1c-client-key"
LOGIN = "sk-ant-oat01-of-the-client"
OPEN = Guard(settings_for("a"))
GUARDED = Guard(settings_for("a", client_api_keys=(Secret("other-client-key"), Secret(PROXYS))))


def credential(guard: Guard = GUARDED, **headers: str) -> tuple[str, str] | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = credential_of(named, guard)
    return None if found is None else (found.header, found.value.reveal())


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_the_authorization_goes_first_as_it_came_and_then_the_key() -> None:
    bearer = f"Bearer {LOGIN}"
    assert credential(authorization=bearer) == ("authorization", bearer)
    assert credential(x_api_key=LOGIN) == ("x-api-key", LOGIN)
    assert credential(authorization=bearer, x_api_key="sk-ant-api03-x") == ("authorization", bearer)
    assert credential() is None


@pytest.mark.parametrize(
    "form",
    [
        PROXYS,
        f"Bearer {PROXYS}",
        f"bearer  {PROXYS} ",
        f"Token {PROXYS}",
        f"Bearer Bearer {PROXYS}",
        f'Bearer "{PROXYS}"',
        f"Bearer {LOGIN}, Bearer {PROXYS}",
        f"{PROXYS},{LOGIN}",
        basic("user", PROXYS),
        basic(PROXYS, ""),
    ],
)
def test_a_client_key_of_the_proxy_is_passed_on_in_no_form(form: str) -> None:
    assert credential(authorization=form) is None
    assert credential(x_api_key=form) is None
    assert credential(authorization=form, x_api_key=LOGIN) == ("x-api-key", LOGIN)
    assert credential(OPEN, authorization=form) is not None  # there, it is nobody's key


@pytest.mark.parametrize(
    "value", ["Bearer any", "none", "", "Bearer ", "   ", "Bearer sk-ant\x01oat01-xxxxxx"]
)
def test_a_placeholder_is_no_key(value: str) -> None:
    assert credential(OPEN, authorization=value) is None
    assert credential(OPEN, authorization=value, x_api_key=LOGIN) == ("x-api-key", LOGIN)


def test_another_word_with_a_client_key_in_it_is_somebody_elses() -> None:
    longer = f"Bearer {PROXYS}-and-more"
    assert credential(authorization=longer) == ("authorization", longer)


def test_no_header_that_bears_a_key_or_speaks_of_the_connection_is_handed_on() -> None:
    headers = {
        "user-agent": "claude-cli/2",
        "authorization": f"Bearer {LOGIN}",
        "x-api-key": PROXYS,
        "api-key": "k",
        "cookie": "session=1",
        "proxy-authorization": basic("u", "p"),
        "host": "127.0.0.1",
        "content-length": "9",
        "x-odd": "a\x00b",
        "x-latin": "Zoë",
    }
    login = Credential("authorization", Secret(f"Bearer {LOGIN}"))
    sender = sender_of(headers, b"", credential=login)
    assert sender.headers == (("user-agent", "claude-cli/2"), ("x-latin", "Zoë"))
    assert sender.credential is login
    assert LOGIN not in repr(sender)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"beta=true", "beta=true"),
        (b"", ""),
        (b"a=%20b&c[]", ""),
        (b"a=\xff", ""),
        (b"a=b\x00", ""),
        (b"a=b#c", ""),
        (b"a=" + b"x" * 600, ""),
    ],
)
def test_a_query_goes_on_where_it_can_be_part_of_an_address(query: bytes, kept: str) -> None:
    assert sender_of({}, query, credential=None).query == kept


def test_of_a_list_that_comes_in_several_headers_nothing_is_lost() -> None:
    sent = [(b"anthropic-beta", b"one"), (b"anthropic-beta", b"two"), (b"x-app", b"a"), (b"x-app", b"b")]
    assert headers_of(sent) == {"anthropic-beta": "one,two", "x-app": "b"}
