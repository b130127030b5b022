"""Making a provider's own words fit to be shown: short, printable, and without secrets.

A provider may echo what we sent it, and a gateway in between may answer with a page of HTML.
"""

import re

MOST_BYTES = 2000
_MOST_READ = 16_000  # characters looked at; what is shown is far less

_TITLE = re.compile(r"<title[^>]*>(.{1,300}?)</title", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z!?][^<>]{0,2000}>")
_SPACE = re.compile(r"\s+")

_HIDDEN = "[hidden]"
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # https://user:password@host and ?api-key=...: what follows the path of a URL is nobody's business.
    (re.compile(r"\b(https?://)[^\s/@\"'<>]*@", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/*=-]{4,}", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    # Keys of known makes, also half masked ("sk-proj-abc***xyz").
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|nvapi|pplx)[-_][\w*.-]{6,}"), _HIDDEN),
    (re.compile(r"\bAIza[\w*-]{10,}"), _HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*"), _HIDDEN),
    # A long word that is not one, after a word that says what it is; but not what goes on with a hyphen, as
    # the betas `token-efficient-tools-2025-02-19` and `thinking-token-count-2026-05-13` do.
    (
        re.compile(
            r"\b((?:api|access|secret|subscription)?[-_ ]?"
            r"(?:key|token|secret|password|credential|authorization)s?[\"'`]?(?:\s+(?:provided|is|was))?\s*[:=]?\s*[\"'`]?)"
            r"(?!(?<=[a-z])-)(?=[\w+/=*.-]*\d)(?=[\w+/=*.-]*[A-Za-z*])[\w+/=*.-]{8,}",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
    # Whatever it is called, a run of forty letters and digits is no word of any language.
    (re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])[A-Za-z0-9]{40,}\b"), _HIDDEN),
)


def sanitise(text: str) -> str:
    """`text` on one line: no control characters, HTML or key-like strings, at most `MOST_BYTES` of UTF-8."""
    text = text[:_MOST_READ]
    if looks_like_html(text):
        text = _readable(text)
    # What cannot be printed includes direction marks and half surrogates; all of it becomes a blank.
    text = "".join(character if character.isprintable() else " " for character in text)
    text = _SPACE.sub(" ", text).strip()
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return _cut(text)


def looks_like_html(text: str) -> bool:
    """Whether this is a page rather than a message."""
    head = text[:1000].lstrip().lower()
    return head.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")) or "<html" in head


def _readable(page: str) -> str:
    """A page's title, or else its first words."""
    title = _TITLE.search(page)
    return title.group(1) if title else _TAG.sub(" ", _UNSEEN.sub(" ", page))[:600]


def _cut(text: str) -> str:
    if len(text.encode()) <= MOST_BYTES:
        return text
    return text.encode()[: MOST_BYTES - 3].decode("utf-8", "ignore") + "…"
