"""The process and what is around it: ports, permissions, full disks, closed pipes, little memory."""

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from tests.support.ports import ReservedPort

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
ENTRY = {
    "name": "a",
    "api_key": "canary-key-0123456789",
    "base_url": "http://127.0.0.1:9/v1",
    "models": {"big": ["m"]},
}
PR_CAPBSET_DROP = 24  # linux/prctl.h
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE = 1, 2, 10  # linux/capability.h


def written(folder: Path) -> Path:
    """A configuration that anybody may read."""
    path = folder / "providers.json"
    path.write_text(json.dumps({"providers": [ENTRY], "health_check_interval": 0, "patience": 0}))
    path.chmod(0o600)
    return path


def command(config: Path, *arguments: str) -> list[str]:
    """`ccproxy-trio serve`."""
    return [sys.executable, "-m", "ccproxy_trio", "serve", "--config", str(config), *arguments]


def environment(**more: str) -> dict[str, str]:
    """Nothing of ours."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONUNBUFFERED": "1"} | more


def refusal(*arguments: str, config: Path, **options: Any) -> str:
    """What it prints as it refuses to start: one line that says why, status 2."""
    ended = subprocess.run(
        command(config, *arguments),
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        cwd=ROOT,
        **options,
    )
    told = ended.stdout + ended.stderr
    assert ended.returncode == 2, told
    assert "Traceback" not in told
    assert told.count("❌") == 1, told
    assert "canary" not in told
    return next(line for line in told.splitlines() if "❌" in line)


def test_f13_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with ReservedPort() as port, port.listen():
        line = refusal("--port", str(port.number), config=written(tmp_path))
    assert str(port.number) in line
    assert "taken" in line


def test_f13_an_address_that_is_not_here_is_one_clear_line(tmp_path: Path) -> None:
    config = written(tmp_path)
    config.write_text(json.dumps({"providers": [ENTRY], "client_api_keys": ["canary-client-0123456789"]}))
    assert "192.0.2.1" in refusal("--host", "192.0.2.1", "--port", "8082", config=config)


def test_f13_a_port_that_is_not_permitted_is_one_clear_line(tmp_path: Path) -> None:
    start = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if start <= 80:
        pytest.skip(f"everybody may listen on ports from {start} on here")
    line = refusal("--port", "80", config=written(tmp_path), preexec_fn=without_privileges)
    assert "80" in line
    assert "ermission" in line


def test_f13_a_configuration_that_may_not_be_read_is_one_clear_line(tmp_path: Path) -> None:
    config = written(tmp_path)
    config.chmod(0)
    line = refusal("--port", "0", config=config, preexec_fn=without_privileges)
    assert str(config) in line
    assert "cannot be read: Permission denied" in line


def without_privileges() -> None:
    """In the child, before it becomes the proxy: not even root may do what others may not."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl")


def has_ipv6() -> bool:
    """Whether the loopback interface has its IPv6 address."""
    try:
        with socket.socket(socket.AF_INET6) as trying:
            trying.bind(("::1", 0))
    except OSError:
        return False
    return True


@contextmanager
def serving(
    arguments: Sequence[str], *, at: str, wrap: Sequence[str] = (), **streams: IO[bytes] | int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers at `at`; it must end with status 0 when it is told to."""
    process = subprocess.Popen(
        [*wrap, *arguments], env=environment(LOG_LEVEL="DEBUG"), cwd=ROOT, stdin=subprocess.DEVNULL, **streams
    )
    try:
        give_up_at = time.monotonic() + 20
        while not _lives(at):
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < give_up_at, "it does not come alive"
            time.sleep(0.03)
        yield process
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def _lives(at: str) -> bool:
    try:
        return httpx.get(f"{at}/health/live", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine's loopback interface has no IPv6 address")
def test_f13_ipv6_alone_is_enough(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("::1", 0))
        port = holder.getsockname()[1]
        at = f"http://[::1]:{port}"
        arguments = command(written(tmp_path), "--host", "::1", "--port", str(port))
        with serving(arguments, at=at, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            assert httpx.get(f"{at}/health", trust_env=False).json()["status"] == "healthy"


def talk(at: str) -> None:
    """Requests that are worth log lines."""
    with httpx.Client(base_url=at, trust_env=False, timeout=5) as client:
        for _ in range(20):
            body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
            assert client.post("/v1/messages", json=body).status_code == 502
        assert client.get("/health").status_code == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_f16_a_full_disk_under_the_log_stops_nothing(tmp_path: Path) -> None:
    with ReservedPort() as port, open("/dev/full", "wb") as full:
        at = f"http://127.0.0.1:{port.number}"
        arguments = command(written(tmp_path), "--port", str(port.number))
        with serving(arguments, at=at, stdout=full, stderr=full):
            talk(at)


def test_f16_a_reader_of_the_log_that_has_gone_stops_nothing(tmp_path: Path) -> None:
    with ReservedPort() as port:
        at = f"http://127.0.0.1:{port.number}"
        arguments = command(written(tmp_path), "--port", str(port.number))
        with serving(arguments, at=at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            process.stdout.close()
            talk(at)


def test_f16_closed_standard_streams_stop_nothing(tmp_path: Path) -> None:
    with ReservedPort() as port:
        at = f"http://127.0.0.1:{port.number}"
        arguments = command(written(tmp_path), "--port", str(port.number))
        with serving(arguments, at=at, wrap=["sh", "-c", 'exec "$@" >&- 2>&-', "sh"]):
            talk(at)
