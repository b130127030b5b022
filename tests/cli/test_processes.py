"""The commands as a user runs them: processes, signals, pipes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
KEY = "canary-0123456789"
ENTRY = {"name": "alpha", "api_key": KEY, "base_url": "http://127.0.0.1:9/v1", "models": {"big": ["m"]}}
READY = re.compile(r"Listening on (http://127\.0\.0\.1:\d+)")


QUESTION = json.dumps(
    {"model": "opus", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
).encode()


def environment(tmp_path, **more):
    """Nothing of the environment the tests run in: no keys, no proxies, no colours."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)} | more


@pytest.fixture
def start(tmp_path):
    """Start a command; what it prints on standard error can be read. It is gone at the end of the test."""
    started = []

    def start(*arguments, config=None, **environ):
        if config is not None:
            file = tmp_path / "providers.json"
            file.write_text(json.dumps(config))
            file.chmod(0o600)
            arguments = (*arguments, "--config", str(file))
        process = subprocess.Popen(
            [sys.executable, "-m", "ccproxy_trio", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(tmp_path, **environ),
            cwd=tmp_path,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_until_ready(process):
    """What it printed up to its ready line and the line to paste, and its URL."""
    printed = ""
    while not (ready := READY.search(printed)) or "ANTHROPIC_BASE_URL" not in printed:
        line = process.stderr.readline()
        assert line, f"ended with {process.wait()}:\n{printed}"
        printed += line
    return printed, ready[1]


def status_of(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.status


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_serve_shows_the_table_and_the_line_to_paste_and_ends_well_by_a_signal(start, by):
    process = start("serve", "--port", "0", config={"providers": [ENTRY]})
    printed, url = read_until_ready(process)
    assert printed.startswith("🚀 Claude Code Proxy - Provider Configuration\n[alpha] Priority: 1\n")
    assert f"ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=any claude" in printed
    assert "providers.json" in printed
    assert status_of(f"{url}/health/live") == 200
    process.send_signal(by)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
    assert "Stopping" in rest
    assert KEY not in printed + rest
    assert "\x1b" not in printed + rest


def test_colour_can_be_forced_onto_a_pipe(start):
    process = start("serve", "--port", "0", config={"providers": [ENTRY]}, FORCE_COLOR="2")
    printed, _ = read_until_ready(process)
    assert "\x1b[38;5;39m[alpha]\x1b[0m Priority: 1" in printed


def test_host_port_and_level_of_the_environment_are_heeded(start):
    process = start(
        "serve", config={"providers": [ENTRY]}, HOST="localhost", PORT="0", LOG_LEVEL="DEBUG # all of it"
    )
    printed = process.stderr.readline()
    while "Listening on http://localhost:" not in printed:
        printed += process.stderr.readline()
    assert "Running on" in printed  # hypercorn's own line, at debug only


def test_a_reader_that_left_does_not_end_the_server(start):
    process = start("serve", "--port", "0", config={"providers": [ENTRY], "patience": 0})
    _, url = read_until_ready(process)
    process.stderr.close()
    for _ in range(3):
        request = urllib.request.Request(
            f"{url}/v1/messages", data=QUESTION, headers={"content-type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:  # nobody listens on port 9
            urllib.request.urlopen(request, timeout=40)
        refused.value.close()
    assert status_of(f"{url}/health/live") == 200
    process.terminate()
    process.stdout.close()
    assert process.wait(20) == 0


def test_no_configuration_at_all_says_what_to_do(start):
    process = start("serve", "--port", "0")
    _, told = process.communicate(timeout=20)
    assert process.returncode == 2
    assert told.startswith("❌ ")
    assert "ccproxy-trio demo" in told
    assert "Traceback" not in told


def test_a_second_signal_does_not_wait_for_running_answers(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        entry = ENTRY | {"base_url": f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}
        process = start("serve", "--port", "0", config={"providers": [entry]})
        _, url = read_until_ready(process)
        host, port = url.removeprefix("http://").split(":")
        head = f"POST /v1/messages HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"{head}content-length: {len(QUESTION)}\r\n\r\n".encode() + QUESTION)
            upstream, _ = silent.accept()  # the provider has the request, and will never answer
            with upstream:
                process.terminate()
                line = process.stderr.readline()
                while "Stopping" not in line:
                    line = process.stderr.readline()
                began = time.monotonic()
                process.terminate()
                assert process.wait(20) == 0
    assert time.monotonic() - began < 5  # the drain would last 30 s


def test_the_demo_plays_its_tour_and_ends_well(start):
    process = start("demo", "--port", "0", "--once")
    printed, told = process.communicate(timeout=90)
    assert process.returncode == 0, printed + told
    assert told == ""
    acts = re.split(r"🎬 \d of 4: ", printed)
    assert len(acts) == 5
    introduction, streamed, failover, tool_call, recovery = acts
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:" in introduction
    assert "I am moody-large" in streamed
    assert "Falling over: [moody] moody-medium → [phoenix] phoenix-medium" in failover
    assert "Falling over: [phoenix] phoenix-medium → [steady] steady-medium" in failover
    assert 'calls  › Bash {"command":"ls"' in tool_call
    assert "[phoenix] Circuit open" in tool_call
    assert '"steady" finishes this turn' in tool_call
    assert "Falling over: [moody] moody-large → [phoenix] phoenix-large" in recovery
    assert "I am phoenix-large" in recovery
    assert "[phoenix] Circuit closed" in recovery
    # Every answer reached its end, and the journal says so.
    assert printed.count("✅ claude-opus-4-8 → ") == 4
    assert printed.count("✅ claude-sonnet-5 → ") == 1
    assert "❌ claude" not in printed
    assert "demo-key" not in printed
