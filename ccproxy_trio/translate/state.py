"""What a provider wants back on the next request, carried by the client inside thinking blocks.

Claude Code returns `thinking.signature` and `redacted_thinking.data` byte for byte (60 kB were tried) and
strips unknown keys everywhere else, so this is the one place where state can travel; the proxy itself keeps
none. The carrier is `ccpx1.` + base64url(JSON), the JSON being
`{"p": provider, "m": upstream model, "rd": [...], "sig": {tool id: extra}, "h": checksum}`. Larger state goes
into several carriers, and an item that is too large for one into pieces (`"cut"`, `"more"`). State of the
Responses API says so (`"w"`), and before which call it stands (`"b"`): Claude Code sends a turn's calls back
behind everything else.

The checksum tells what was cut or edited on the way from what is whole. It is no authentication: a client
may write any state into its own requests, as it may write any message.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw, Struct

PREFIX = "ccpx1."

SEAL_LIMIT_BYTES = 50_000
_ROOM_BYTES = SEAL_LIMIT_BYTES * 3 // 4 - 2_000  # of JSON in a carrier, beside the names and the checksum


class ReplayState(Struct, frozen=True):
    """One answer's state, valid for this provider and upstream model only.

    `details` are `reasoning_details` items in order. Where the reasoning text itself has to come back but is
    not shown to the client, it travels as one item `{"type": "reasoning.text", "text": ...}`: see
    `hidden_reasoning`. `signatures` maps our tool ids to the call's `extra_content`, unchanged. `cut` is a
    piece of the JSON of one item that is too large for a carrier, with `more` of it in the next state.

    On the wire "responses" the details are items of its `output`. `before` is our id of the call that they
    stand in front of; "": what follows them is no call.
    """

    provider: str
    model: str
    details: list[Raw] | None = None
    signatures: dict[str, Raw] | None = None
    cut: str | None = None
    more: bool = False
    wire: str = "chat"
    before: str = ""


class _Sealed(Struct, frozen=True, omit_defaults=True):
    """The JSON inside the carrier."""

    p: str
    m: str
    rd: list[Raw] | None = None
    sig: dict[str, Raw] | None = None
    cut: str | None = None
    more: bool = False
    w: str = "chat"
    b: str = ""
    h: str = ""


class _Item(Struct, frozen=True):
    """The part of a `reasoning_details` item that `hidden_reasoning` reads."""

    type: str = ""
    text: str | None = None


_encoder = msgspec.json.Encoder()
_sealed_decoder = msgspec.json.Decoder(_Sealed)
_item_decoder = msgspec.json.Decoder(_Item)
_raw_decoder = msgspec.json.Decoder(object)


def seal(state: ReplayState) -> str:
    """The carrier of `state`: ASCII, however long. See `carriers`.

    Never empty: a block with an empty signature would poison a later switch to a provider that checks
    signatures.
    """
    sealed = _Sealed(
        p=state.provider,
        m=state.model,
        rd=state.details or None,
        sig=state.signatures or None,
        cut=state.cut,
        more=state.more,
        w=state.wire,
        b=state.before,
    )
    body = _encoder.encode(msgspec.structs.replace(sealed, h=_checksum(sealed)))
    return PREFIX + base64.urlsafe_b64encode(body).decode("ascii")


def carriers(state: ReplayState) -> list[str]:
    """As many carriers, in order, as it takes for each to be at most `SEAL_LIMIT_BYTES` long.

    Only the signature of a single call stays whole whatever its size: none that large was ever seen.
    """
    whole = seal(state)
    return [whole] if len(whole) <= SEAL_LIMIT_BYTES else [seal(part) for part in _parts(state)]


def _parts(state: ReplayState) -> Iterator[ReplayState]:
    bare = ReplayState(state.provider, state.model, wire=state.wire, before=state.before)
    held: list[Raw] = []
    for detail in state.details or ():
        size = len(bytes(detail))
        if held and size + sum(len(bytes(each)) + 1 for each in held) > _ROOM_BYTES:
            yield msgspec.structs.replace(bare, details=held)
            held = []
        if size > _ROOM_BYTES:
            yield from _pieces(bare, bytes(detail).decode())
        else:
            held.append(detail)
    if held:
        yield msgspec.structs.replace(bare, details=held)
    for call, extra in (state.signatures or {}).items():
        yield msgspec.structs.replace(bare, signatures={call: extra})


def _pieces(bare: ReplayState, text: str) -> Iterator[ReplayState]:
    # As a JSON string, a quote or a backslash takes two bytes, any other character up to four.
    length = _ROOM_BYTES // 2 if text.isascii() else _ROOM_BYTES // 4
    for start in range(0, len(text), length):
        more = start + length < len(text)
        yield msgspec.structs.replace(bare, cut=text[start : start + length], more=more)


class Joiner:
    """Puts the items that were cut together again, state by state in their order."""

    def __init__(self) -> None:
        self._cut: list[str] = []

    def details(self, state: ReplayState) -> list[Raw]:
        """The items that are whole with this state. One that lost a piece is left out: half is refused."""
        if state.cut is None:
            return state.details or []
        self._cut.append(state.cut)
        if state.more:
            return []
        whole, self._cut = "".join(self._cut).encode(), []
        return [Raw(whole)] if _is_json(whole) else []


def _is_json(text: bytes) -> bool:
    try:
        _raw_decoder.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


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
    return ReplayState(
        sealed.p, sealed.m, sealed.rd, sealed.sig, sealed.cut, sealed.more, wire=sealed.w, before=sealed.b
    )


def hidden_reasoning(details: Iterable[Raw]) -> str:
    """The reasoning text kept in `details` because the client was not shown it; "" where there is none."""
    try:
        items = [_item_decoder.decode(detail) for detail in details]
    except ValueError:
        return ""
    return "".join(item.text or "" for item in items if item.type == "reasoning.text")


def text_detail(text: str) -> Raw:
    """The `reasoning_details` item that holds `text`: what `hidden_reasoning` reads."""
    return Raw(_encoder.encode({"type": "reasoning.text", "text": text}))


def _checksum(sealed: _Sealed) -> str:
    body = _encoder.encode(msgspec.structs.replace(sealed, h=""))
    return hashlib.blake2s(body, digest_size=8).hexdigest()
