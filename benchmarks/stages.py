"""The stages that a request passes, told by the modules in which the proxy spends its time."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

OTHER = "other"

# stage -> beginnings of paths below the folder that modules are imported from; the longest that fits counts.
# In the order in which a request passes them. What has no row (the standard library, h11, Trio's sockets)
# counts for whoever called it.
STAGES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "server (Hypercorn, h11)": ("hypercorn/",),
        "framework (Quart)": ("quart/", "quart_trio/", "werkzeug/", "flask/"),
        "edge (ours)": ("ccproxy_trio/edge/",),
        "request: decode": ("ccproxy_trio/wire/anthropic.py", "ccproxy_trio/wire/tools.py"),
        "request: count tokens": (
            "ccproxy_trio/counting/",
            "ccproxy_trio/documents/",
            "ccproxy_trio/translate/tokens.py",
            "ccproxy_trio/translate/scale.py",
        ),
        "exchange and attempts": (
            "ccproxy_trio/app.py",
            "ccproxy_trio/attempt.py",
            "ccproxy_trio/audience.py",
            "ccproxy_trio/exchange.py",
            "ccproxy_trio/deadline.py",
            "ccproxy_trio/drain.py",
            "ccproxy_trio/errand.py",
            "ccproxy_trio/login.py",
            "ccproxy_trio/race.py",
            "ccproxy_trio/turns.py",
            "ccproxy_trio/websearch.py",
        ),
        "dispatcher, actors, health": (
            "ccproxy_trio/actors/",
            "ccproxy_trio/fleet.py",
            "ccproxy_trio/house.py",
            "ccproxy_trio/health/",
            "ccproxy_trio/routing/",
        ),
        "request: translate": (
            "ccproxy_trio/translate/",
            "ccproxy_trio/wire/blocks.py",
            "ccproxy_trio/wire/openai.py",
            "ccproxy_trio/wire/responses.py",
            "ccproxy_trio/wire/search.py",
        ),
        "upstream transport": ("ccproxy_trio/upstream/", "httpx/", "httpcore/", "anyio/"),
        "answer: SSE and chunks": (
            "ccproxy_trio/wire/sse.py",
            "ccproxy_trio/wire/chunks.py",
            "ccproxy_trio/wire/response_events.py",
            "ccproxy_trio/wire/native.py",
            "ccproxy_trio/translate/native/frames.py",
        ),
        "answer: translate": tuple(
            f"ccproxy_trio/translate/{name}.py"
            for name in (
                "arguments",
                "calls",
                "carry",
                "emit",
                "fold",
                "hearing",
                "native/blocks",
                "native/fold",
                "native/ids",
                "native/passing",
                "native/reader",
                "native/splice",
                "native/whole",
                "parts",
                "responses/heard",
                "responses/reader",
                "stops",
                "stream",
                "think",
                "usage",
                "voice",
            )
        ),
        "answer: check": ("ccproxy_trio/translate/grammar.py",),
        "answer: encode": ("ccproxy_trio/wire/events.py",),
        "faults": (
            "ccproxy_trio/wire/faults.py",
            "ccproxy_trio/translate/complaint.py",
            "ccproxy_trio/translate/errors.py",
        ),
        "journal and log": (
            "ccproxy_trio/bookkeeping.py",
            "ccproxy_trio/journal.py",
            "ccproxy_trio/logs/",
            "structlog/",
        ),
        "settings": ("ccproxy_trio/settings/", "ccproxy_trio/reload.py"),
        "Trio: scheduler, scopes, channels": ("trio/", "outcome/"),
    }
)
_SOCKETS = ("trio/_socket.py", "trio/_highlevel_", "trio/_ssl.py", "trio/_core/_generated_")
_BEGINNINGS = sorted(
    ((beginning, stage) for stage, beginnings in STAGES.items() for beginning in beginnings),
    key=lambda row: -len(row[0]),
)


class Shares(Struct, frozen=True):
    """How many samples fell on each stage, in all of them `total`."""

    samples: Mapping[str, int]
    total: int

    def percent(self, stage: str) -> float:
        """The stage's part of all samples."""
        return self.samples.get(stage, 0) / self.total * 100 if self.total else 0.0


def stage_of_module(path: str) -> str | None:
    """The stage of a module, by its path below the folder that modules are imported from."""
    if path.startswith(_SOCKETS):
        return None
    return next((stage for beginning, stage in _BEGINNINGS if path.startswith(beginning)), None)


def stage_of(frames: Sequence[str]) -> str:
    """The stage of a stack, outermost frame first: that of the innermost frame that has one."""
    for frame in reversed(frames):
        stage = stage_of_module(_below_imports(_path(frame)))
        if stage is not None:
            return stage
    return OTHER


def shares(collapsed: Iterable[str]) -> Shares:
    """Read py-spy's raw format: one stack a line, `frame;frame;... COUNT`, a frame as `name (path:line)`."""
    found: dict[str, int] = {}
    for line in collapsed:
        stack, _, count = line.rpartition(" ")
        stage = stage_of(stack.split(";"))
        found[stage] = found.get(stage, 0) + int(count)
    return Shares(found, sum(found.values()))


def _path(frame: str) -> str:
    return frame.rpartition("(")[2].rpartition(":")[0].removesuffix(")")


def _below_imports(path: str) -> str:
    """What follows the folder that modules are imported from."""
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in path:
            return path.rpartition(folder)[2]
    at = path.rfind("ccproxy_trio/")
    return path[at:] if at >= 0 else path
