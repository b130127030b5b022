from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccproxy_trio.translate.profiles import PROFILES
from tests.golden.__main__ import ROOMS, difference, main, write
from tests.support.goldens import Rewritten
from tests.support.validation import violations
from tests.support.validation_anthropic import violations as native_violations
from tests.support.validation_responses import violations as responses_violations
from tests.translate.goldens import REFUSED, REQUESTS, ROWS, Golden, load, load_all, rewritten, rows

GOLDENS = load_all()
ON_CHAT = [golden for golden in GOLDENS if golden.wire == "chat"]
NATIVE = [golden for golden in GOLDENS if golden.wire == "anthropic"]
ON_RESPONSES = [golden for golden in GOLDENS if golden.wire == "responses"]
REFUSALS = load_all(REFUSED)
each_golden = pytest.mark.parametrize("golden", GOLDENS, ids=[golden.name for golden in GOLDENS])
each_refusal = pytest.mark.parametrize("golden", REFUSALS, ids=[golden.name for golden in REFUSALS])

_ANYBODYS = frozenset({"enable_thinking", "reasoning_content"})  # open weights, whoever serves them
# What a profile's requests may hold beyond OpenAI's own keys, each of it in the vendor's manual.
EXTRAS: dict[str, frozenset[str]] = {
    "generic": _ANYBODYS,
    "openai": frozenset(),
    "azure": frozenset(),
    "openrouter": frozenset({"reasoning", "top_k", "cache_control", "reasoning_details"}),
    "deepseek": frozenset({"thinking", "reasoning_content", "prefix"}),
    "gemini": frozenset({"extra_content"}),
    "groq": frozenset(),
    "mistral": frozenset({"prefix"}),
    "ollama": frozenset(),
    "vllm": frozenset(
        {
            *("top_k", "chat_template_kwargs", "reasoning_content"),
            *("add_generation_prompt", "continue_final_message"),
        }
    ),
    "moonshot": _ANYBODYS,
    "zai": _ANYBODYS,
    "minimax": _ANYBODYS,
    "alibaba": _ANYBODYS,
    "anthropic": frozenset(),
}


@each_golden
def test_golden_request_becomes_the_golden_upstream_request(golden: Golden) -> None:
    assert golden.sent() == golden.written


@each_golden
def test_golden_is_written_as_the_command_writes_it(golden: Golden) -> None:
    """Names, stop sequences, notes and headers among it."""
    assert [file for file in rewritten(REQUESTS / golden.name) if file.old != file.new] == []


@each_golden
def test_golden_request_is_byte_stable(golden: Golden) -> None:
    assert golden.question().outgoing() == golden.question().outgoing()


# OpenAI takes text only in a tool message; who sets `tool_media: tool` has a server that takes more.
@pytest.mark.parametrize(
    "golden",
    [golden for golden in ON_CHAT if golden.settings.options.get("tool_media") != "tool"],
    ids=lambda golden: golden.name,
)
def test_golden_upstream_request_is_one_that_the_openai_package_would_send(golden: Golden) -> None:
    assert violations(golden.expected, also_allowed=EXTRAS[golden.settings.profile]) == []


@pytest.mark.parametrize(
    "golden",
    [golden for golden in NATIVE if golden.name != "native-body-of-odd-spacing"],  # holds what nobody knows
    ids=lambda golden: golden.name,
)
def test_golden_request_on_anthropics_wire_is_one_that_the_anthropic_package_would_send(
    golden: Golden,
) -> None:
    betas = golden.settings.sent_headers.get("anthropic-beta", "").split(",")
    assert native_violations(golden.expected, betas=betas) == []


@pytest.mark.parametrize("golden", ON_RESPONSES, ids=lambda golden: golden.name)
def test_golden_request_on_the_responses_wire_is_one_that_the_openai_package_would_send(
    golden: Golden,
) -> None:
    """Reasoning among it: it comes back as `alpha` gave it, in front of what followed it."""
    assert responses_violations(golden.expected, name="alpha") == []


def test_every_profile_says_what_its_requests_may_hold() -> None:
    assert EXTRAS.keys() == PROFILES.keys()
    assert {golden.settings.profile for golden in GOLDENS} == PROFILES.keys()


@each_refusal
def test_golden_request_is_refused_in_the_golden_words(golden: Golden) -> None:
    assert [file.new for file in rewritten(REFUSED / golden.name)] == [
        (REFUSED / golden.name / "refusal.json").read_text()
    ]
    assert golden.expected["status"] == 400


_ANTHROPIC_ONLY = {
    *("system", "cache_control", "betas", "context_management", "output_config", "metadata"),
    *("stop_sequences", "speed", "mcp_servers", "container", "input_schema", "tool_use_id", "is_error"),
    *("defer_loading", "inference_geo", "citations", "signature", "source", "caller", "encrypted_content"),
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


@pytest.mark.parametrize(
    "golden", [golden for golden in GOLDENS if golden not in NATIVE], ids=lambda golden: golden.name
)
def test_no_golden_upstream_request_has_a_key_that_only_anthropic_knows(golden: Golden) -> None:
    allowed = EXTRAS[golden.settings.profile]
    if golden in ON_RESPONSES:
        allowed |= {"encrypted_content"}  # OpenAI's own, of the same name
    assert keys_outside_of_schemas(golden.expected) & (_ANTHROPIC_ONLY - allowed) == set()


def test_every_row_of_the_request_is_shown_and_every_golden_shows_a_row() -> None:
    registers = [rows(path.stem) for path in ROWS.iterdir()]
    shown = [name for register in registers for names in register.values() for name in names]
    named = {name for name in shown if name.startswith(("requests/", "refused/"))}
    there = {f"requests/{golden.name}" for golden in GOLDENS} | {
        f"refused/{golden.name}" for golden in REFUSALS
    }
    assert named == there


def test_golden_folder_with_a_file_too_many_is_refused(tmp_path: Path) -> None:
    for name in ("request.json", "upstream_request.json", "settings.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        load(tmp_path)


@pytest.mark.parametrize("missing", ["settings.json", "upstream_request.json"])
def test_golden_folder_that_lacks_a_file_is_refused(tmp_path: Path, missing: str) -> None:
    for name in {"request.json", "upstream_request.json", "settings.json"} - {missing}:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=missing):
        load(tmp_path)


def test_request_that_is_served_is_no_refusal(tmp_path: Path) -> None:
    folder = tmp_path / "refused" / "served"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"profile": "generic", "model": "m"}')
    (folder / "request.json").write_text(
        '{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}]}'
    )
    with pytest.raises(ValueError, match="served: the request is not refused"):
        list(rewritten(folder))


def test_command_shows_nothing_where_nothing_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "A05-effort-low", "refused/messages-empty"]) == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit, match="no such golden: A99"):
        main(["A99"])


def test_command_that_only_checks_ends_with_a_failure_where_something_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def differing(folder: Path) -> Iterator[Rewritten]:
        yield Rewritten(folder / "absent.json", None, "new\n")

    monkeypatch.setitem(ROOMS, "requests", differing)
    assert main(["--check", "A05-effort-low"]) == 1
    assert capsys.readouterr().out.endswith("+new\n")
    assert not (REQUESTS / "A05-effort-low" / "absent.json").exists()


def test_command_shows_and_writes_what_differs(tmp_path: Path) -> None:
    shown = difference(Rewritten(REQUESTS / "x" / "settings.json", "{\n 1\n}\n", "{\n 2\n}\n"))
    assert "+++ tests/golden/requests/x/settings.json\n" in shown
    assert "- 1\n+ 2\n" in shown
    file = tmp_path / "client.sse"
    write(Rewritten(file, None, "a"))
    assert file.read_text() == "a"
    write(Rewritten(file, "a", None))
    assert not file.exists()
