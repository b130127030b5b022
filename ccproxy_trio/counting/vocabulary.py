"""A model's own vocabulary, from `splintr`: tokens counted exactly, without keeping other threads waiting.

Two facts about `splintr` shape this module. Its batch encoder is the one that lets other threads run, but
takes a special token spelled out in a text (`<|endoftext|>` in a source file) for the token itself, which no
provider does with a client's text. Its ordinary encoder does not, but holds the interpreter for as long as it
takes. So long texts are cut into pieces where the count does not change, and only those pieces that spell
out a special token go the slow way.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import trio

from ccproxy_trio.translate.tokens import Text

if TYPE_CHECKING:
    from splintr import AnyTokenizer

PIECE = 16_000  # characters
_SPECIMEN = "xqzjkwv é日ß 12\n"  # no vocabulary has these as words

# Where every vocabulary in use begins a new word in any case: behind a line's end, before a letter or digit;
# behind a letter, before a space and a letter.
_SEAM = re.compile(r"(?<=\n)(?=[^\W_])|(?<=[A-Za-z])(?= [A-Za-z])")


class Vocabulary(Protocol):
    """Whatever can count tokens."""

    def count(self, texts: Sequence[Text]) -> int:
        """Tokens of the texts, each counted by itself. Thread-safe."""


async def load(names: Iterable[str]) -> dict[str, Vocabulary]:
    """The vocabularies of these names; none where the `tokens` extra is not installed.

    Each takes up to half a second, once: at the start.
    """
    wanted = sorted(set(names))
    return await trio.to_thread.run_sync(_load, wanted) if wanted else {}


def _load(names: Sequence[str]) -> dict[str, Vocabulary]:
    try:
        from splintr import Tokenizer  # an optional extra
    except ImportError:
        return {}
    loaded: dict[str, Vocabulary] = {name: Splintr(Tokenizer.from_pretrained(name)) for name in names}
    for vocabulary in loaded.values():
        # The first word that is not in a vocabulary as a whole builds its tables: 0.1 to 0.25 s.
        vocabulary.count([_SPECIMEN])
    return loaded


class Splintr:
    """A vocabulary of `splintr`'s."""

    def __init__(self, tokenizer: "AnyTokenizer") -> None:
        self._tokenizer = tokenizer
        spelled = sorted(tokenizer.special_tokens(), key=len, reverse=True)
        self._longest = len(spelled[0]) if spelled else 0
        self._special = re.compile("|".join(map(re.escape, spelled)) or r"(?!)")

    def count(self, texts: Sequence[Text]) -> int:
        """Tokens of the texts, each counted by itself, special tokens as the text they are spelled with."""
        plain: list[str] = []
        count = 0
        for piece in _pieces(texts):
            if self._spells_special(piece):
                count += len(self._tokenizer.encode_ordinary(piece))
            else:
                plain.append(piece)
        ids, _ = self._tokenizer.encode_batch_flat(plain)
        return count + len(ids) // 4  # ids are 32 bits wide

    def _spells_special(self, piece: str) -> bool:
        # In steps, as in `_pieces`: a regular expression holds the interpreter until it is through.
        starts = range(0, len(piece), PIECE)
        return any(self._special.search(piece, at, at + PIECE + self._longest) for at in starts)


def _pieces(texts: Iterable[Text]) -> Iterator[str]:
    """The texts, long ones cut at seams."""
    for text in texts:
        whole = text if isinstance(text, str) else bytes(text).decode()
        start = 0
        for step in range(PIECE, len(whole), PIECE):
            seam = _SEAM.search(whole, step, step + PIECE)
            if seam is not None:
                yield whole[start : seam.start()]
                start = seam.start()
        yield whole[start:]
