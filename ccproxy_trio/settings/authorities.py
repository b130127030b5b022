"""The `ca_bundle`s of a configuration: found beside it, read, and refused when nobody could use them.

Only the path goes on; whoever makes connections reads the file again. What is checked here is told with its
place in the configuration, instead of as a handshake that fails later.
"""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from ccproxy_trio.settings.fault import ConfigError, ConfigFault
from ccproxy_trio.settings.fault import Path as Place
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.settings.source import Document

MOST_BYTES = 16 * 2**20  # all the world's public authorities are 0.2 MiB


def anchored(settings: Settings, document: Document, folder: Path) -> Settings:
    """The same with whole paths of `ca_bundle`s, which are relative to `folder` as they are written.

    Raises:
        ConfigError: with every bundle that cannot be used.
    """
    faults = list(_faults(settings, document, folder))
    if faults:
        raise ConfigError(faults)
    providers = tuple(
        structs.replace(provider, ca_bundle=str(whole(provider.authorities, folder)))
        if provider.authorities
        else provider
        for provider in settings.providers
    )
    everybodys = settings.ca_bundle and str(whole(settings.ca_bundle, folder))
    return structs.replace(settings, providers=providers, ca_bundle=everybodys)


def whole(path: str, folder: Path) -> Path:
    """The path as it is opened: `~` is the user's home, and a relative one begins at `folder`."""
    return Path(os.path.abspath(folder / os.path.expanduser(path)))


def certificates(path: Path) -> str:
    """The certificates in a file, as PEM.

    Raises:
        ValueError: the file cannot be read, or has none that can be used; the text is the end of a sentence.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or type(error).__name__}.") from None
    if len(data) > MOST_BYTES:
        raise ValueError("is larger than any file of certificates should be.")
    text = data.decode("latin-1")  # comments between certificates are in any encoding; PEM is ASCII
    text = "".join(each if each.isascii() else " " for each in text)
    if "-----BEGIN CERTIFICATE-----" not in text:
        hint = " (a private key is no certificate)" if "PRIVATE KEY-----" in text else ""
        raise ValueError(
            f"has no certificate in PEM in it{hint}; those begin with -----BEGIN CERTIFICATE-----."
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except ssl.SSLError:
        raise ValueError("has a certificate in it that cannot be read.") from None
    return text


def _faults(settings: Settings, document: Document, folder: Path) -> Iterator[ConfigFault]:
    for place, path in _named(settings, document):
        try:
            certificates(whole(path, folder))
        except ValueError as problem:
            yield document.at_value(place, f"names a file that {problem}")


def _named(settings: Settings, document: Document) -> Iterator[tuple[Place, str]]:
    """Each bundle where it is written; one that a provider has from the whole file is named once."""
    if settings.ca_bundle:
        yield ("ca_bundle",), settings.ca_bundle
    for index, provider in enumerate(settings.providers):
        place: Place = ("providers", index, "ca_bundle")
        if provider.enabled and provider.authorities and place in document.values:
            yield place, provider.authorities
