"""Golden requests: folders of `request.json`, `upstream_request.json` and `settings.json` for the target.

`settings.json` holds `profile` and `model`, and where they matter `base_url`, `options`, `session`, and what
is expected beside the body: `names`, `stop_sequences`, `show_thinking`.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parent.parent / "golden" / "requests"
FILES = {"request.json", "upstream_request.json", "settings.json"}


class GoldenSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the request goes, and what is expected beside the body."""

    profile: str
    model: str
    base_url: str = "https://llm.example/v1"
    options: dict[str, Any] = {}
    session: str | None = None
    names: dict[str, str] = {}
    stop_sequences: tuple[str, ...] = ()
    show_thinking: bool = True


class Golden(Struct, frozen=True):
    """One case. `asked` is the client's body, `expected` what the upstream must read."""

    name: str
    asked: bytes
    settings: GoldenSettings
    expected: dict[str, Any]


def load(folder: Path) -> Golden:
    """Read one case; a file missing or left over is an error, so that no case is half a case."""
    found = {path.name for path in folder.iterdir()}
    if found != FILES:
        raise ValueError(f"{folder.name}: files {sorted(found ^ FILES)} are missing or unknown")
    return Golden(
        folder.name,
        (folder / "request.json").read_bytes(),
        msgspec.json.decode((folder / "settings.json").read_bytes(), type=GoldenSettings),
        json.loads((folder / "upstream_request.json").read_bytes()),
    )


def load_all() -> list[Golden]:
    """Every case, by name."""
    return [load(folder) for folder in sorted(FOLDER.iterdir())]
