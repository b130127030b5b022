"""What the README says is so: its configurations load, its commands exist, its defaults are the defaults."""

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from benchmarks.__main__ import main as benchmarks
from ccproxy_trio.cli.main import main as ccproxy_trio
from ccproxy_trio.edge.health import Health, ProviderHealth
from ccproxy_trio.settings.load import load
from ccproxy_trio.settings.model import BreakerSettings, DialectOptions, ProviderSettings, Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


CONFIGURATIONS = [block for block in _blocks("json") if '"base_url"' in block]
(HEALTH,) = (block for block in _blocks("json") if '"failure_count"' in block)
COMMAND_LINES = [line for block in _blocks("bash") for line in block.splitlines()]


def test_every_json_block_is_accounted_for() -> None:
    assert len(CONFIGURATIONS) >= 1
    assert len(CONFIGURATIONS) + 1 == len(_blocks("json"))


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_loads_once_its_variables_are_set(text: str, tmp_path: Path) -> None:
    path = tmp_path / "providers.json"
    path.write_text(text)
    names = re.findall(r"\$\{(\w+)\}", text)
    assert names
    values = {
        name: "https://name.openai.azure.com" if name.endswith("_URL") else f"key-{name}" for name in names
    }
    loaded = load(path, values)
    assert len(loaded.settings.enabled()) == text.count('"base_url"')
    assert loaded.notes == ()


def test_the_health_shown_has_the_fields_that_there_are() -> None:
    shown = msgspec.json.decode(HEALTH, type=Health)
    assert len(shown.providers) > 1
    for provider in json.loads(HEALTH)["providers"].values():
        assert tuple(provider) == ProviderHealth.__struct_fields__


def _invocations() -> Iterator[tuple[click.Command, list[str]]]:
    """Our own commands in bash blocks and between backquotes, with their arguments."""
    for line in [*COMMAND_LINES, *re.findall(r"`([^`\n]+)`", README)]:
        for part in re.split(r"&&|[>;|]", line):
            words = shlex.split(part)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words[:3] == ["python", "-m", "benchmarks"]:
                yield benchmarks, words[3:]
            elif words and words[0].removeprefix(".venv/bin/") == "ccproxy-trio":
                yield ccproxy_trio, words[1:]


def test_every_command_of_ours_is_one() -> None:
    found = list(_invocations())
    assert len(found) >= 8
    for group, (name, *arguments) in found:
        assert isinstance(group, click.Group)
        command = group.get_command(click.Context(group), name)
        assert command is not None, name
        command.make_context(name, arguments)  # parses, and runs nothing


def test_the_commands_that_are_there_are_all_told_of() -> None:
    assert isinstance(ccproxy_trio, click.Group)
    told = {arguments[0] for group, arguments in _invocations() if group is ccproxy_trio}
    assert told == set(ccproxy_trio.list_commands(click.Context(ccproxy_trio)))


def test_the_app_for_hypercorn_is_where_it_is_said_to_be() -> None:
    (line,) = (line for line in COMMAND_LINES if line.startswith("hypercorn "))
    *_, config, app = shlex.split(line)
    module, _, call = app.partition(":")
    # Hypercorn evaluates the call in the module's own names; a module's `__getattr__` is not asked.
    assert callable(vars(importlib.import_module(module))[call.removesuffix("()")])
    assert (ROOT / config).is_file()


def _defaults() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for struct in (ProviderSettings, BreakerSettings, Settings):
        for field in msgspec.structs.fields(struct):
            found.setdefault(field.encode_name, field.default)
    return found


STATED = re.findall(r"`(\w+)`\s\((\d+)(?:\ss)?\)", README)


@pytest.mark.parametrize(("name", "value"), STATED)
def test_a_default_is_what_it_is_said_to_be(name: str, value: str) -> None:
    assert _defaults()[name] == float(value)


def test_defaults_are_stated_at_all() -> None:
    assert len(STATED) >= 8


def test_keys_of_the_file_are_spelt_as_the_file_wants_them() -> None:
    known = set(_defaults()) | set(DialectOptions.__struct_fields__)
    written = set(re.findall(r'`"(\w+)": ', README)) | {name for name, _ in STATED}
    assert written <= known


def test_links_within_the_repository_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)
    headings = {
        re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    assert targets
    for target in targets:
        assert target.startswith("https://") or target[1:] in headings or (ROOT / target).exists(), target
