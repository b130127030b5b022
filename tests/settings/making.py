"""Configurations for the tests of this folder."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.settings.source import read
from ccproxy_trio.settings.validate import Valid, validate

CANARY = "sk-canary-5f1e"
FILE = "providers.json"


def provider(**keys: Any) -> dict[str, Any]:
    """A provider without faults, with some keys changed; a key given as None is left out."""
    usual: dict[str, Any] = {
        "name": "one",
        "api_key": "k1",
        "base_url": "https://api.example.com/v1",
        "models": {"big": ["b"], "middle": ["m"], "small": ["s"]},
    }
    return {key: value for key, value in {**usual, **keys}.items() if value is not None}


def settings(*providers: dict[str, Any], **keys: Any) -> str:
    """The text of a file with these providers (or one usual one)."""
    return json.dumps({"providers": list(providers or [provider()]), **keys}, indent=2)


def check(text: str, environ: Mapping[str, str] | None = None) -> Valid:
    """Read and validate a text."""
    return validate(read(text.encode(), file=FILE), environ or {})


def faults(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """`path: message` of every fault of a text; there must be some."""
    with pytest.raises(ConfigError) as caught:
        check(text, environ)
    return [f"{fault.path}: {fault.message}" for fault in caught.value.faults]


def notes(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """`path: message` of every warning of a text without faults."""
    return [f"{note.path}: {note.message}" for note in check(text, environ).notes]
