"""What an answer leaves behind for the provider's next request, collected while the answer passes."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from ccproxy_trio.translate.state import ReplayState, carriers, seal, text_detail
from ccproxy_trio.wire.chunks import Loose

_encoder = msgspec.json.Encoder()
_members = msgspec.json.Decoder(dict[str, Raw])
_GROWING = ("text", "summary")  # members that come in pieces; the others come whole


class _Detail(Struct, frozen=True):
    """What of a `reasoning_details` item decides whether the next one continues it."""

    type: str = ""
    index: Loose = None
    text: str | None = None
    summary: str | None = None
    signature: str | None = None


_detail_decoder = msgspec.json.Decoder(_Detail)
_text_decoder = msgspec.json.Decoder(str)


class Carry:
    """The state that the client has not got yet. `take` empties it into carriers.

    Items of `reasoning_details` come in pieces in a stream: neighbours of one type and index are one item,
    joined here, since the provider wants back what it would have sent whole. An item that came whole is kept
    byte for byte.
    """

    def __init__(self, provider: str, model: str, *, wire: str = "chat") -> None:
        self._bare = ReplayState(provider, model, wire=wire)
        self._details: list[list[Raw]] = []
        self._last: _Detail | None = None
        self._hidden: list[str] = []
        self._signatures: dict[str, Raw] = {}

    def add_detail(self, raw: Raw) -> None:
        """Take a `reasoning_details` item of a chunk."""
        detail = _decode(raw)
        if self._last is not None and _continues(self._last, detail):
            self._details[-1].append(raw)
        else:
            self._details.append([raw])
        self._last = detail

    def add_whole_detail(self, raw: Raw) -> None:
        """Take a `reasoning_details` item of a message."""
        self._details.append([raw])

    def add_hidden(self, text: str) -> None:
        """Take reasoning that the client is not shown but the provider wants back."""
        self._hidden.append(text)

    def add_signatures(self, signatures: Mapping[str, Raw]) -> None:
        """Take what belongs to single calls, by our tool id."""
        self._signatures.update(signatures)

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._details or self._hidden or self._signatures)

    def sign(self) -> str:
        """A signature that says who thought, and carries nothing."""
        return seal(self._bare)

    def take(self, *, before: str = "") -> list[str]:
        """Carriers, at least one and nearly always just that, of all there is. Empties.

        `before` is our id of the call that comes next; "": something else does.
        """
        details = [_join(pieces) for pieces in self._details]
        if self._hidden:
            details.append(text_detail("".join(self._hidden)))
        state = replace(
            self._bare, details=details or None, signatures=self._signatures or None, before=before
        )
        self._details, self._last, self._hidden, self._signatures = [], None, [], {}
        return carriers(state)


def detail_text(raw: Raw) -> str:
    """What a `reasoning_details` item has to show; "" for encrypted ones."""
    detail = _decode(raw)
    return detail.text or detail.summary or ""


def _decode(raw: Raw) -> _Detail:
    try:
        return _detail_decoder.decode(raw)
    except ValueError:  # an item of a shape nobody knows still has to come back, untouched
        return _Detail()


def _continues(last: _Detail, detail: _Detail) -> bool:
    if detail.type not in ("reasoning.text", "reasoning.summary"):
        return False
    if last.type != detail.type or last.index != detail.index:
        return False
    return last.signature is None or not detail.text  # a signature ends an item


def _join(pieces: list[Raw]) -> Raw:
    if len(pieces) == 1:
        return pieces[0]
    whole: dict[str, Raw] = {}
    grown: dict[str, list[str]] = {}
    for piece in pieces:
        for name, value in _members.decode(piece).items():
            if bytes(value) == b"null":
                whole.setdefault(name, value)
                continue
            whole[name] = value
            if name in _GROWING:
                grown.setdefault(name, []).append(_text_decoder.decode(value))
    whole.update((name, Raw(_encoder.encode("".join(texts)))) for name, texts in grown.items())
    return Raw(_encoder.encode(whole))
