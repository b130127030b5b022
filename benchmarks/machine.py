"""What a measurement was made with: the facts that stand beside every table."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import cores
from ccproxy_trio.version import __version__

LIBRARIES = ("trio", "hypercorn", "h11", "httpx", "msgspec", "quart", "quart-trio")


def facts(counts: Mapping[str, object]) -> Mapping[str, str]:
    """Versions and machine, then `counts`: how much was measured, and how."""
    return versions(*LIBRARIES) | machine() | {name: str(count) for name, count in counts.items()}


def versions(*libraries: str) -> dict[str, str]:
    """The proxy's version, Python's and those of these libraries."""
    own = {"ccproxy_trio": __version__, "Python": platform.python_version()}
    return own | {name: version(name) for name in libraries}


def machine() -> dict[str, str]:
    """The system, the processor and its cores."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
    }


def pinning() -> str:
    """Who runs on which core, for the facts of a benchmark that pins."""
    chosen = cores()
    if chosen.subject == chosen.engine:
        return "not pinned: there is one core for all"
    subject, engine = (",".join(map(str, sorted(part))) for part in (chosen.subject, chosen.engine))
    return f"measured on core {subject}, engine on {engine}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
