import json
from pathlib import Path
from typing import Any

import pytest

from ccproxy_trio.translate.dialect import resolve
from ccproxy_trio.translate.request import Target, Translated, translate
from ccproxy_trio.wire.anthropic import decode_request
from ccproxy_trio.wire.openai import encode
from tests.support.validation import violations
from tests.translate.asking import provider
from tests.translate.goldens import Golden, load, load_all

GOLDENS = load_all()
each_golden = pytest.mark.parametrize("golden", GOLDENS, ids=[golden.name for golden in GOLDENS])


def run(golden: Golden) -> Translated:
    settings = golden.settings
    dialect = resolve(
        provider(settings.profile, base_url=settings.base_url, **settings.options), settings.model
    )
    target = Target(provider="alpha", model=settings.model, dialect=dialect, session=settings.session)
    return translate(decode_request(golden.asked), target)


@each_golden
def test_golden_request_becomes_the_golden_upstream_request(golden: Golden) -> None:
    translated = run(golden)
    assert json.loads(encode(translated.chat)) == golden.expected
    assert translated.names == golden.settings.names
    assert translated.stop_sequences == golden.settings.stop_sequences
    assert translated.show_thinking == golden.settings.show_thinking


@each_golden
def test_golden_request_is_byte_stable(golden: Golden) -> None:
    assert encode(run(golden).chat) == encode(run(golden).chat)


@pytest.mark.parametrize(
    "golden",
    [golden for golden in GOLDENS if golden.settings.profile in ("openai", "azure")],
    ids=lambda golden: golden.name,
)
def test_golden_for_openai_is_one_that_the_openai_package_would_send(golden: Golden) -> None:
    assert violations(golden.expected) == []


_ANTHROPIC_ONLY = {
    *(
        "system",
        "cache_control",
        "betas",
        "context_management",
        "output_config",
        "metadata",
        "stop_sequences",
    ),
    *("speed", "mcp_servers", "container", "input_schema", "tool_use_id", "is_error", "defer_loading"),
    "inference_geo",
}


def keys_outside_of_schemas(value: Any) -> set[str]:
    match value:
        case dict():
            shown = {key: item for key, item in value.items() if key not in ("parameters", "schema")}
            return set(value).union(*map(keys_outside_of_schemas, shown.values()))
        case list():
            return set().union(*map(keys_outside_of_schemas, value))
        case _:
            return set()


@each_golden
def test_no_golden_upstream_request_has_a_key_that_only_anthropic_knows(golden: Golden) -> None:
    allowed = {"cache_control"} if golden.settings.options.get("cache") == "cache_control" else set()
    if golden.settings.profile == "openrouter":
        allowed = {"cache_control"}
    assert keys_outside_of_schemas(golden.expected) & (_ANTHROPIC_ONLY - allowed) == set()


def test_golden_folder_with_a_file_too_many_is_refused(tmp_path: Path) -> None:
    for name in ("request.json", "upstream_request.json", "settings.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        load(tmp_path)


def test_golden_folder_without_its_settings_is_refused(tmp_path: Path) -> None:
    for name in ("request.json", "upstream_request.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"settings\.json"):
        load(tmp_path)
