"""Whose certificates are believed: the system's authorities, and beside them those of a `ca_bundle`.

A bundle is added to the system's, as NODE_EXTRA_CA_CERTS does it: a company's proxy that opens up TLS leaves
some hosts alone, and both kinds must work. SSL_CERT_FILE and SSL_CERT_DIR of the environment are not asked;
whoever means them names them in the configuration, as ${SSL_CERT_FILE}.
"""

import hashlib
import os
import ssl
from pathlib import Path

import certifi

from ccproxy_trio.settings.authorities import certificates
from ccproxy_trio.settings.fault import ConfigError, ConfigFault


class Trust:
    """TLS contexts, one for each set of certificates: making one takes 20 to 700 ms.

    As long as a bundle's content stays the same, so does its context; a changed one is a new context.
    """

    def __init__(self) -> None:
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    def context(self, ca_bundle: str | None) -> ssl.SSLContext:
        """The context that trusts the system's authorities, and those in the file of this name.

        Raises:
            ConfigError: the file was good when the configuration was loaded, and is no more.
        """
        pem = None if ca_bundle is None else _read(ca_bundle)
        mark = b"" if pem is None else hashlib.sha256(pem.encode()).digest()
        if mark not in self._contexts:
            self._contexts[mark] = _context(pem)
        return self._contexts[mark]


def _read(path: str) -> str:
    try:
        return certificates(Path(path))
    except ValueError as problem:
        raise ConfigError([ConfigFault(file=path, message=str(problem))]) from None


def _context(pem: str | None) -> ssl.SSLContext:
    file, folder = system_authorities()
    context = ssl.create_default_context(cafile=file, capath=folder)
    if pem is not None:
        context.load_verify_locations(cadata=pem)
        # From Python 3.13 on, certificates are refused for form's sake (no key identifier). Those that
        # companies issue to themselves often lack it, and here somebody has vouched for them by name.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def system_authorities() -> tuple[str | None, str | None]:
    """The file and the folder that OpenSSL was built to look into; certifi's file where they hold nothing."""
    paths = ssl.get_default_verify_paths()
    file = paths.openssl_cafile if os.path.isfile(paths.openssl_cafile) else None
    folder = paths.openssl_capath if _holds_something(paths.openssl_capath) else None
    return (file, folder) if file or folder else (certifi.where(), None)


def _holds_something(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False
