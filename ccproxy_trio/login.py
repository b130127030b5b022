"""A client's own key, which is passed on: what its provider says of it, and that nobody reads of it."""

from ccproxy_trio.settings.scrub import scrubber
from ccproxy_trio.translate.question import Credential
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault


def of_the_client(fault: UpstreamFault, credential: Credential | None) -> None:
    """Let a fault met with `credential` speak of the client where it speaks of the key, and not show the key.

    None: the request came without one, so it was made without any.
    """
    if fault.kind is FaultKind.AUTH:
        fault.kind = FaultKind.LOGIN
    if credential is not None:
        fault.message = scrubber([credential.value.reveal()], [])(fault.message)
