"""A configuration for who sends nothing: variables that are not set hinder nobody."""

import json
from pathlib import Path
from typing import Any

import pytest

from ccproxy_trio.settings.fault import ConfigError
from ccproxy_trio.settings.load import load
from ccproxy_trio.settings.standins import resolve_unsent

ONE = {"name": "one", "api_key": "${ONE_KEY}", "base_url": "https://one.example/v1", "models": {"big": ["m"]}}


def _file(folder: Path, *providers: dict[str, Any], **more: Any) -> Path:
    path = folder / "providers.json"
    path.write_text(json.dumps({"providers": list(providers)} | more))
    return path


def test_what_is_all_there_is_loaded_as_ever(tmp_path: Path) -> None:
    path = _file(tmp_path, ONE)
    environ = {"ONE_KEY": "sk-1"}
    assert resolve_unsent(path, environ) == load(path, environ)


@pytest.mark.parametrize("environ", [{}, {"ONE_KEY": ""}], ids=["not set", "empty"])
def test_a_key_that_is_not_there_has_a_stand_in(tmp_path: Path, environ: dict[str, str]) -> None:
    loaded = resolve_unsent(_file(tmp_path, ONE), environ)
    assert loaded.settings.providers[0].api_key.reveal() == "one-key"
    assert loaded.notes == ("Not set, so something stands in for it here: ONE_KEY.",)


def test_each_stand_in_fits_where_it_is_used(tmp_path: Path) -> None:
    provider = {
        "name": "${NAME_OF_IT}",
        "api_key": "${KEY}",
        "base_url": "${BASE_URL}",
        "api_version": "${VERSION}",
        "profile": "azure",
        "custom_headers": {"X-Team": "${TEAM}"},
        "models": {"big": ["${BIG_MODEL}"]},
        "proxy": "${SOME_PROXY}",
    }
    inside = ONE | {"name": "two", "base_url": "https://${RESOURCE}.example/v1"}
    loaded = resolve_unsent(_file(tmp_path, provider, inside), {"HOME": "/x"})
    first, second = loaded.settings.providers
    assert first.base_url == "https://base-url.invalid"
    assert first.models.big == ("big-model",)
    assert second.base_url == "https://resource.example/v1"
    assert len(loaded.notes) == 1


@pytest.mark.parametrize("order", ["AZ", "ZA"])
def test_a_stand_in_for_a_file_is_found_behind_those_for_addresses(tmp_path: Path, order: str) -> None:
    """That a file is not there is told only once the addresses are right, whatever the variables' order."""
    file, url = order
    search = {"searxng": "${M_SEARCH}"}
    two = ONE | {"name": "two", "base_url": f"${{{url}_URL}}", "ca_bundle": f"${{{file}_BUNDLE}}"}
    path = _file(tmp_path, ONE, two, ca_bundle="${N_BUNDLE}", proxy="${M_PROXY}", web_search=search)
    settings = resolve_unsent(path, {}).settings
    assert (settings.ca_bundle, settings.providers[1].authorities) == (None, None)
    assert settings.providers[1].base_url == f"https://{url.lower()}-url.invalid"


def test_the_variables_that_are_set_keep_their_values(tmp_path: Path) -> None:
    path = _file(tmp_path, ONE, ONE | {"name": "two", "api_key": "${TWO_KEY}"})
    first, second = resolve_unsent(path, {"TWO_KEY": "sk-2"}).settings.providers
    assert (first.api_key.reveal(), second.api_key.reveal()) == ("one-key", "sk-2")


def test_variables_of_disabled_providers_are_nobodys_concern(tmp_path: Path) -> None:
    path = _file(tmp_path, ONE, ONE | {"name": "off", "enabled": False, "api_key": "${OFF_KEY}"})
    assert "OFF_KEY" not in resolve_unsent(path, {}).notes[0]


def test_real_faults_are_told_without_those_that_do_not_matter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve_unsent(_file(tmp_path, ONE, patience="long"), {})
    assert [fault.path for fault in refused.value.faults] == ["patience"]


def test_a_variable_that_nothing_can_stand_in_for_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="The variable HOW is not set"):
        resolve_unsent(_file(tmp_path, ONE, fallback_strategy="${HOW}"), {})


def test_without_a_file_the_legacy_variables_will_do(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-x", "BIG_MODEL": "gpt-5"}
    loaded = resolve_unsent(None, environ)
    assert loaded.path is None
    assert loaded.settings.providers[0].models.big == ("gpt-5",)
