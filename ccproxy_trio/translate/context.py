"""What all steps of translating one request share: the target, ids and names, what to tell the operator."""

import base64
import hashlib
import re
from collections.abc import Mapping

from ccproxy_trio.translate.dialect import Dialect
from ccproxy_trio.translate.pdf import NO_TEXTS, PdfText
from ccproxy_trio.translate.schema import Rewrite, parameters

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GEMINI_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class Ids:
    """Tool call ids: the client's to ones that the upstream takes, never two alike in one request.

    OpenAI refuses more than 40 characters; Mistral wants exactly nine alphanumerics. The mapping is a hash of
    the client's id, so the same conversation gives the same bytes on every turn.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._nine = dialect.tool_id == "mistral9"
        self._seen: dict[str, int] = {}
        self._taken: set[str] = set()

    def of_call(self, client_id: str) -> str:
        """The upstream id of a call. A client id that occurs again gets another one."""
        occurrence = self._seen.get(client_id, 0)
        self._seen[client_id] = occurrence + 1
        salted = client_id if occurrence == 0 else f"{client_id}#{occurrence}"
        if self._nine or salted in self._taken or not _ID.fullmatch(salted):
            upstream = self._hashed(salted)
            while upstream in self._taken:
                salted += "#"
                upstream = self._hashed(salted)
        else:
            upstream = salted
        self._taken.add(upstream)
        return upstream

    def _hashed(self, text: str) -> str:
        letters = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()
        return letters[:9] if self._nine else f"toolu_{letters[:24]}"


class Names:
    """Tool names: the client's to ones that the upstream takes, and back."""

    def __init__(self, dialect: Dialect) -> None:
        # Gemini wants a letter or an underscore first.
        self._allowed = _GEMINI_NAME if dialect.schema == "gemini" else _NAME
        self._upstream: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        """The upstream name of the tool the client calls `name`."""
        if name not in self._upstream:
            fitted = self._fitted(name)
            salted = name
            while fitted in self._taken:
                salted += "#"
                fitted = self._mangled(name, salted)
            self._taken.add(fitted)
            self._upstream[name] = fitted
        return self._upstream[name]

    def changed(self) -> dict[str, str]:
        """Upstream name to the client's, only where they differ."""
        return {upstream: name for name, upstream in self._upstream.items() if upstream != name}

    def _fitted(self, name: str) -> str:
        return name if self._allowed.fullmatch(name) else self._mangled(name, name)

    def _mangled(self, name: str, salted: str) -> str:
        letters = _NOT_IN_NAMES.sub("_", name)
        if not self._allowed.fullmatch(letters[:1]):
            letters = f"_{letters}"
        return f"{letters[:55]}_{hashlib.sha256(salted.encode()).hexdigest()[:8]}"


class Context:
    """One translation: the target, its dialect, and what was noticed on the way."""

    def __init__(
        self,
        *,
        provider: str,
        model: str,
        dialect: Dialect,
        pdf_texts: Mapping[str, PdfText] = NO_TEXTS,
        rewrite: Rewrite = parameters,
    ) -> None:
        self.provider = provider
        self.model = model
        self.dialect = dialect
        self.pdf_texts = pdf_texts
        self.rewrite = rewrite
        self.ids = Ids(dialect)
        self.names = Names(dialect)
        self._notes: dict[str, None] = {}
        self._breakpoints_left = 4  # OpenAI's limit, and Anthropic's

    def note(self, text: str) -> None:
        """Something was left out or changed that an operator may wonder about. Said once."""
        self._notes[text] = None

    def take_breakpoint(self) -> bool:
        """Whether one more explicit cache breakpoint may be written; counts it."""
        self._breakpoints_left -= 1
        return self._breakpoints_left >= 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noticed, in order."""
        return tuple(self._notes)
