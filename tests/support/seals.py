"""What a scripted provider puts into an answer to know it again: proofs of its own reasoning.

Each is worked out from what it stands for, so whoever gets one back can tell without a memory whether it is
the one that was given, for this text, by this provider.
"""

import base64
import hashlib
import json
from typing import Any

from msgspec import Struct


class Teller(Struct, frozen=True, kw_only=True):
    """Who answers: the provider, the model's name in its answers, and the how-manieth answer it is.

    `seals`: it gives encrypted reasoning, as OpenAI does when the request asks for that.
    """

    name: str = "scripted"
    model: str = "up-model"
    number: int = 0
    seals: bool = True

    @property
    def mark(self) -> str:
        """What makes an id of this answer its own: letters and digits."""
        return f"{''.join(filter(str.isalnum, self.name))}{self.number:04}"


def signature(name: str, thinking: str) -> str:
    """What Anthropic's wire signs a thinking block with."""
    return _proof("sig", name, thinking)


def encrypted(name: str, *, item_id: str, summary: str, then: str) -> str:
    """The encrypted content of a reasoning item that was followed by an item of the type `then`."""
    return _proof("enc", name, item_id, summary, then)


def redacted(name: str, number: int) -> str:
    """The data of a block whose thinking is not shown."""
    return _proof("red", name, str(number))


def members_of(proof: str, *, kind: str) -> list[str] | None:
    """The members that a proof of this kind was made from, but for texts; None: it is none of ours.

    They are the provider's name and, for reasoning items, the id and the type of what followed.
    """
    try:
        made = json.loads(base64.b64decode(proof, validate=True))
    except ValueError:
        return None
    match made:
        case [str() as found, [*members], str()] if found == kind:
            return [str(member) for member in members]
    return None


def is_signature(proof: str, name: str, thinking: str) -> bool:
    """Whether this is what `name` signed this thinking with."""
    return proof == signature(name, thinking)


def is_redacted(proof: str, name: str) -> bool:
    """Whether `name` gave this data."""
    return (members_of(proof, kind="red") or [""])[0] == name


def reasoning_fault(item: dict[str, Any], name: str, then: str | None) -> str | None:
    """What is wrong with a reasoning item that came back to `name`, with an item of type `then` behind it."""
    proof = item.get("encrypted_content")
    if not proof:
        return "without its encrypted content, and nothing is stored"
    made = members_of(proof, kind="enc")
    if made is None or made[0] != name:
        return "its encrypted content was not given by this provider"
    summary = "".join(part["text"] for part in item["summary"])
    if proof != encrypted(name, item_id=item["id"], summary=summary, then=made[2]):
        return "it is not as it was given: its id, its summary or its encrypted content was changed"
    if then != made[2]:
        return f"its required following item is missing: {made[2]}, but {then} follows"
    return None


def _proof(kind: str, *members: str) -> str:
    shown = members if kind == "red" else (members[0], *([members[1], members[3]] if kind == "enc" else []))
    digest = hashlib.sha256("\0".join(members).encode()).hexdigest()[:16]
    return base64.b64encode(json.dumps([kind, list(shown), digest]).encode()).decode()
