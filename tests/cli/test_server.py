import logging
import tomllib
from pathlib import Path

import pytest
from hypercorn.config import Config

from ccproxy_trio.cli.bind import open_listener
from ccproxy_trio.cli.server import ROOM, describe, hypercorn_config
from ccproxy_trio.settings.model import Models, ProviderSettings, Secret, Settings

PROVIDER = ProviderSettings(name="p", api_key=Secret("k"), base_url="https://x/v1", models=Models(big=("m",)))
SETTINGS = Settings(providers=(PROVIDER,))
TOML = Path(__file__).parents[2] / "config" / "hypercorn.toml"


@pytest.fixture
def configured():
    entries = []
    config = hypercorn_config(open_listener("127.0.0.1", 0, stall_limit=60), SETTINGS, entries.append)
    yield config, entries
    for owned in config.create_sockets().insecure_sockets:
        owned.close()


def test_the_file_for_plain_hypercorn_has_the_same_values(configured):
    config, _ = configured
    shipped = tomllib.loads(TOML.read_text())
    ours = {name: getattr(config, name) for name in shipped if name not in ("bind", "worker_class")}
    assert ours == {name: value for name, value in shipped.items() if name in ours}
    assert shipped["bind"] == ["127.0.0.1:8082"]
    assert shipped["worker_class"] == "trio"


def test_every_value_of_the_file_is_one_that_hypercorn_knows():
    assert all(hasattr(Config, name) for name in tomllib.loads(TOML.read_text()))


def test_a_drain_lasts_as_long_as_configured():
    settings = Settings(providers=(PROVIDER,), drain_timeout=7)
    listener = open_listener("127.0.0.1", 0, stall_limit=60)
    config = hypercorn_config(listener, settings, lambda _: None)
    assert config.graceful_timeout == 7 + ROOM
    config.create_sockets().insecure_sockets[0].close()


async def test_hypercorns_chatter_is_debug_and_its_errors_are_errors(configured):
    config, entries = configured
    await config.log.info("Running on %s", "x")
    await config.log.warning("odd")
    try:
        int("boom")
    except ValueError:
        await config.log.exception("Error in ASGI Framework")
    assert [entry.level for entry in entries] == ["debug", "warning", "error"]
    assert entries[0].text == "Running on x"
    assert entries[2].text.startswith("Error in ASGI Framework: ValueError: invalid literal")


async def test_requests_are_not_logged_by_hypercorn_too(configured):
    config, entries = configured
    assert config.log.access_logger is None
    assert entries == []


def test_no_logger_of_the_process_is_touched(configured):
    config, _ = configured
    assert config.log.error_logger is not logging.getLogger("hypercorn.error")
    assert not logging.getLogger("hypercorn.error").handlers


def test_the_cause_of_an_error_is_told_with_it():
    error = RuntimeError("gave up")
    error.__cause__ = ValueError("the first of all")
    assert describe(error) == "RuntimeError: gave up, because of ValueError: the first of all"


def test_a_group_is_described_by_its_innermost_errors_and_where_they_arose():
    def fail():
        raise KeyError("gone")

    try:
        fail()
    except KeyError as error:
        group = ExceptionGroup("outer", [ExceptionGroup("inner", [error]), ValueError("plain")])
    assert (
        describe(group)
        == f"KeyError: 'gone' ({__file__}:{fail.__code__.co_firstlineno + 1}); ValueError: plain"
    )
