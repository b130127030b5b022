"""The programs that the proxy is compared with: where they come from, which version, and how they are asked.

They install in a pinned version and can be pointed at any OpenAI-compatible base URL. Left out were:

    claude-code-router 3    as published it lacks a dependency, and does not install
    LiteLLM after 1.106.0   needs a release of certifi that does not exist
    local-openai2anthropic  0.7.3: its streams hang after some two dozen chunks
    ccproxy-api             serves its user's accounts (Claude, Codex, Copilot), no provider of one's own
    copilot-api             the same, for Copilot alone
    y-router                runs on Cloudflare's workers, not on a machine of one's own
    fuergaosi233, 1rgs      are run from a clone: give them with `--peer`
"""

import enum
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

NOTHING: Mapping[str, str] = MappingProxyType({})


class Does(enum.Enum):
    """What a program does with a request."""

    TRANSLATE = "translates"  # takes Anthropic Messages, asks in OpenAI's Chat Completions
    RELAY = "relays"  # takes Chat Completions and passes them on


class PythonPackage(Struct, frozen=True, kw_only=True):
    """What pip is told."""

    requirement: str


class NodePackage(Struct, frozen=True, kw_only=True):
    """What npm is told. `overrides`: versions of packages that this one needs."""

    name: str
    version: str
    overrides: Mapping[str, str] = NOTHING


class Given(Struct, frozen=True, kw_only=True):
    """Nothing to install: `words` is a command line with placeholders, `prefix` goes before models' names."""

    words: tuple[str, ...]
    prefix: str


class Peer(Struct, frozen=True, kw_only=True):
    """One program.

    `falls_back`: it can be told to ask a second provider where the first fails. `remark` goes under the
    tables.
    """

    name: str
    version: str
    source: PythonPackage | NodePackage | Given | None  # None: ourselves
    does: Does = Does.TRANSLATE
    falls_back: bool = False
    remark: str = ""


OURS = "ccproxy_trio"
PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            name="litellm",
            version="1.106.0",
            source=PythonPackage(requirement="litellm[proxy]==1.106.0"),
            falls_back=True,
        ),
        Peer(
            name="ccr",
            version="2.0.0",
            source=NodePackage(name="@musistudio/claude-code-router", version="2.0.0"),
            falls_back=True,
            remark="claude-code-router",
        ),
        Peer(
            name="openai2claude",
            version="0.1.1",
            source=PythonPackage(requirement="openai2claude==0.1.1"),
        ),
        Peer(
            name="portkey",
            version="1.15.2",
            # With Hono's newer servers (seen with 1.13.8 and 1.19.19, on Node 20) every stream is a 500:
            # the gateway adds to headers that they have made immutable.
            source=NodePackage(
                name="@portkey-ai/gateway", version="1.15.2", overrides={"@hono/node-server": "1.9.1"}
            ),
            does=Does.RELAY,
            remark="Portkey's gateway translates nothing: it relays chat completions of the same size",
        ),
    )
}


class Misnamed(ValueError):
    """A peer that nobody knows, or one given in a way that cannot be read. The text says what to write."""


def chosen(names: str) -> tuple[Peer, ...]:
    """The peers of a list such as `litellm,ccr`, in its order. Nothing, or `none`, means none.

    Raises:
        Misnamed: there is no such peer.
    """
    wanted = dict.fromkeys(name.strip() for name in names.split(",") if name.strip() not in ("", "none"))
    for name in wanted:
        if name not in PEERS:
            told = "write --peer NAME=COMMAND for a program of your own"
            raise Misnamed(f"no peer is called {name!r}: there are {', '.join(PEERS)}; {told}")
    return tuple(PEERS[name] for name in wanted)


def given(text: str) -> Peer:
    """A peer from `NAME=COMMAND` or `NAME@PREFIX=COMMAND`.

    Raises:
        Misnamed: it is neither.
    """
    head, equals, line = text.partition("=")
    name, _, prefix = head.partition("@")
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise Misnamed(f"the command of {text!r} cannot be split into words: {error}") from error
    if not (equals and name.isidentifier() and words):
        told = "write NAME=COMMAND, such as: mine=python server.py --port {port} --base-url {upstream}"
        raise Misnamed(f"{text!r} is no peer: {told} (NAME: letters, digits and underscores)")
    if name in PEERS or name == OURS:
        raise Misnamed(f"{name!r} is taken: give the program of {text!r} another name")
    return Peer(name=name, version="as given", source=Given(words=words, prefix=prefix))


def folder_name(peer: Peer) -> str:
    """Where its installation is, below the folder of all."""
    return f"{peer.name}-{peer.version}"


def binaries(folder: Path) -> Path:
    """The commands of a Python package that was installed into `folder`."""
    return folder / "venv" / "bin"


def modules(folder: Path) -> Path:
    """The modules of a Node package that was installed into `folder`."""
    return folder / "node_modules"
