"""The real Claude Code before a real proxy process, cut off from the network."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.claude import ClaudeCode, find_binary, lacking
from tests.support.proxy import Form, Proxy

Claude = Callable[[Proxy], ClaudeCode]


@pytest.fixture
def proxy_form() -> Form:
    """As most people run it."""
    return "hypercorn"


@pytest.fixture
def claude(tmp_path: Path) -> Claude:
    """Claude Code pointed at a proxy, with a fresh home and an empty folder to work in."""
    why_not = lacking()
    if why_not and os.environ.get("CI"):
        pytest.fail(f"these tests must run in CI, but {why_not}")
    if why_not:
        pytest.skip(why_not)
    binary = find_binary()
    assert binary is not None
    workplace = tmp_path / "work"
    workplace.mkdir()
    return lambda proxy: ClaudeCode(binary, proxy.base_url, tmp_path / "home", workplace)
