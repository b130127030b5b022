"""`ccproxy-trio simulate` as it is typed: what it takes, what it refuses, how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.rehearsing import ROOT, simulate, written

GUIDE = ROOT / "tests" / "settings" / "guide"
EXAMPLES = [*sorted((ROOT / "config").glob("*.json")), *sorted(GUIDE.glob("*.json"))]
CONFIGURATIONS = [path for path in EXAMPLES if "fragment" not in path.name and "schema" not in path.name]


def test_the_line_that_everybody_tries_first() -> None:
    ended = simulate("--config", str(ROOT / "config" / "providers.json"), "--outage", "openai=30s@10s")
    # Its one provider is away for longer than the proxy's patience is.
    assert ended.exit_code == 1, ended.output
    assert ended.stderr == ""
    assert "--outage openai=30s@10s:refused" in ended.stdout
    assert "[openai] Circuit open: 5 failures in a row" in ended.stdout
    assert "would have read: 502 No provider could answer: openai unreachable." in ended.stdout
    assert "openai is the only provider of the tier big" in ended.stdout


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_example_can_be_rehearsed_without_a_key(path: Path) -> None:
    unset = {name: None for name in os.environ if name.endswith(("_KEY", "_URL"))}
    ended = simulate("--config", str(path), **unset)
    assert ended.exit_code in (0, 1), ended.output
    assert ended.stdout.startswith("🎭 Rehearsal")
    assert "\nSummary\n" in ended.stdout


def test_the_guides_example_loses_nothing() -> None:
    ended = simulate("--config", str(GUIDE / "high-availability.json"), "--outage", "openai-primary=30s@10s")
    assert ended.exit_code == 0, ended.output
    assert "all of them were answered." in ended.stdout


def test_without_an_outage_the_first_in_line_is_taken_away(tmp_path: Path) -> None:
    config = written(tmp_path, "main", "spare")
    assert "--outage main=30s@10s:refused" in simulate("--config", config).stdout


def test_a_run_lasts_until_the_last_trial_may_be_over(tmp_path: Path) -> None:
    config = written(
        tmp_path, "main", "spare", circuit_breaker={"recovery_timeout": 600, "recovery_jitter": 0}
    )
    told = simulate("--config", config, "--outage", "main=10m@1m", "--every", "10s").stdout
    assert " for 21m30s, " in told
    forever = simulate("--config", config, "--outage", "main=forever@1m", "--every", "10s").stdout
    assert " for 21m30s, " in forever


def test_variables_that_are_not_set_are_named_and_nothing_else_is(tmp_path: Path) -> None:
    config = written(tmp_path, "main")
    Path(config).write_text(Path(config).read_text().replace("https://main.example/v1", "${MAIN_URL}"))
    told = simulate("--config", config, MAIN_URL=None).stdout
    assert "ℹ️  Not set, so something stands in for it here: MAIN_URL, UNSET_KEY_OF_MAIN." in told
    told = simulate(
        "--config", config, MAIN_URL="https://x.example/v1", UNSET_KEY_OF_MAIN="sk-canary-01"
    ).stdout
    assert "Not set" not in told
    assert "canary" not in told


def test_other_faults_of_the_configuration_are_told(tmp_path: Path) -> None:
    config = written(tmp_path, "main", fallback_strategy="best")
    ended = simulate("--config", config)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert "fallback_strategy" in ended.stderr
    assert "UNSET_KEY_OF_MAIN" not in ended.stderr  # no key is needed here


REFUSED = {
    ("--outage", "mian=30s@10s"): "there is no provider 'mian'. Did you mean \"main\"? Providers",
    ("--outage", "off=30s@10s"): 'off takes no part in anything, since it says "enabled": false. Providers',
    ("--outage", "main=1m@5m", "--for", "2m"): "begins when the last request has been sent, at 2m",
    ("--outage", "main=1m@10s:sleepy"): "there is no kind 'sleepy'",
    ("--every", "often"): "--every: 'often' is not a time such as 30s",
    ("--every", "0"): "--every 0 is too short: at least 0.01s. Give a time such as",
    ("--for", "-3s"): "--for: '-3s' is not a time",
    ("--for", "5s"): "--outage main=30s@10s:refused, which is rehearsed where none is given, begins when",
    ("--every", "10ms", "--for", "1h"): "are more than 20,000 requests",
    ("--sessions", "1000", "--for", "10m"): "are more than 20,000 requests",
    ("--pace", "main=3s"): "--pace main=3s: there is no `/` in it. Write NAME=FIRST/WHOLE",
    ("--pace", "main=3s/2s"): "the first content comes before the end. Write NAME=FIRST/WHOLE",
    ("--pace", "main"): "there is no `=` in it. Write NAME=FIRST/WHOLE, for example main=2s/30s",
    ("--pace", "x=1s/2s"): "there is no provider 'x'",
    ("--tier", "small"): "--tier small: no provider that takes part has a model of it. Try big.",
    ("--tier", "huge"): "'huge' is not one of 'big', 'middle', 'small'",
    ("--sessions", "0"): "0 is not in the range",
    ("--seed", "-1"): "-1 is not in the range",
    ("--config", "/nowhere/at/all.json"): "cannot be read",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_makes_no_sense_is_refused_with_the_reason(arguments: tuple[str, ...], tmp_path: Path) -> None:
    config = written(tmp_path, "main", "off")
    text = Path(config).read_text()
    Path(config).write_text(text.replace('{"name": "off"', '{"enabled": false, "name": "off"'))
    ended = simulate("--config", config, *arguments)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert REFUSED[arguments] in ended.stderr
    assert "Traceback" not in ended.output


WATCHED = """
import sys
reached = []
NAMES = "connect bind sendto sendmsg getaddrinfo gethostbyname"
OUTWARDS = {"socket." + name for name in NAMES.split()}
def watch(event, arguments):
    if event in OUTWARDS:
        reached.append(event)
sys.addaudithook(watch)
from ccproxy_trio.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("reached:", reached, file=sys.stderr)
"""


@pytest.mark.process
def test_nothing_is_sent_anywhere(tmp_path: Path) -> None:
    config = written(tmp_path, "main", "spare", health_check_interval=20)
    command = [sys.executable, "-c", WATCHED, "simulate", "--config", config, "--outage", "main=20s@5s:hang"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={"PATH": os.environ["PATH"]}
    )
    assert done.stderr == "reached: []\n"
    assert done.returncode == 0
    assert "Summary" in done.stdout


@pytest.mark.process
def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path) -> None:
    config = written(tmp_path, "main", "spare")
    command = (
        f"{sys.executable} -m ccproxy_trio simulate --config {config} | head -1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout.endswith("\n0\n")
    assert done.stderr == ""
