"""What a provider wants back on the next request, carried by the client inside thinking blocks.

Claude Code returns `thinking.signature` and `redacted_thinking.data` byte for byte (60 kB were tried) and
strips unknown keys everywhere else, so this is the one place where state can travel; the proxy itself keeps
none. The carrier is `ccpx1.` + base64url(JSON), the JSON being
`{"p": provider, "m": upstream model, "rd": [...], "sig": {tool id: extra}, "h": checksum}`.

The checksum tells what was cut or edited on the way from what is whole. It is no authentication: a client
may write any state into its own requests, as it may write any message.
"""

import base64
import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

PREFIX = "ccpx1."

# Larger state is left out rather than cut: a provider refuses half a list.
SEAL_LIMIT_BYTES = 50_000


class ReplayState(Struct, frozen=True):
    """One answer's state, valid for this provider and upstream model only.

    `details` are `reasoning_details` items in order. Where the reasoning text itself has to come back but is
    not shown to the client, it travels as one item `{"type": "reasoning.text", "text": ...}`: see
    `hidden_reasoning`. `signatures` maps our tool ids to the call's `extra_content`, unchanged.
    """

    provider: str
    model: str
    details: list[Raw] | None = None
    signatures: dict[str, Raw] | None = None


class _Sealed(Struct, frozen=True, omit_defaults=True):
    """The JSON inside the carrier."""

    p: str
    m: str
    rd: list[Raw] | None = None
    sig: dict[str, Raw] | None = None
    h: str = ""


class _Item(Struct, frozen=True):
    """The part of a `reasoning_details` item that `hidden_reasoning` reads."""

    type: str = ""
    text: str | None = None


_encoder = msgspec.json.Encoder()
_sealed_decoder = msgspec.json.Decoder(_Sealed)
_item_decoder = msgspec.json.Decoder(_Item)


def seal(state: ReplayState) -> str:
    """The carrier of `state`: ASCII, at most `SEAL_LIMIT_BYTES` long.

    What does not fit is left out whole, `details` before `signatures`. Never empty: a block with an empty
    signature would poison a later switch to a provider that checks signatures.
    """
    whole = _write(state.provider, state.model, state.details, state.signatures)
    if len(whole) <= SEAL_LIMIT_BYTES:
        return whole
    without_details = _write(state.provider, state.model, None, state.signatures)
    if len(without_details) <= SEAL_LIMIT_BYTES:
        return without_details
    return _write(state.provider, state.model, None, None)


def unseal(signature: str) -> ReplayState | None:
    """The state inside `signature`, or None where it is not ours, was cut or was edited. Never raises."""
    if not signature.startswith(PREFIX):
        return None
    try:
        body = base64.urlsafe_b64decode(signature[len(PREFIX) :])
        sealed = _sealed_decoder.decode(body)
    except (ValueError, RecursionError):
        return None
    if sealed.h != _checksum(sealed):
        return None
    return ReplayState(sealed.p, sealed.m, sealed.rd, sealed.sig)


def hidden_reasoning(state: ReplayState) -> str:
    """The reasoning text kept in `state` because the client was not shown it; "" where there is none."""
    try:
        items = [_item_decoder.decode(detail) for detail in state.details or ()]
    except ValueError:
        return ""
    return "".join(item.text or "" for item in items if item.type == "reasoning.text")


def text_detail(text: str) -> Raw:
    """The `reasoning_details` item that holds `text`: what `hidden_reasoning` reads."""
    return Raw(_encoder.encode({"type": "reasoning.text", "text": text}))


def _write(provider: str, model: str, details: list[Raw] | None, signatures: Mapping[str, Raw] | None) -> str:
    sealed = _Sealed(provider, model, details or None, dict(signatures) if signatures else None)
    body = _encoder.encode(msgspec.structs.replace(sealed, h=_checksum(sealed)))
    return PREFIX + base64.urlsafe_b64encode(body).decode("ascii")


def _checksum(sealed: _Sealed) -> str:
    body = _encoder.encode(msgspec.structs.replace(sealed, h=""))
    return hashlib.blake2s(body, digest_size=8).hexdigest()
