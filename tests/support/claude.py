"""The real Claude Code, run without a terminal, with a home of its own and no way to the internet."""

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct

VERSION = "2.1.197"
PACKAGE = f"@anthropic-ai/claude-code@{VERSION}"
STREAM_JSON = ("--output-format", "stream-json", "--verbose", "--include-partial-messages")
FOLDER = Path(__file__).parents[2] / "build" / "claude-cli"  # where `python -m tests` installs it


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run ended. `result` is the last object the CLI printed, empty if it printed none."""

    exit_code: int
    seconds: float
    result: dict[str, Any]
    output: str

    @property
    def text(self) -> str:
        """What the user reads at the end."""
        return str(self.result.get("result", ""))

    @property
    def session(self) -> str:
        """The session's id, for `--resume`."""
        return str(self.result["session_id"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stream events that the CLI has read; it prints them if asked with `STREAM_JSON`."""
        lines = [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]
        return [line["event"] for line in lines if line.get("type") == "stream_event"]

    @property
    def failed(self) -> bool:
        """Whether the CLI calls this an error."""
        return bool(self.result.get("is_error", True))


class ClaudeCode(Struct, frozen=True):
    """An installed CLI that speaks to `base_url`. `home` and `workplace` are folders of the test's own."""

    binary: Path
    base_url: str
    home: Path
    workplace: Path

    async def ask(
        self, prompt: str, *more: str, env: Mapping[str, str] | None = None, within: float = 120.0
    ) -> Outcome:
        """Run one prompt to its end. `more` are further arguments.

        Raises:
            trio.TooSlowError: it took longer than `within` seconds; the process is killed then.
        """
        started_at = trio.current_time()
        with trio.fail_after(within):
            done = await trio.run_process(
                self._command(prompt, *more),
                stdin=subprocess.DEVNULL,
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
                cwd=self.workplace,
                env=self._environment() | dict(env or {}),
                start_new_session=True,
            )
        output = done.stdout.decode(errors="replace")
        print(output)  # pytest shows it with a failed test
        return Outcome(
            exit_code=done.returncode,
            seconds=trio.current_time() - started_at,
            result=_last_object(output),
            output=output,
        )

    @asynccontextmanager
    async def asking(self, prompt: str) -> AsyncIterator[trio.Process]:
        """A run under way; it is killed on leaving."""
        process = await trio.lowlevel.open_process(
            self._command(prompt),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.workplace,
            env=self._environment(),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()

    def _command(self, prompt: str, *more: str) -> list[str]:
        return [
            str(self.binary),
            "--print",
            "--output-format",
            "json",
            "--dangerously-skip-permissions",
            *more,
            prompt,
        ]

    def _environment(self) -> dict[str, str]:
        """All of the CLI's environment: nothing of ours leaks in, no proxy variable either."""
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "IS_SANDBOX": "1",  # else --dangerously-skip-permissions is refused to root
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "ANTHROPIC_BASE_URL": self.base_url,
            "ANTHROPIC_API_KEY": "canary-client-key",
        }


def find_binary() -> Path | None:
    """The CLI: `CCPROXY_TEST_CLAUDE`, or the one installed under `build/`."""
    named = os.environ.get("CCPROXY_TEST_CLAUDE")
    binary = Path(named) if named else FOLDER / "node_modules" / ".bin" / "claude"
    return binary if binary.exists() else None


def lacking() -> str | None:
    """Why Claude Code cannot be run here, or None."""
    if find_binary() is None:
        return f"Claude Code is not installed (`python -m tests` installs {PACKAGE}; it needs npm)"
    if _has_a_way_out():
        return "the network is not cut off (`python -m tests` does that; it needs unshare)"
    return None


def _has_a_way_out() -> bool:
    """Whether this network namespace has a route to anywhere but itself."""
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    six = [line for line in Path("/proc/net/ipv6_route").read_text().splitlines() if line.split()[-1] != "lo"]
    return bool(routes or six)


def _last_object(output: str) -> dict[str, Any]:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            return found if isinstance(found, dict) else {}
    return {}
