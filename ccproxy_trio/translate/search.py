"""What a search engine found, made fit for a model: only what the client allows, clean and short."""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import SplitResult, urlsplit

from ccproxy_trio.wire.search import Hit, SearchErrorCode, SearchQuestion

QUERY_CHARACTERS = 1_000
_URL_CHARACTERS = 2_000
_TITLE_CHARACTERS = 200
_SNIPPET_CHARACTERS = 600
_AGE_CHARACTERS = 40
_MOST_READ = 20_000  # characters of one field; what is shown is far less

_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[!?][^<>]*>")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def refusal(question: SearchQuestion) -> SearchErrorCode | None:
    """Why this question is not worth asking anybody; None if it is."""
    if question.max_uses is not None and question.max_uses < 1:
        return "max_uses_exceeded"
    if not question.query:
        return "invalid_tool_input"
    return "query_too_long" if len(question.query) > QUERY_CHARACTERS else None


def presentable(hits: Iterable[Hit], question: SearchQuestion, *, at_most: int) -> tuple[Hit, ...]:
    """The first hits that may be shown, cleaned: web addresses within the domains asked for, each once."""
    shown: dict[str, Hit] = {}
    for hit in hits:
        if len(shown) == at_most:
            break
        if hit.url not in shown and _may_be_shown(hit.url, question):
            shown[hit.url] = Hit(
                url=hit.url,
                title=_clean(hit.title, _TITLE_CHARACTERS) or hit.url,
                snippet=_clean(hit.snippet, _SNIPPET_CHARACTERS),
                published=_age(hit.published),
            )
    return tuple(shown.values())


def in_words(query: str, hits: tuple[Hit, ...]) -> str:
    """The hits as a text, since the model that asked is shown no more than that of what was found."""
    if not hits:
        return f"The web search for {_quoted(query)} found nothing."
    return "\n\n".join((f"Web search results for {_quoted(query)}:", *_entries(hits)))


def _entries(hits: tuple[Hit, ...]) -> Iterator[str]:
    for number, hit in enumerate(hits, start=1):
        age = f"({hit.published})" if hit.published else ""
        head = f"{number}. {hit.title}"
        yield "\n".join(line for line in (f"{head} {age}".rstrip(), hit.url, hit.snippet) if line)


def _quoted(query: str) -> str:
    return f'"{" ".join(query.split())}"'


def _may_be_shown(url: str, question: SearchQuestion) -> bool:
    split = _split(url)
    if split is None:
        return False
    allowed, blocked = question.allowed_domains, question.blocked_domains
    if allowed and not any(_covers(domain, split) for domain in allowed):
        return False
    return not any(_covers(domain, split) for domain in blocked)


def _split(url: str) -> SplitResult | None:
    """The parts of an address of the web; None for anything else."""
    if len(url) > _URL_CHARACTERS or not url.isprintable() or " " in url:
        return None
    try:
        split = urlsplit(url)
    except ValueError:  # brackets that do not match
        return None
    return split if split.scheme in ("http", "https") and split.hostname else None


def _covers(domain: str, url: SplitResult) -> bool:
    """Whether a domain of the client's, `example.com` or `example.com/blog/*`, takes in the address."""
    entry = domain.strip()
    name, _, path = (entry.partition("://")[2] or entry).partition("/")
    wanted, host = _host(name.removeprefix("*.")), _host(url.hostname or "")
    if not wanted or not (host == wanted or host.endswith("." + wanted)):
        return False
    return _is_below(url.path, f"/{path}".removesuffix("*").rstrip("/"))


def _is_below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or in it. A star stands for anything."""
    at = 0
    for place, piece in enumerate(folder.split("*")):
        found = path.find(piece, at)
        if found < 0 or (place == 0 and found > 0):
            return False
        at = found + len(piece)
    return "*" in folder or path[at : at + 1] in ("", "/")


def _host(name: str) -> str:
    """A host's name in the one spelling that can be compared."""
    lower = name.lower().rstrip(".")
    try:
        return lower.encode("idna").decode() if not lower.isascii() else lower
    except UnicodeError:
        return lower


def _clean(text: str, characters: int) -> str:
    """One line without markup and without anything that cannot be printed."""
    # Twice, because an engine may have escaped a page's markup instead of taking it out.
    text = _TAG.sub("", html.unescape(_TAG.sub("", text[:_MOST_READ])))
    text = "".join(" " if unicodedata.category(character)[0] == "C" else character for character in text)
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def _age(published: str | None) -> str | None:
    line = _clean(published or "", _AGE_CHARACTERS)
    date = _DATE.match(line)
    return (date.group() if date else line) or None
