"""`${VAR}` in strings, and what a key or a header may look like once its variables are in.

Pure: the environment is an argument. Sentences name variables, never their values.

The rules: `${VAR}` and `${VAR:-default}` stand anywhere in a string, several at a time; `$$` is a dollar; any
other dollar is itself. A variable's value is trimmed first: white space and a byte order mark at its ends go
(files and shells put them there), and so does one pair of quotes around all of it (`docker run --env-file`
keeps them). A variable that is then empty counts as unset; `${VAR:-}` says that it may be. Values are not
searched for further references.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from ccproxy_trio.settings.fault import nearest

_DOLLAR = re.compile(r"\$\$|\$\{([^{}]*)\}|\$\{")
_REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_BARE = re.compile(r"\$[A-Z_][A-Z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NO_PROXY = "is not an address; look at its host and port. In a password, @ is written as %40 and / as %2F."
_SHAPE = (
    "A `${` must go on as ${NAME} or ${NAME:-default}, with no braces in the default; "
    "write `$${` for the characters themselves."
)


class Expanded(Struct, frozen=True, kw_only=True):
    """A string with its variables put in.

    `missing` are the sentences about variables without a value, `malformed` those about the string itself;
    where there is either, `text` is not `usable`. `referred` says whether any variable was named.
    """

    text: str
    missing: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    referred: bool = False

    @property
    def usable(self) -> bool:
        """Whether every variable was found and the string is well-formed."""
        return not self.missing and not self.malformed


def expand(text: str, environ: Mapping[str, str]) -> Expanded:
    """Put the variables into one string value, by the rules above."""
    if _BARE.fullmatch(text):
        return Expanded(text=text, malformed=("Write ${NAME} with braces; `$$` is a dollar.",))
    missing: list[str] = []
    malformed: list[str] = []
    referred = False

    def put(match: re.Match[str]) -> str:
        nonlocal referred
        if match.group() == "$$":
            return "$"
        reference = _REFERENCE.fullmatch(match.group(1) or "")
        if reference is None:
            malformed.append(_SHAPE)
            return ""
        referred = True
        name, default = reference.groups()
        value = trim(environ.get(name, ""))
        if not _is_unicode(value):
            malformed.append(f"The value of the variable {name} is not UTF-8.")
        elif not value and default is None:
            missing.append(_missing(name, environ))
        return value or (default or "").replace("$$", "$")

    whole = _DOLLAR.sub(put, text)
    return Expanded(text=whole, missing=tuple(missing), malformed=tuple(malformed), referred=referred)


def trim(value: str) -> str:
    """A variable's value without what is around it by accident: white space, a byte order mark, quotes."""
    value = value.strip().strip("\ufeff").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" and value[0] not in value[1:-1]:
        return value[1:-1].strip()
    return value


def key_problem(key: str) -> str | None:
    """Why this cannot be an API key, in a sentence that does not show it; None if it can."""
    if not key:
        return 'is empty; a server that wants no key is happy with any text, such as "none".'
    if _CONTROL.search(key):
        return "has a line break or another control character in it."
    if not key.isascii():
        return "has characters beyond ASCII in it, which keys never have; copy it again."
    if key.casefold().startswith("bearer "):
        return "starts with `Bearer`; leave that out, it is added when the key is sent."
    if " " in key:
        return "has a space in it; is there a comment behind the key?"
    return None


def header_problem(value: str) -> str | None:
    """Why this cannot be a header's value, in a sentence that does not show it; None if it can."""
    if _CONTROL_BUT_TAB.search(value):
        return "has a line break or another control character in it, which a header must not have."
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return "has characters beyond Latin-1 in it, which a header cannot carry."
    return None


def proxy_problem(address: str) -> str | None:
    """Why this cannot be a proxy's address, in a sentence that does not show it; None if it can."""
    if _CONTROL.search(address) or " " in address or not address.isascii():
        return "has a space, a control character or a letter beyond ASCII in it; write those as %20."
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError:  # a port that is no number, brackets that do not match
        return _NO_PROXY
    if not url.hostname or port == 0:
        return _NO_PROXY
    if url.scheme.startswith("socks"):
        return "is a SOCKS proxy, which is not supported; an HTTP proxy is."
    if url.scheme not in ("http", "https"):
        return "should be an address like http://proxy.example:8080, or https://."
    if url.path not in ("", "/") or url.query or url.fragment:
        return "goes too far: a proxy's address ends with its port."
    return None


def _missing(name: str, environ: Mapping[str, str]) -> str:
    if name in environ:
        return f"The variable {name} is set but empty; ${{{name}:-default}} gives a default."
    near = nearest(name, environ)
    hint = f" There is one called {near}." if near else ""
    return f"The variable {name} is not set.{hint}"


def _is_unicode(value: str) -> bool:
    # Bytes of the environment that are not UTF-8 arrive as lone surrogates, which nothing can send.
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
