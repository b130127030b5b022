import json

import pytest
import trio
from click.testing import CliRunner

from ccproxy_trio.cli.check import check, told
from ccproxy_trio.demo.stage import open_stage
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict

OPENAI = {
    "name": "openai",
    "api_key": "${KEY_OF_OPENAI}",
    "base_url": "https://api.openai.com/v1",
    "models": {"big": ["gpt-5", "gpt-4o"], "small": ["gpt-4o"]},
}
MIXED = {
    "name": "mixed",
    "priority": 2,
    "api_key": "key-canary-0123456789",
    "base_url": "https://gateway.example/v1",
    "models": {"big": ["deepseek-chat", "unheard-of"]},
}


@pytest.fixture
def run(tmp_path):
    def run(*arguments, config, **environ):
        file = tmp_path / "providers.json"
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        file.chmod(0o600)
        quiet = {"NO_COLOR": "1", "KEY_OF_OPENAI": "sk-canary-0123456789", "HOST": None, "PORT": None}
        return CliRunner().invoke(check, ["--config", str(file), *arguments], env=quiet | environ)

    return run


def test_a_good_file_is_shown_as_a_table_with_its_dialects(run):
    ended = run(config={"providers": [MIXED, OPENAI]})
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[1:5] == [
        "[openai] Priority: 1",
        "  [openai] BIG (OPUS): gpt-5, gpt-4o",
        "  [openai] SMALL (HAIKU): gpt-4o",
        "ℹ️  Status: not asked (--probe does)",
    ]
    assert "profile openai" in lines[5]
    assert lines[6:9] == [
        "   gpt-5: context window: 272,000 tokens (built in)",
        "   gpt-4o: context window: 128,000 tokens (built in)",
        "",
    ]
    mixed = lines[lines.index("[mixed] Priority: 2") :]
    assert "   deepseek-chat: profile deepseek" in "\n".join(mixed)
    assert "   unheard-of: profile " in "\n".join(mixed)
    assert "canary" not in ended.output


def test_a_window_is_shown_with_who_says_so_and_asked_for_where_it_matters(run):
    ours = {"name": "ours", "api_key": "k", "models": {"big": ["llama3.2", "qwen3"]}}
    local = ours | {"base_url": "http://127.0.0.1:11434/v1"}
    told = run(config={"providers": [local | {"context_window": 32768}]}).stdout.splitlines()
    assert "   context window: 32,768 tokens (configured)" in told  # one line where all models agree
    told = run(config={"providers": [local | {"context_window": {"qwen3": 8192}}]}).stdout
    assert "   qwen3: context window: 8,192 tokens (configured)" in told
    assert "llama3.2: context window: not known, and this provider cuts what is too long" in told
    assert "set context_window" in told
    unknown = run(config={"providers": [ours | {"base_url": "https://gateway.example/v1"}]}).stdout
    assert "   context window: not known; the provider says when a prompt is too long" in unknown


def test_the_switches_of_a_dialect_are_shown_when_asked_for_as_options_would_say_them(run):
    groq = {"name": "groq", "api_key": "k", "base_url": "https://api.groq.com/openai/v1"}
    config = {
        "providers": [groq | {"models": {"big": ["llama-3.3-70b-versatile"]}, "options": {"top_k": True}}]
    }
    assert "switches:" not in run(config=config).stdout
    told = run("--switches", config=config).stdout
    assert '   switches: max_tokens_field: "max_completion_tokens", top_k: true, ' in told


def test_the_wire_is_shown_where_it_is_not_the_usual_one_and_why(run):
    native = MIXED | {"name": "native", "base_url": "https://api.anthropic.com"}
    responses = MIXED | {"name": "newer", "priority": 3, "options": {"wire": "responses"}}
    told = run(config={"providers": [native, responses, OPENAI | {"models": {"big": ["gpt-4o"]}}]}).stdout
    assert "wire anthropic: the profile's" in told
    assert "wire responses: configured" in told
    assert "wire chat" not in told


def test_a_provider_with_clients_own_keys_is_shown_as_such_and_is_not_asked(run):
    passing = {
        "name": "subscription",
        "api_key": "passthrough",
        "base_url": "https://api.anthropic.com",
        "models": {"big": ["claude-opus-4-8"]},
    }
    ended = run("--probe", config={"providers": [passing]})
    assert ended.exit_code == 0, ended.output
    assert "ℹ️  Status: not asked (each client's own key is passed on)" in ended.stdout
    assert "   key: passthrough; Claude Code's own login is sent to api.anthropic.com." in ended.stdout
    wrong = run(config={"providers": [passing | {"base_url": "https://api.openai.com/v1"}]})
    assert wrong.exit_code == 2
    assert "Give it a key of its own" in wrong.stderr


def test_every_fault_is_told_at_once(run):
    faulty = {"providers": [OPENAI | {"timeuot": 3}], "fallback_strategy": "prioritty"}
    ended = run(config=faulty)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert "timeuot" in ended.stderr
    assert "fallback_strategy" in ended.stderr


def test_an_address_that_serve_would_refuse_is_told(run):
    assert "HOST=0.0.0.0 needs a client key" in run(config={"providers": [OPENAI]}, HOST="0.0.0.0").stdout
    assert "HOST" not in run(config={"providers": [OPENAI]}, HOST="127.0.0.1").stdout


def test_a_faulty_variable_is_told(run):
    ended = run(config={"providers": [OPENAI]}, PORT="eight")
    assert ended.exit_code == 2
    assert "PORT" in ended.stderr


@pytest.mark.parametrize("verdict", ProbeVerdict)
def test_every_probe_result_has_a_mark_and_words(verdict):
    mark, words = told(ProbeResult(verdict=verdict, detail="HTTP 1", seconds=0.05))
    good = verdict is ProbeVerdict.OK
    assert (mark == "ok") == good
    assert words.endswith("(HTTP 1, 50 ms)")


def test_what_was_not_there_to_try_the_key_on_points_to_the_address():
    _, words = told(ProbeResult(verdict=ProbeVerdict.UNSUPPORTED, detail="HTTP 404", seconds=0.05))
    assert "the key is untried" in words
    assert "base_url" in words


def test_a_probe_without_detail_tells_its_time():
    assert told(ProbeResult(verdict=ProbeVerdict.OK, seconds=0.05)) == ("ok", "healthy (50 ms)")


@pytest.mark.process
async def test_probing_marks_each_provider_and_fails_if_one_fails(run):

    async with open_stage(phoenix_down_for=3600) as stage:

        def entry(name, priority):
            url = f"http://127.0.0.1:{stage.ports[name]}/v1"
            return {
                "name": name,
                "priority": priority,
                "api_key": "k",
                "base_url": url,
                "models": {"big": ["m"]},
            }

        steady, phoenix = entry("steady", 1), entry("phoenix", 2)
        well = await trio.to_thread.run_sync(lambda: run("--probe", config={"providers": [steady]}))
        ill = await trio.to_thread.run_sync(lambda: run("--probe", config={"providers": [steady, phoenix]}))
    assert well.exit_code == 0, well.output
    assert "✅ Status: healthy (HTTP 200, " in well.stdout
    assert ill.exit_code == 1
    assert "✅ Status: healthy (HTTP 200, " in ill.stdout
    assert "❌ Status: it cannot be reached (connect, " in ill.stdout


def test_a_transport_that_is_not_the_proxys_own_is_shown(run):
    over_httpx = OPENAI | {"transport": "httpx-http2"}
    shown = run(config={"providers": [MIXED, over_httpx], "transport": "httpx"}).stdout.splitlines()
    assert [line.strip() for line in shown if "transport:" in line] == [
        "transport: httpx-http2",
        "transport: httpx",
    ]
    assert "transport:" not in run(config={"providers": [MIXED, OPENAI]}).stdout
