"""`python -m tests.fuzz`: requests and answers that nobody would send, through the whole proxy.

Everything but the sockets is real: Hypercorn's connection code, the edge, the actors, the translation.
Time is virtual. A run is bounded by its number of examples; a failing one is printed with what reproduces it.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
import trio
import trio.testing
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ccproxy_trio.journal import ActorCrashed, AttemptEnded, Entry, GrammarViolated, Note
from ccproxy_trio.settings.model import DialectOptions, ProviderSettings
from ccproxy_trio.translate.profiles import PROFILES
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, Script, settings_for, virtual_house
from tests.support.fuzz import answers, bodies
from tests.support.grammar import check_frames
from tests.support.validation import sequence_violations, violations

WITHIN = 3_600.0  # seconds of virtual time; nothing that is asked may take longer
_STATUSES = {200, 400, 401, 402, 403, 404, 413, 415, 429, 502, 504, 529}

FUZZED: dict[str, st.SearchStrategy[Any]] = {
    "body": bodies(),
    "first": answers(),
    "second": answers(),
    "profile": st.sampled_from(sorted(PROFILES)),
    "options": st.builds(DialectOptions, think_tags=st.booleans(), lenient=st.booleans()),
}


def survives(
    *, body: bytes, first: list[bytes], second: list[bytes], profile: str, options: DialectOptions
) -> bool:
    """Ask two providers with these answers, one after the other, and hold the outcome against the API.

    Whether the request was one that a provider got to see.
    """
    base = settings_for("a", "b", patience=5.0)
    providers = tuple(_with(provider, profile, options) for provider in base.providers)
    configured = type(base)(
        providers=providers, health_check_interval=0.0, patience=base.patience, keepalive_interval=10_000.0
    )
    clock = trio.testing.MockClock(autojump_threshold=0)

    upstreams = {"a": FakeUpstream(_sends(first)), "b": FakeUpstream(_sends(second))}

    async def ask() -> tuple[Client, bytes, list[Entry]]:
        with trio.fail_after(WITHIN):
            async with virtual_house(configured, **upstreams) as house:
                client = Client(house.connect())
                await client.send(body)
                await client.head()
                return client, await client.body(), house.journal

    client, told, journal = trio.run(ask, clock=clock)
    _judge(client, told)
    for upstream in upstreams.values():
        _judge_requests(upstream.received, profile)
    ours = [entry for entry in journal if _is_our_fault(entry)]
    assert not ours, ours
    return any(isinstance(entry, AttemptEnded) and entry.outcome != "refused" for entry in journal)


def _with(provider: ProviderSettings, profile: str, options: DialectOptions) -> ProviderSettings:
    return ProviderSettings(
        name=provider.name,
        api_key=provider.api_key,
        base_url=provider.base_url,
        models=provider.models,
        priority=provider.priority,
        profile=profile,  # type: ignore[arg-type]  # one of the table's
        options=options,
    )


def _sends(pieces: list[bytes]) -> Script:
    async def script(answer: FakeAnswer) -> None:
        for piece in pieces:
            await answer.send.send(piece)

    return script


def _judge(client: Client, told: bytes) -> None:
    """The answer is a stream of the grammar, a message, or an error of the API."""
    assert client.status in _STATUSES, (client.status, told)
    if client.headers["content-type"].startswith("text/event-stream"):
        assert client.status == 200
        check_frames(told)
        return
    document = json.loads(told)
    if client.status == 200:
        assert document["type"] == "message"
        return
    assert document["type"] == "error"
    assert document["error"]["message"]
    assert "Traceback" not in document["error"]["message"]


def _judge_requests(bodies: Sequence[bytes], profile: str) -> None:
    """What the providers were asked is what OpenAI would take; other profiles have members of their own."""
    for body in bodies:
        asked = json.loads(body)
        if profile in ("openai", "azure"):
            assert violations(asked) == [], asked
        else:
            assert list(sequence_violations(asked["messages"])) == [], asked


def _is_our_fault(entry: Entry) -> bool:
    match entry:
        case GrammarViolated() | ActorCrashed() | Note(event="internal.error"):
            return True
        case _:
            return False


class Run:
    """So many requests. `asked`, `answered`: how many there were, and how many a provider got to see."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0

    def __call__(self, examples: int, *, repeat: int | None = None) -> None:
        """Fuzz; `repeat` is the seed of an earlier run."""
        run = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )(given(**FUZZED)(self._one))
        (run if repeat is None else seed(repeat)(run))()

    def _one(self, **example: Any) -> None:
        self.answered += survives(**example)
        self.asked += 1


@click.command()
@click.option("--examples", type=click.IntRange(1, 1_000_000), default=2_000, show_default=True)
@click.option("--seed", "repeat", type=int, default=None, help="Repeat a run.")
def main(examples: int, repeat: int | None) -> None:
    """Fuzz the whole proxy in virtual time."""
    run = Run()
    run(examples, repeat=repeat)
    sys.stdout.write(f"{run.asked} requests survived; {run.answered} of them came to a provider\n")


if __name__ == "__main__":
    main(prog_name="python -m tests.fuzz")
