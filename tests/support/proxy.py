"""The real proxy as a process of its own, started as a user starts it.

    proxy = Proxy.start(folder, config_of([provider.entry()], patience=2))
    ...
    proxy.stop_by(signal.SIGTERM)  # or `await proxy.stop()`

Stopping demands a clean exit and that no secret was ever printed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal

import trio
from msgspec import Struct, field

from tests.support.ports import ReservedPort
from tests.support.warm import Forked, fork

Form = Literal["hypercorn", "serve", "script", "warm"]  # the last is `serve` without the wait for its imports
_BIN = Path(sys.executable).parent
_READY_WITHIN = 30.0  # seconds; a cold start on a busy machine, about 1.5 s otherwise
_GONE_WITHIN = 20.0


class ProxyError(AssertionError):
    """The proxy did not start, did not stop, or said what it must not say. The text holds its output."""


def config_of(entries: Iterable[Mapping[str, Any]], **settings: Any) -> dict[str, Any]:
    """A `providers.json` for tests: no probes, and little patience, unless `settings` say otherwise."""
    return {"health_check_interval": 0, "patience": 1, "providers": list(entries)} | settings


class Heard(Struct):
    """What a client was answered, as far as it has read. `ending`: how it stopped reading."""

    path: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytearray = field(default_factory=bytearray)
    ending: Literal["left", "whole", "broken"] = "left"


class Proxy:
    """A running proxy. `base_url` has no trailing slash. `heard` is all that it answered to `client`'s."""

    def __init__(
        self, process: subprocess.Popen[bytes] | Forked, port: ReservedPort, log: Path, config: Any
    ) -> None:
        self.process = process
        self.base_url = f"http://127.0.0.1:{port.number}"
        self.heard: list[Heard] = []
        self._port = port
        self._log = log
        self._secrets = tuple(_secrets_in(config))

    @classmethod
    def start(
        cls,
        folder: Path,
        config: Mapping[str, Any],
        *,
        form: Form = "hypercorn",
        env: Mapping[str, str] | None = None,
    ) -> "Proxy":
        """Write the configuration into `folder`, start the proxy there and wait until it is alive."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "providers.json"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        port, log = ReservedPort(), folder / "proxy.log"
        with log.open("wb") as output, ExitStack() as undo:
            undo.callback(port.close)
            environment = _environment(folder, form, path) | dict(env or {})
            process = _started(form, port.number, path, env=environment, output=output)
            undo.pop_all()  # from here on the proxy owns the port
        proxy = cls(process, port, log, config)
        proxy._wait_until_alive()
        return proxy

    @property
    def output(self) -> str:
        """All it has printed so far."""
        return self._log.read_text(errors="replace")

    async def stop(self) -> None:
        """`stop_by` SIGTERM, off Trio's thread, even in a cancelled scope: no process is left behind."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.stop_by, signal.SIGTERM)

    def stop_by(self, with_signal: signal.Signals) -> None:
        """Ask it to end and hold it to its manners: exit status 0, nothing secret printed."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            code = self.process.wait(_GONE_WITHIN)
        except subprocess.TimeoutExpired:
            raise ProxyError(
                f"still running {_GONE_WITHIN} s after {with_signal.name}\n{self.output}"
            ) from None
        finally:
            self._end()
        print(self.output)  # pytest shows it with a failed test
        if code != 0:
            raise ProxyError(f"exit status {code}\n{self.output}")
        self.assert_discreet(self.output)

    def assert_discreet(self, text: str) -> None:
        """Fail if any secret of the configuration occurs in `text`."""
        told = [secret[:12] + "…" for secret in self._secrets if secret in text]
        if told:
            raise ProxyError(f"secrets were shown: {told}")

    def kill(self) -> None:
        """End it without ceremony."""
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # also what it may have left behind
        self.process.wait()
        self._port.close()

    def _wait_until_alive(self) -> None:
        give_up_at = time.monotonic() + _READY_WITHIN
        while not _answers(f"{self.base_url}/health/live"):
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                self._end()
                raise ProxyError(f"did not come alive (exit status {self.process.returncode})\n{self.output}")
            time.sleep(0.03)


def _started(
    form: Form, port: int, config: Path, *, env: Mapping[str, str], output: BinaryIO
) -> subprocess.Popen[bytes] | Forked:
    serve = ["serve", "--config", str(config), "--port", str(port)]
    if form == "warm":
        return fork(serve, cwd=config.parent, env=env, output=output)
    app = "ccproxy_trio:create_app()"
    commands = {
        "hypercorn": [str(_BIN / "hypercorn"), "-k", "trio", "-b", f"127.0.0.1:{port}", app],
        "serve": [sys.executable, "-m", "ccproxy_trio", *serve],
        "script": [str(_BIN / "ccproxy-trio"), *serve],
    }
    return subprocess.Popen(
        commands[form],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=config.parent,
        env=env,
        start_new_session=True,
    )


def _environment(home: Path, form: Form, config: Path) -> dict[str, str]:
    """Nothing of the environment the tests run in: no keys, no proxies, no colours."""
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONUNBUFFERED": "1", "LOG_LEVEL": "DEBUG"}
    return base | ({"CCPROXY_CONFIG": str(config)} if form == "hypercorn" else {})


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _secrets_in(config: Any) -> Iterable[str]:
    """Every provider key, every custom header value that says so, every client key."""
    yield from config.get("client_api_keys", ())
    for entry in config["providers"]:
        yield entry["api_key"]
        yield from (value for value in entry.get("custom_headers", {}).values() if "canary" in value)
