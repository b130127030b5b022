"""What no line may carry: control characters, and the value of any configured secret.

Secrets are kept out of lines by type already (`settings.model.Secret`). This is the last filter, for text
that came from elsewhere: an exception's message, a provider's error that quotes our key.
"""

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ccproxy_trio.settings.model import ProviderSettings, Secret, Settings

Scrub = Callable[[str], str]

# A placeholder ("any", "ollama", "none") would blot out ordinary words; a real key is never this short.
SHORTEST_SECRET = 8

# C0, DEL and C1 can move the cursor, ring, retitle or erase; U+2028/2029 and the bidirectional overrides
# can make one line look like another. They become spaces, so that words stay apart.
_DANGEROUS = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
)
_BLANKS = dict.fromkeys(_DANGEROUS, " ")


def printable(text: str) -> str:
    """`text` on one line, with every control character and lone surrogate replaced by a space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if unicodedata.category(c) == "Cs" else c for c in text.translate(_BLANKS))


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The value of every secret in `settings`: keys, header values and the passwords in addresses."""
    found: list[str] = [key.reveal() for key in settings.client_api_keys]
    found += secrets_of_proxy(settings.proxy)
    for provider in settings.providers:
        found.extend(secrets_of_provider(provider))
    return tuple(value for value in found if value)


def secrets_of_provider(provider: ProviderSettings) -> tuple[str, ...]:
    """The value of every secret of one provider."""
    headers = (value.reveal() for value in provider.custom_headers.values())
    proxy = secrets_of_proxy(provider.outgoing_proxy)
    key = () if provider.passes_credentials else (provider.api_key.reveal(),)
    found = (*key, *headers, _password(provider.base_url), *proxy)
    return tuple(value for value in found if value)


def secrets_of_proxy(address: Secret | None) -> tuple[str, ...]:
    """The password in a proxy's address; with its user, as they are sent; a user that comes without one."""
    if address is None:
        return ()
    url = urlsplit(address.reveal())
    user, password = url.username or "", url.password or ""
    whole = f"{user}:{password}" if password else user
    found = dict.fromkeys((password, unquote(password), whole, unquote(whole)))
    return tuple(value for value in found if value)


def shown_proxy(address: Secret) -> str:
    """A proxy's address without what is secret in it."""
    url = urlsplit(address.reveal())
    _, at, place = url.netloc.rpartition("@")
    return f"{url.scheme}://{'***@' if at else ''}{place}"


def scrubber(secrets: Sequence[str], names: Sequence[str]) -> Scrub:
    """A function that replaces every form of every secret by `***`, and control characters by spaces.

    A value shorter than `SHORTEST_SECRET` characters, or one that is a provider's own name, is a
    placeholder and stays: hiding it would hide the name.
    """
    forms = {form for secret in secrets for form in _forms(secret)}
    worth_hiding = {form for form in forms if len(form) >= SHORTEST_SECRET and form not in names}
    if not worth_hiding:
        return printable
    pattern = re.compile("|".join(re.escape(form) for form in sorted(worth_hiding, key=len, reverse=True)))
    return lambda text: printable(pattern.sub("***", text))


def _forms(secret: str) -> Iterator[str]:
    """The ways a secret is met in text: as it is, trimmed, without its scheme, quoted, in base64."""
    for value in {secret, secret.strip(), secret.strip().split(" ", 1)[-1]}:
        raw = value.encode("utf-8", "surrogatepass")
        yield value
        yield printable(value)
        yield quote(raw, safe="")
        yield quote_plus(raw)
        yield json.dumps(value)[1:-1]
        yield base64.b64encode(raw).decode().rstrip("=")
        yield base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:  # a malformed IPv6 host: the loader reports it, a log filter has nothing to add
        return ""
