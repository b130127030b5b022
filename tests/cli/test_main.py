import sys

import pytest
from click.testing import CliRunner

from ccproxy_trio import __version__
from ccproxy_trio.cli.main import COMMANDS, main


def run(*arguments, **environ):
    return CliRunner().invoke(main, arguments, env={"NO_COLOR": None, "FORCE_COLOR": None} | environ)


def test_the_version_is_told():
    ended = run("--version")
    assert (ended.exit_code, ended.output) == (0, f"ccproxy-trio {__version__}\n")


def test_the_help_lists_every_command_without_importing_the_server(monkeypatch):
    for module, _ in COMMANDS.values():
        monkeypatch.setitem(sys.modules, module, None)  # an import of it would raise
    ended = run("--help")
    assert ended.exit_code == 0
    assert all(f"\n  {name} " in ended.output for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
    ended = run(command, "--help")
    assert ended.exit_code == 0
    assert ended.output.startswith("Usage: ")
    assert len(ended.output.splitlines()) > 6


def test_an_unknown_command_is_named():
    ended = run("sreve")
    assert ended.exit_code == 2
    assert "sreve" in ended.stderr


LEGACY = {"OPENAI_API_KEY": "sk-canary-0123456789", "BIG_MODEL": "gpt-5", "PREFERRED_PROVIDER": None}


def test_migrate_prints_a_file_without_keys():
    ended = run("migrate", **LEGACY)
    assert ended.exit_code == 0
    assert '"big": ["gpt-5"]' in ended.stdout
    assert "canary" not in ended.output


def test_migrate_takes_a_dotenv_file_and_then_nothing_from_the_environment(tmp_path):
    file = tmp_path / "old.env"
    file.write_text('OPENAI_API_KEY="sk-x"\nBIG_MODEL=from-the-file\n')
    ended = run("migrate", "--env-file", str(file), **LEGACY)
    assert ended.exit_code == 0
    assert "from-the-file" in ended.stdout
    assert "gpt-5" not in ended.stdout


@pytest.mark.parametrize("contents", [None, "BIG_MODEL=x\n"])
def test_migrate_without_anything_to_migrate_says_so(tmp_path, contents):
    file = tmp_path / "old.env"
    if contents is not None:
        file.write_text(contents)
    ended = run("migrate", "--env-file", str(file), **LEGACY)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("❌ ")
