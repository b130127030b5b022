"""Who may ask: the client key, and the checks that keep web pages out.

A proxy on loopback is reachable by every page the user's browser opens: by a cross-site POST, or through a
host name that an attacker lets point to 127.0.0.1. The first bears an Origin, the second a foreign Host.
"""

import base64
import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import trio
from msgspec import Struct

from ccproxy_trio.journal import Journal, Note
from ccproxy_trio.settings.hosts import is_loopback
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.wire.faults import RequestRefused

_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
QUIET = 10.0  # seconds between lines about refused callers
_CROSS_SITE = frozenset({"cross-site", "same-site"})
_LISTS = frozenset({"anthropic-beta"})  # those that are read here


class Caller(Struct, frozen=True, kw_only=True):
    """What a request shows of its sender. `server` is the address it arrived at, `peer` the sender's."""

    headers: Mapping[str, str]  # lower-cased names
    server: str | None
    peer: str | None


def headers_of(sent: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """What a request's head says; names are in lower case. Of a name that comes twice the last value counts.

    Of a list that comes in several headers all of it does.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in sent:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in _LISTS and name in headers else value
    return headers


class Guard:
    """Decides on each request before anything else is looked at."""

    def __init__(self, settings: Settings) -> None:
        self.adopt(settings)

    def adopt(self, settings: Settings) -> None:
        """Decide by these settings from now on."""
        self._keys = [_digest(key.reveal()) for key in settings.client_api_keys]
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in settings.allowed_origins)

    def check(self, caller: Caller) -> None:
        """Let the request in, or say why not.

        Raises:
            RequestRefused: 403, wrong Host or Origin, or an open door without a key.
        """
        if not self._keys and not is_loopback(caller.server):
            raise _forbidden(
                "This proxy is reachable from other machines but has no client key. "
                "Set client_api_keys (or ANTHROPIC_API_KEY), or bind it to 127.0.0.1."
            )
        self._check_host(caller)
        self._check_origin(caller)

    def check_key(self, caller: Caller) -> None:
        """Insist on a client key, where there are any.

        Raises:
            RequestRefused: 401.
        """
        if not self.knows(caller):
            raise RequestRefused(
                "This proxy wants a client key: set Claude Code's ANTHROPIC_AUTH_TOKEN to it or, to keep "
                'your own login, ANTHROPIC_CUSTOM_HEADERS to "x-api-key: THE_KEY".',
                status=401,
                kind="authentication_error",
            )

    def knows(self, caller: Caller) -> bool:
        """The caller shows a valid client key in either header, or none is needed."""
        if not self._keys:
            return True
        offered = [_digest(key) for key in _offered_keys(caller.headers)]
        # Digests have one length, so the comparison takes as long for a near miss as for a far one; every
        # pair is compared, so it does not tell which key was close either.
        matches = [hmac.compare_digest(key, offer) for key in self._keys for offer in offered]
        return any(matches)

    def is_ours(self, value: str) -> bool:
        """Whether a header's value holds one of the client keys, however it is wrapped up."""
        if not self._keys:
            return False
        return not {_digest(form) for form in _forms(value)}.isdisjoint(self._keys)

    def trusts(self, caller: Caller) -> bool:
        """The caller may see details: it holds a key, or it sits on this machine and none is set."""
        return self.knows(caller) and (bool(self._keys) or is_loopback(caller.peer))

    def _check_host(self, caller: Caller) -> None:
        name = _host_name(caller.headers.get("host", ""))
        if name in self._hosts or name == caller.server or is_loopback(name):
            return
        if is_loopback(caller.server) or self._hosts:
            raise _forbidden(
                f"The host name {name[:100]!r} is not one of this proxy's. "
                "Add it to allowed_hosts if it should be."
            )

    def _check_origin(self, caller: Caller) -> None:
        if caller.headers.get("sec-fetch-site", "none") in _CROSS_SITE:
            raise _forbidden("Web pages of other sites may not use this proxy.")
        origin = caller.headers.get("origin", "").lower().rstrip("/")
        if not origin or origin in self._origins:
            return
        if origin.partition("://")[2] != caller.headers.get("host", "").lower():
            raise _forbidden(
                "Web pages of other origins may not use this proxy. Add the origin to allowed_origins."
            )


class TurnedAway:
    """Tells the operator of callers that were refused: one line in ten seconds, however many knock."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._quiet_until = -math.inf
        self._untold = 0

    def note(self, caller: Caller, refusal: RequestRefused, *, request_id: str) -> None:
        """One more was refused."""
        now = trio.current_time()
        if now < self._quiet_until:
            self._untold += 1
            return
        more = f" (and {self._untold} more before)" if self._untold else ""
        text = f"Refused a caller at {caller.peer or 'a socket'}: {refusal.message}{more}"
        self._quiet_until, self._untold = now + QUIET, 0
        self._journal(Note(level="warning", event="caller.refused", text=text, request_id=request_id))


def _host_name(host: str) -> str:
    """The name in a Host header, without the port: `[::1]:8082` gives `::1`."""
    if not _HOST.fullmatch(host):
        return ""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _offered_keys(headers: Mapping[str, str]) -> Sequence[str]:
    offered = []
    if key := headers.get("x-api-key"):
        offered.append(key)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        offered.append(token.strip())
    return offered


def _forms(value: str) -> Iterator[str]:
    """A value and its parts: each may be a key, bare, behind a scheme, in quotes, or as Basic has it."""
    words = [value, *re.split(r"[\s,]+", value)]
    for word in words:
        yield word
        yield word.strip("\"'")
    with suppress(ValueError):  # not Basic
        user, _, password = base64.b64decode(words[-1], validate=True).decode().partition(":")
        yield user
        yield password


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _forbidden(message: str) -> RequestRefused:
    return RequestRefused(message, status=403, kind="permission_error")
