"""How providers are reached: `proxy`, `ca_bundle`, and what they mean for `transport`."""

import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.settings.load import load
from ccproxy_trio.settings.model import ProviderSettings, Secret, Settings
from ccproxy_trio.settings.scrub import (
    scrubber,
    secrets_of,
    secrets_of_provider,
    secrets_of_proxy,
    shown_proxy,
)
from tests.settings.making import check, faults, provider, settings

PASSWORD = "pw-canary-88c1"
PROXY = f"http://me:{PASSWORD}@proxy.example:3128"
LOCAL = "http://127.0.0.1:11434/v1"


def only(text: str, environ: dict[str, str] | None = None) -> ProviderSettings:
    return check(text, environ).settings.providers[0]


def address(entry: ProviderSettings) -> str | None:
    return None if entry.outgoing_proxy is None else entry.outgoing_proxy.reveal()


@pytest.mark.parametrize(
    ("everybodys", "own", "used"),
    [
        ({}, {}, None),
        ({}, {"proxy": PROXY}, PROXY),
        ({"proxy": PROXY}, {}, PROXY),
        ({"proxy": PROXY}, {"proxy": "http://other.example:1"}, "http://other.example:1"),
        ({"proxy": PROXY}, {"proxy": "none"}, None),
        ({"proxy": PROXY}, {"proxy": ""}, None),
        ({"proxy": "none"}, {}, None),
        ({"proxy": PROXY}, {"base_url": LOCAL}, None),
        ({"proxy": PROXY}, {"base_url": LOCAL, "proxy": PROXY}, PROXY),
        ({"proxy": "https://proxy.example"}, {}, "https://proxy.example"),
    ],
)
def test_a_provider_goes_through_its_own_proxy_or_the_files(
    everybodys: dict[str, Any], own: dict[str, Any], used: str | None
) -> None:
    loaded = check(settings(provider(**own), **everybodys)).settings
    assert address(loaded.providers[0]) == used
    assert loaded.transport_of(loaded.providers[0]) == ("trio" if used is None else "httpx")


def test_null_switches_the_files_off() -> None:
    entry = provider() | {"proxy": None, "ca_bundle": None}
    loaded = only(settings(entry, proxy=PROXY, ca_bundle="corp.pem"))
    assert (loaded.outgoing_proxy, loaded.authorities) == (None, None)


def test_it_may_come_from_the_environment_and_be_nothing_there() -> None:
    text = settings(provider(proxy="${HTTPS_PROXY:-none}"))
    assert address(only(text, {"HTTPS_PROXY": PROXY})) == PROXY
    assert address(only(text)) is None
    assert address(only(text, {"HTTPS_PROXY": "proxy.example:3128"})) == "http://proxy.example:3128"
    assert "HTTPS_PROXY is not set" in faults(settings(provider(proxy="${HTTPS_PROXY}")))[0]
    assert address(only(settings(), {"HTTPS_PROXY": PROXY, "https_proxy": PROXY})) is None


def test_http2_stays_http2_through_a_proxy() -> None:
    loaded = check(settings(provider(proxy=PROXY, transport="httpx-http2"))).settings
    assert loaded.transport_of(loaded.providers[0]) == "httpx-http2"


@pytest.mark.parametrize(
    ("everybodys", "own"),
    [({}, {"proxy": PROXY}), ({"proxy": PROXY}, {}), ({"proxy": PROXY}, {"proxy": PROXY})],
)
def test_our_own_transport_named_beside_a_proxy_is_a_fault(
    everybodys: dict[str, Any], own: dict[str, Any]
) -> None:
    assert faults(settings(provider(transport="trio", **own), **everybodys)) == [
        'providers[0].transport: is "trio", which goes through no proxy. Leave it out, and httpx carries '
        "what goes through `proxy`; or set this provider's `proxy` to null."
    ]


@pytest.mark.parametrize("own", [{"proxy": "none"}, {"base_url": LOCAL}])
def test_our_own_transport_is_fine_where_the_files_proxy_is_not_used(own: dict[str, Any]) -> None:
    loaded = check(settings(provider(transport="trio", **own), proxy=PROXY)).settings
    assert loaded.transport_of(loaded.providers[0]) == "trio"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (f"http://me:{PASSWORD}@proxy.example:port", "is not an address"),
        (f"http://me:{PASSWORD}@proxy.example:0", "is not an address"),
        (f"http://me:{PASSWORD}@:3128", "is not an address"),
        (f"http://[::1:{PASSWORD}", "is not an address"),
        (f"socks5://me:{PASSWORD}@proxy.example", "is a SOCKS proxy"),
        (f"ftp://me:{PASSWORD}@proxy.example", "should be an address like http://"),
        (f"http://me:{PASSWORD}@proxy.example/path", "goes too far"),
        (f"http://me:{PASSWORD}@proxy.example?x", "goes too far"),
        (f"http://me:{PASSWORD} x@proxy.example", "has a space"),
        (f"http://me:{PASSWORD}\n@proxy.example", "a control character"),
        (f"http://mé:{PASSWORD}@proxy.example", "beyond ASCII"),
        (7, "should be a string, not a number"),
    ],
)
def test_an_address_that_is_none_is_a_fault_that_does_not_show_it(written: Any, words: str) -> None:
    for text in (settings(provider(proxy=written)), settings(proxy=written)):
        (fault,) = faults(text)
        assert "proxy: " in fault
        assert words in fault
        assert PASSWORD not in fault


def test_a_proxy_of_a_disabled_provider_needs_no_variable() -> None:
    unused = provider(name="two", enabled=False, proxy="${NOWHERE}")
    assert check(settings(provider(), unused)).settings.providers[1].outgoing_proxy is None


def test_a_proxys_password_is_shown_nowhere() -> None:
    loaded = check(settings(provider(), proxy="http://them:p%40ss-canary-1@proxy.example:3128")).settings
    scrub = scrubber(secrets_of(loaded), ["one"])
    of_one = scrubber(secrets_of_provider(loaded.providers[0]), ["one"])
    for form in ("p%40ss-canary-1", "p@ss-canary-1", "dGhlbTpwQHNzLWNhbmFyeS0x"):
        assert "***" in scrub(f"x {form} y")
        assert form not in scrub(f"x {form} y")
        assert form not in of_one(f"x {form} y")
    assert "canary" not in f"{loaded!r} {loaded}"
    unused = check(settings(provider(base_url=LOCAL), proxy=PROXY)).settings  # but it is in the file
    assert PASSWORD not in scrubber(secrets_of(unused), ["one"])(f"x {PASSWORD} y")
    assert secrets_of_proxy(Secret("http://proxy.example")) == ()
    assert secrets_of_proxy(Secret("http://token-alone@proxy.example")) == ("token-alone",)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (PROXY, "http://***@proxy.example:3128"),
        ("https://proxy.example", "https://proxy.example"),
        ("http://a%40b:c%40d@[::1]:8080", "http://***@[::1]:8080"),
    ],
)
def test_an_address_is_shown_without_its_user(written: str, shown: str) -> None:
    assert shown_proxy(Secret(written)) == shown


# -- certificates --


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "certs").mkdir()
    trustme.CA().cert_pem.write_to_path(tmp_path / "certs" / "corp.pem")
    return tmp_path


def loaded_in(folder: Path, *entries: dict[str, Any], **keys: Any) -> Settings:
    file = folder / "providers.json"
    file.write_text(settings(*entries, **keys))
    file.chmod(0o600)
    return load(file, {"BUNDLE": "certs/corp.pem", "HOME": str(folder)}).settings


@pytest.mark.parametrize("written", ["certs/corp.pem", "./certs/../certs/corp.pem", "${BUNDLE}"])
def test_a_bundle_is_found_beside_the_file_wherever_one_works(
    folder: Path, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    whole = str(folder / "certs" / "corp.pem")
    two = provider(name="two") | {"ca_bundle": None}
    both = loaded_in(folder, provider(), two, ca_bundle=written)
    assert [entry.authorities for entry in both.providers] == [whole, None]
    assert both.ca_bundle == whole
    alone = loaded_in(folder, provider(ca_bundle=written), provider(name="two"))
    assert [entry.authorities for entry in alone.providers] == [whole, None]
    assert loaded_in(folder, provider(ca_bundle="none"), ca_bundle=whole).providers[0].authorities is None


def test_a_bundle_may_lie_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    loaded = loaded_in(folder, provider(ca_bundle="~/certs/corp.pem"))
    assert loaded.providers[0].authorities == str(folder / "certs" / "corp.pem")


def test_what_stands_around_certificates_does_no_harm(folder: Path) -> None:
    path = folder / "certs" / "corp.pem"
    path.write_bytes("# Autorité de la société\n".encode() + path.read_bytes() * 2)
    assert loaded_in(folder, ca_bundle=str(path)).ca_bundle == str(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "names a file that cannot be read: No such file or directory."),
        ("", "has no certificate in PEM in it; those begin with -----BEGIN CERTIFICATE-----."),
        ("-----BEGIN PRIVATE KEY-----\nAA==\n", "(a private key is no certificate)"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "that cannot be read."),
        ("x" * (16 * 2**20 + 1), "is larger than any file of certificates should be."),
    ],
    ids=["gone", "empty", "key", "junk", "huge"],
)
def test_a_bundle_that_nobody_can_use_is_a_fault_at_its_place(
    folder: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (folder / "bad.pem").write_text(content)
    with pytest.raises(ConfigError) as caught:
        loaded_in(folder, provider(ca_bundle="bad.pem"), provider(name="two"), ca_bundle="bad.pem")
    places = [str(fault.path) for fault in caught.value.faults]
    assert sorted(places) == ["ca_bundle", "providers[0].ca_bundle"]
    assert all(words in fault.message and fault.line for fault in caught.value.faults)


def test_a_folder_is_no_bundle_and_a_disabled_providers_is_not_looked_at(folder: Path) -> None:
    with pytest.raises(ConfigError, match="names a file that cannot be read: Is a directory"):
        loaded_in(folder, ca_bundle="certs")
    unused = provider(name="two", enabled=False, ca_bundle="nowhere.pem")
    assert len(loaded_in(folder, provider(), unused).providers) == 2


@pytest.mark.parametrize(("proxy", "warned"), [(PROXY, True), ("http://proxy.example:3128", False)])
def test_a_password_in_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, proxy: str, warned: bool
) -> None:
    file = tmp_path / "providers.json"
    for text in (
        settings(provider(api_key="${K}"), proxy=proxy),
        settings(provider(api_key="${K}", proxy=proxy)),
    ):
        file.write_text(text)
        file.chmod(0o644)
        notes = load(file, {"K": "k1"}).notes
        assert any("holds a key and others can read it" in note for note in notes) == warned
        assert PASSWORD not in json.dumps(notes)
