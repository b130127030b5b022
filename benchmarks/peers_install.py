"""Install peers, each into a folder of its own, with the package managers as they are set up here."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import trio

from benchmarks.peers import Given, NodePackage, Peer, PythonPackage, binaries, folder_name

STORE = Path(__file__).parents[1] / "build" / "peers"
INSTALLED_WITHIN = 900.0  # seconds
TOLD_LETTERS = 200  # of a failure
_ERRORS = ("error", "npm error 404  ", "npm error code")
_DONE = "installed"  # a file that is written last: a folder without it is half a one


class Uninstallable(Exception):
    """A peer could not be installed. The text says why."""


@contextmanager
def folders(store: Path | None) -> Iterator[Path]:
    """Where peers go: into `store`, to stay there, or into a folder that is removed on leaving."""
    if store is not None:
        store.mkdir(parents=True, exist_ok=True)
        yield store
    else:
        with TemporaryDirectory(prefix="peers-") as folder:
            yield Path(folder)


async def installed(peer: Peer, into: Path, *, kept: Path = STORE) -> Path:
    """The folder of the peer: the one in `kept`, where it is there already, or else a new one below `into`.

    Raises:
        Uninstallable: the registry does not have it, or what it needs is not here.
    """
    name = folder_name(peer)
    for folder in (kept / name, into / name):
        if (folder / _DONE).exists():
            return folder
    folder = into / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    match peer.source:
        case PythonPackage() as package:
            await _install_python(package, folder)
        case NodePackage() as package:
            await _install_node(package, folder)
        case Given() | None:
            pass
    (folder / _DONE).touch()
    return folder


async def _install_python(package: PythonPackage, folder: Path) -> None:
    await _run((sys.executable, "-m", "venv", str(folder / "venv")))
    pip = str(binaries(folder) / "pip")
    await _run((pip, "install", "--quiet", "--disable-pip-version-check", package.requirement))


async def _install_node(package: NodePackage, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Uninstallable("it needs node and npm, and there is no npm on the path")
    (folder / "package.json").write_bytes(msgspec.json.encode(manifest(package)))
    quietly = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    await _run((npm, "install", *quietly, "--prefix", str(folder)))


def manifest(package: NodePackage) -> Mapping[str, object]:
    """A package.json that asks for nothing but `package`."""
    return {
        "private": True,
        "dependencies": {package.name: package.version},
        "overrides": dict(package.overrides),
    }


async def _run(command: Sequence[str]) -> None:
    """Run one step of an installation, in nobody's way.

    Raises:
        Uninstallable: it failed or took too long.
    """
    with trio.move_on_after(INSTALLED_WITHIN) as deadline:
        ended = await trio.run_process(
            command, check=False, capture_stdout=True, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        if ended.returncode:
            raise Uninstallable(reason(ended.stdout.decode(errors="replace")))
    if deadline.cancelled_caught:
        raise Uninstallable(f"it took longer than {INSTALLED_WITHIN:.0f} s")


def reason(printed: str) -> str:
    """The line that says most about a failure: the last that pip or npm calls an error."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [
        line for line in lines if line.lower().startswith(("error", "npm error 404  ", "npm error code"))
    ]
    return ([*errors] or lines or ["nothing was said"])[-1][:300]
