"""What to paste into another terminal so that Claude Code comes here."""

import shlex
from collections.abc import Iterator, Mapping

from rich.style import Style
from rich.text import Text

from ccproxy_trio.logs.lines import DIM, marked

PASTE = Style.parse("bold cyan")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
PROXY_VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def invitation(
    url: str,
    *,
    guarded: bool,
    environ: Mapping[str, str],
    everywhere: bool = False,
    passes_credentials: bool = False,
) -> Iterator[Text]:
    """The lines that say where the proxy listens and how to use it.

    `guarded`: clients must send a key. The key itself is never printed. `everywhere`: it listens on every
    address of this machine, of which `url` is one. `passes_credentials`: Claude Code's own login is wanted.
    """
    where = " and on every other address of this machine" if everywhere else ""
    yield marked("ok", f"Listening on {url}{where}")
    yield Text("   Point Claude Code at it (paste this into another terminal):", DIM)
    line = paste_line(url, guarded=guarded, environ=environ, passes_credentials=passes_credentials)
    yield Text(f"   {line}", PASTE)
    if guarded:
        yield Text("   Clients must send a client key: put yours into that line if it is not set there.", DIM)
    yield from proxy_notice(environ)


def paste_line(
    url: str, *, guarded: bool, environ: Mapping[str, str], passes_credentials: bool = False
) -> str:
    """One shell line that starts Claude Code on this proxy."""
    if not guarded:
        key = "any"
    elif environ.get("ANTHROPIC_API_KEY"):
        key = '"$ANTHROPIC_API_KEY"'
    else:
        key = "YOUR_CLIENT_KEY"
    bypass = ""
    if caught_by(environ):
        known = environ.get("NO_PROXY") or environ.get("no_proxy")
        bypass = f"NO_PROXY={shlex.quote(f'{known},127.0.0.1' if known else '127.0.0.1')} "
    if passes_credentials:
        return f"{bypass}{_with_its_own_login(url, key if guarded else '')}"
    # Not ANTHROPIC_API_KEY: in a terminal Claude Code asks about that one, and recommends to refuse it.
    return f"{bypass}ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={key} claude"


def _with_its_own_login(url: str, key: str) -> str:
    """Claude Code logged in as ever: with one of its variables for keys set, it sends that instead."""
    if not key:
        return f"ANTHROPIC_BASE_URL={url} claude"
    named = key.strip('"')
    unset = "env -u ANTHROPIC_API_KEY " if key != named else ""
    return f'{unset}ANTHROPIC_BASE_URL={url} ANTHROPIC_CUSTOM_HEADERS="x-api-key: {named}" claude'


def proxy_notice(environ: Mapping[str, str]) -> Iterator[Text]:
    """A warning, where the environment would send Claude Code's requests to 127.0.0.1 to another proxy."""
    variable = caught_by(environ)
    if variable:
        yield marked(
            "warning",
            f"{variable} is set, and Claude Code follows it even to 127.0.0.1: without NO_PROXY=127.0.0.1 "
            "its requests never get here.",
        )


def caught_by(environ: Mapping[str, str]) -> str | None:
    """The variable that would divert requests for 127.0.0.1, unless NO_PROXY exempts that address."""
    variable = next((name for name in PROXY_VARIABLES if environ.get(name)), None)
    exempt = f"{environ.get('NO_PROXY', '')},{environ.get('no_proxy', '')}".replace(" ", ",").split(",")
    return None if {"127.0.0.1", "*"} & set(exempt) else variable


def is_everywhere(host: str) -> bool:
    """Whether `host` means all interfaces."""
    return host in _EVERYWHERE


def shown_url(host: str, port: int) -> str:
    """The URL for people on this machine: an address that means "all interfaces" is reached at loopback."""
    reachable = _EVERYWHERE.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
