"""Faults of the proxy's own and of the machine's clock, put into a real process from outside.

Python runs `sitecustomize` before anything else. What is written there wraps a function of the process for as
long as a file of the test's says so; the proxy's own code knows nothing of it.
"""

from pathlib import Path

_CLOCK = """
import time
_real = time.time
def _shifted():
    try:
        with open({switch!r}) as file:
            return _real() + float(file.read() or 0)
    except FileNotFoundError:
        return _real()
time.time = _shifted
"""
_CRASH = """
import os
{imports}
_real = {target}
def _crashing(self, *arguments, **options):
    if os.path.exists({switch!r}):
        raise RuntimeError("put into the process by a test")
    return _real(self, *arguments, **options)
{target} = _crashing
"""


class Tampering:
    """What is done to a process. `env` is what it is to be started with, in any form but the forked one."""

    def __init__(self, folder: Path, code: str) -> None:
        folder.mkdir()
        self._switch = folder / "switch"
        (folder / "sitecustomize.py").write_text(code.replace("@switch@", str(self._switch)))
        self.env = {"PYTHONPATH": str(folder)}

    def set(self, value: str) -> None:
        """Let it happen from now on."""
        self._switch.write_text(value)

    def stop(self) -> None:
        """No more of it."""
        self._switch.unlink()


def shifted_clock(folder: Path) -> Tampering:
    """The wall clock goes wrong by as many seconds as are set."""
    return Tampering(folder, _CLOCK.format(switch="@switch@"))


def crashing(folder: Path, module: str, target: str) -> Tampering:
    """`target`, a method of a class of `module`, raises while anything is set."""
    imports = f"import {module}"
    return Tampering(folder, _CRASH.format(imports=imports, target=f"{module}.{target}", switch="@switch@"))
