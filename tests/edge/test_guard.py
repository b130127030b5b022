"""Who may ask."""

import pytest

from ccproxy_trio.edge.guard import Caller, Guard
from ccproxy_trio.settings.hosts import is_loopback
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings
from ccproxy_trio.wire.faults import RequestRefused

PROVIDER = ProviderSettings(
    name="a", api_key=Secret("k"), base_url="https://a.example/v1", models=Models(big=("m",))
)


def guard(*keys: str, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = ()) -> Guard:
    settings = Settings(
        providers=(PROVIDER,),
        client_api_keys=tuple(map(Secret, keys)),
        allowed_hosts=hosts,
        allowed_origins=origins,
    )
    return Guard(settings)


def caller(server: str = "127.0.0.1", peer: str = "127.0.0.1", **headers: str) -> Caller:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Caller(headers={"host": "127.0.0.1:8082", **named}, server=server, peer=peer)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8082",
        "localhost:8082",
        "LOCALHOST",
        "localhost.",
        "[::1]:8082",
        "127.0.0.2",
        "proxy.lan:80",
    ],
)
def test_loopback_names_and_allowed_hosts_may_be_asked_for(host: str) -> None:
    guard(hosts=("proxy.lan",)).check(caller(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "127.0.0.1.attacker.example",
        "localhost.attacker.example:8082",
        "",
        "[::1",
        "10.0.0.1",
        "attacker.example@127.0.0.1",
        "127.0.0.1/attacker.example",
        "127.0.0.1#x",
    ],
)
def test_a_foreign_host_name_is_refused_on_loopback(host: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        guard().check(caller(host=host))
    assert refused.value.status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_are_refused(site: str) -> None:
    with pytest.raises(RequestRefused):
        guard().check(caller(sec_fetch_site=site))


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:9999", "file://", "http://[", "127.0.0.1:8082"],
)
def test_foreign_origins_are_refused(origin: str) -> None:
    with pytest.raises(RequestRefused):
        guard().check(caller(origin=origin))


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8082", "https://desk.example", "HTTPS://desk.example/"])
def test_our_own_and_allowed_origins_may_ask(origin: str) -> None:
    guard(origins=("https://desk.example",)).check(caller(origin=origin, sec_fetch_site="same-origin"))


def test_an_open_door_without_a_key_serves_nobody() -> None:
    with pytest.raises(RequestRefused, match="client_api_keys"):
        guard().check(caller(server="192.0.2.7", host="192.0.2.7:8082"))


def test_an_open_door_with_a_key_serves_any_host_name_unless_some_are_named() -> None:
    guard("k").check(caller(server="192.0.2.7", host="proxy.internal"))
    with pytest.raises(RequestRefused):
        guard("k", hosts=("proxy.lan",)).check(caller(server="192.0.2.7", host="proxy.internal"))


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": "right"},
        {"x_api_key": "second"},
        {"authorization": "Bearer right"},
        {"authorization": "bearer  right"},
        {"x_api_key": "wrong", "authorization": "Bearer right"},
    ],
)
def test_a_right_key_in_either_header_is_let_in(headers: dict[str, str]) -> None:
    guard("right", "second").check_key(caller(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_api_key": ""},
        {"x_api_key": "righ"},
        {"x_api_key": "right "},
        {"x_api_key": "ключ"},
        {"x_api_key": "\udcff"},
        {"x_api_key": "r" * 1_000_000},
        {"authorization": "right"},
        {"authorization": "Basic right"},
        {"authorization": "Bearer"},
    ],
)
def test_anything_else_is_not(headers: dict[str, str]) -> None:
    with pytest.raises(RequestRefused) as refused:
        guard("right").check_key(caller(**headers))
    assert refused.value.status == 401
    assert "ANTHROPIC_AUTH_TOKEN" in str(refused.value)
    # Where logins are passed on, that one would take the login's place.
    assert "ANTHROPIC_CUSTOM_HEADERS" in str(refused.value)


def test_without_keys_anybody_on_this_machine_may_ask() -> None:
    guard().check_key(caller())


def test_details_are_for_key_holders_and_where_there_is_no_key_for_this_machine() -> None:
    assert guard().trusts(caller())
    assert not guard().trusts(caller(peer="192.0.2.9"))
    assert guard("k").trusts(caller(peer="192.0.2.9", x_api_key="k"))
    assert not guard("k").trusts(caller())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (None, True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("host", False),
        ("foo.localhost", True),
        ("::ffff:127.0.0.1", True),
        ("localhost.evil", False),
    ],
)
def test_loopback_is_what_only_this_machine_can_mean(host: str | None, *, expected: bool) -> None:
    assert is_loopback(host) is expected
