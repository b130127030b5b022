"""Whose certificates are believed: the system's, and a bundle's beside them."""

import ssl
from pathlib import Path

import certifi
import pytest
import trustme

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.upstream import trust as under_test
from ccproxy_trio.upstream.trust import Trust, system_authorities


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "corp.pem"
    trustme.CA(organization_name="Corp").cert_pem.write_to_path(path)
    return path


def organisations(context: ssl.SSLContext) -> set[str]:
    """Of those authorities that are loaded; the ones in OpenSSL's folder are looked up as they are needed."""
    subjects = [dict(field[0] for field in each["subject"]) for each in context.get_ca_certs()]  # type: ignore[misc,union-attr]
    return {str(subject.get("organizationName")) for subject in subjects}


def test_a_bundle_is_believed_beside_the_systems_authorities(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "system_authorities", lambda: (certifi.where(), None))
    trust = Trust()
    plain, with_bundle = trust.context(None), trust.context(str(bundle))
    assert organisations(with_bundle) - organisations(plain) == {"Corp"}
    assert len(organisations(plain)) > 10
    assert organisations(plain) < organisations(with_bundle)
    for context in (plain, with_bundle):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not with_bundle.verify_flags & ssl.VERIFY_X509_STRICT


def test_one_content_has_one_context_wherever_it_lies(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pem"
    copy.write_bytes(bundle.read_bytes())
    trust = Trust()
    first = trust.context(str(bundle))
    assert trust.context(str(copy)) is first
    assert trust.context(None) is trust.context(None) is not first
    trustme.CA().cert_pem.write_to_path(bundle)
    assert trust.context(str(bundle)) is not first


def test_a_bundle_that_has_gone_is_a_fault_of_the_configuration(bundle: Path) -> None:
    bundle.unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Trust().context(str(bundle))


class Paths:
    """What OpenSSL was built to look into."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.openssl_cafile, self.openssl_capath = str(file), str(folder)


def test_where_the_system_has_no_authorities_certifis_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers without `ca-certificates`, and in Pythons that were built elsewhere."""
    file, folder = tmp_path / "cert.pem", tmp_path / "certs"
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: Paths(file, folder))
    assert system_authorities() == (certifi.where(), None)
    folder.mkdir()
    assert system_authorities() == (certifi.where(), None)
    (folder / "one.0").touch()
    assert system_authorities() == (None, str(folder))
    file.touch()
    assert system_authorities() == (str(file), str(folder))
