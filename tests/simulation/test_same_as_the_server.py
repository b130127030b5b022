"""No second implementation: a real proxy process over real sockets tells of the same faults the same story.

The requests are the rehearsal's own, sent one after the other; what is compared is what both write to their
journals, word by word, but for times and ids.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import trio

from ccproxy_trio.journal import AttemptEnded, BreakerMoved, Cooling, Entry, FellOver, ModelExcluded
from ccproxy_trio.logs.colour import Palette
from ccproxy_trio.logs.lines import render
from ccproxy_trio.settings.load import load
from ccproxy_trio.settings.model import Settings
from ccproxy_trio.simulation import chat
from ccproxy_trio.simulation.client import Prompt, body_of
from ccproxy_trio.simulation.outage import parse_outage
from ccproxy_trio.simulation.provider import Pace
from ccproxy_trio.simulation.rehearsal import Scenario, rehearse
from tests.conftest import Providers, StartProxy
from tests.support import faults
from tests.support.chunks import says
from tests.support.client import post
from tests.support.scripted import Reply, raw_reply

pytestmark = pytest.mark.process

COUNT = 4  # requests: one more than it takes to open the circuit
COMPARED = (AttemptEnded, BreakerMoved, Cooling, FellOver, ModelExcluded)
STARTS = ("attempt [", "Falling over: [", "[first]", "[second]")
_TIMES = re.compile(r"\b\d+(?:\.\d+)? (?:ms|s|min|h)(?: \d+ (?:s|min))?\b")
_IDS = re.compile(r" · req_\S+")


def refusal(status: int, **headers: str) -> Reply:
    """The bytes that the simulated provider sends."""
    return raw_reply(status, chat.refusal(status), content_type="application/json", **headers)


KINDS: dict[str, Callable[[], Reply] | None] = {
    "refused": None,  # nobody listens there
    "reset": faults.closes,
    "dies": lambda: faults.dies_after_text("This ", "is ", how="rst"),
    "empty": says,
    "garbage": faults.web_page,
    "quota": lambda: raw_reply(*chat.quota_refusal(), content_type="application/json"),
    "429=30s": lambda: refusal(429, retry_after="30"),
    "400": lambda: refusal(400),
    "401": lambda: refusal(401),
    "403": lambda: refusal(403),
    "404": lambda: refusal(404),
    "500": lambda: refusal(500),
    "503": lambda: refusal(503),
    "529": lambda: refusal(529),
}


def _entries(settings: Settings, kind: str) -> Iterable[Entry]:
    """What a rehearsal of it writes to the journal."""
    outage = parse_outage(f"first=1h@0:{kind}", settings)
    scenario = Scenario(
        outages=(outage,),
        every=1.0,
        lasts=COUNT - 0.5,
        streams=False,
        paces={"first": Pace(0.1, 0.2), "second": Pace(0.1, 0.2)},
    )
    return [event.entry for event in rehearse(settings, scenario).events]


def _plain(text: str) -> str:
    return _IDS.sub("", _TIMES.sub("T", text))


def _story_of(entries: Iterable[Entry]) -> list[str]:
    palette = Palette([], None)
    told = (render(entry, palette).text.plain for entry in entries if isinstance(entry, COMPARED))
    return [_plain(text.split(" ", 1)[1].strip()) for text in told]


def _story_in(log: str) -> list[str]:
    """The same lines of a process's log: each behind its time of day and its mark."""
    lines = re.findall(r"^\d\d:\d\d:\d\d \S+ +(.*)$", log, re.MULTILINE)
    return [_plain(line) for line in lines if line.startswith(STARTS)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_has_the_same_story_in_a_process_and_in_a_rehearsal(
    kind: str, providers: Providers, start_proxy: StartProxy, tmp_path: Path
) -> None:
    reply = KINDS[kind]
    first = providers.absent("first") if reply is None else providers.start("first")
    second = providers.start("second")
    if reply is not None:
        first.plays(reply())
    second.plays(says("fine"))
    breaker = {"failure_threshold": 3, "recovery_timeout": 60, "recovery_jitter": 0}
    proxy = await start_proxy(first, second, circuit_breaker=breaker)
    for number in range(COUNT):
        prompt = Prompt(number=number, turn=number, session="s", tier="big", streams=False)
        await post(proxy, json.loads(body_of(prompt, streams=False)))
    settings = load(tmp_path / "proxy" / "providers.json", {}).settings
    rehearsed = _story_of(await trio.to_thread.run_sync(_entries, settings, kind))
    assert rehearsed
    assert _story_in(proxy.output) == rehearsed
