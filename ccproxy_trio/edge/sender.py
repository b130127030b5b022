"""Who sent a request: what of its head a provider may get to see that speaks Anthropic's own wire."""

import re
from collections.abc import Mapping

from ccproxy_trio.edge.guard import Guard
from ccproxy_trio.settings.model import Secret
from ccproxy_trio.settings.scrub import SHORTEST_SECRET
from ccproxy_trio.translate.question import Credential, Sender

# Not even to be looked at by whoever puts a request: keys, and what is between the client and us.
_WITHHELD = frozenset(
    {"authorization", "x-api-key", "api-key", "proxy-authorization", "cookie", "host", "content-length"}
)
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$'()*+,;:@/?&=%]{0,500}")


def sender_of(headers: Mapping[str, str], query: bytes, *, credential: Credential | None) -> Sender:
    """The sender of a request with these headers (names in lower case), as far as it may be passed on.

    `credential` is the client's own key, where somebody is asked with it. A query that could not be part of
    an address is left out, and so are headers that could not be sent: where they make trouble, it would look
    like the provider's.
    """
    asked = query.decode("latin-1")
    return Sender(
        headers=tuple(
            (name, value) for name, value in headers.items() if name not in _WITHHELD and value.isprintable()
        ),
        query=asked if _QUERY.fullmatch(asked) else "",
        credential=credential,
    )


def credential_of(headers: Mapping[str, str], guard: Guard) -> Credential | None:
    """The client's own key: `authorization` first; never one that opens this proxy, in whatever form."""
    for name in ("authorization", "x-api-key"):
        value = headers.get(name, "").strip()
        is_placeholder = len(value.rpartition(" ")[2]) < SHORTEST_SECRET  # `Bearer any`
        if value.isprintable() and not is_placeholder and not guard.is_ours(value):
            return Credential(name, Secret(value))
    return None
