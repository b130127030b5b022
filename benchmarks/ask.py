"""What the actors cost a request: a question and its answer, a lease and its end, and their parts.

The real actors with nobody else around, in this process, on Trio's own clock.
"""

import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import click
import trio
from msgspec import Struct
from rich.table import Table

from benchmarks.front import json_option, measured, tell
from benchmarks.machine import versions
from benchmarks.report import empty_table, encode
from benchmarks.timing import AsyncWork, Spread, timed_async
from ccproxy_trio.actors import admission as providing
from ccproxy_trio.actors import dispatcher as dispatching
from ccproxy_trio.actors.dispatcher import Dispatcher, Routes
from ccproxy_trio.actors.kit import Mailbox, Question, ReplySlot
from ccproxy_trio.actors.provider import Provider, Refusal, Surroundings
from ccproxy_trio.health.lessons import Notebook
from ccproxy_trio.health.snapshot import Snapshot
from ccproxy_trio.health.verdict import Ruling
from ccproxy_trio.routing.budget import Budget
from ccproxy_trio.routing.question import Query, Rules
from ccproxy_trio.routing.tiers import Candidate
from ccproxy_trio.settings.model import BreakerSettings, RetryBudget

NAMES = ("first", "second", "third")
MODEL = "some-model"


class Row(Struct, frozen=True, kw_only=True):
    """One step, and what it takes."""

    step: str
    time: Spread


class Report(Struct, frozen=True, kw_only=True):
    """All figures, and what they were measured with."""

    facts: Mapping[str, str]
    rows: tuple[Row, ...]


async def measure(batches: int) -> Report:
    """Time every step in `batches` batches."""
    async with _house() as house:
        rows = [
            Row(step=step, time=await timed_async(work, batches=batches))
            for step, work in _steps(house).items()
        ]
    facts = versions("trio") | {
        "providers": str(len(NAMES)),
        "batches": str(batches),
    }
    return Report(facts=facts, rows=tuple(rows))


class _House(Struct, frozen=True, kw_only=True):
    """What the steps work with. `ball` comes back on `back` after one hop there and one back."""

    ball: trio.MemorySendChannel[int]
    back: trio.MemoryReceiveChannel[int]
    echo: Mailbox["_Echo"]
    dispatcher: Dispatcher
    routes: Routes
    provider: Provider


class _Echo(Question[int], frozen=True, kw_only=True):
    """Give me a number."""


def _steps(house: _House) -> Mapping[str, AsyncWork]:
    return {
        "a bare checkpoint": trio.lowlevel.checkpoint,
        "two channel hops": partial(_hop, house),
        "ask through a reply slot": partial(_ask, house.echo),
        "the dispatcher's choice": partial(_choice, house),
        "lease and settle": partial(_lease, house.provider),
        "choice, lease and settle": partial(_request, house),
    }


async def _hop(house: _House) -> None:
    await house.ball.send(1)
    await house.back.receive()


async def _ask(echo: Mailbox[_Echo]) -> int:
    slot: ReplySlot[int] = ReplySlot()
    echo.post(_Echo(slot=slot))
    return await slot.wait()


async def _lease(provider: Provider) -> None:
    """One attempt's dealings with its provider's actor, from the lease to when its end is published."""
    lease = await provider.lease(MODEL)
    assert not isinstance(lease, Refusal), lease.why
    with lease:
        lease.first_content()
        lease.settle(Ruling.healthy())
    await provider.settled()


async def _choice(house: _House) -> None:
    await house.dispatcher.choose(Query(tier="big", model="claude-opus-4-8"), house.routes)


async def _request(house: _House) -> None:
    await _choice(house)
    await _lease(house.provider)


def _serve(house: _House, nursery: trio.Nursery) -> None:
    """Start the actors. What they are asked before they run waits in their mailboxes."""
    nursery.start_soon(house.echo.serve, _answer)
    nursery.start_soon(house.dispatcher.mailbox.serve, _dispatching(house.dispatcher).handle)
    for name in NAMES[1:]:
        _providing(name, house.dispatcher.publish)  # it publishes what it knows when it is made
    provider = _providing(NAMES[0], house.dispatcher.publish)
    nursery.start_soon(house.provider.mailbox.serve, provider.handle)


@asynccontextmanager
async def _house() -> AsyncIterator[_House]:
    """The actors, served while the block runs."""
    there, hit = trio.open_memory_channel[int](0)
    back, caught = trio.open_memory_channel[int](0)
    house = _House(
        ball=there,
        back=caught,
        echo=Mailbox(),
        dispatcher=Dispatcher(),
        routes=_routes(),
        provider=Provider(NAMES[0]),
    )
    async with trio.open_nursery() as nursery:
        _serve(house, nursery)
        await nursery.start(_return, hit, back)
        yield house
        nursery.cancel_scope.cancel()


async def _return(
    hit: trio.MemoryReceiveChannel[int],
    back: trio.MemorySendChannel[int],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    task_status.started()
    async for ball in hit:
        await back.send(ball)


def _answer(message: _Echo) -> None:
    message.slot.fill(1)


def _routes() -> Routes:
    candidates = tuple(Candidate(name, MODEL) for name in NAMES)
    rules = Rules(priorities=dict.fromkeys(NAMES, 1), max_retries=dict.fromkeys(NAMES, 3))
    return Routes(candidates={"big": candidates, "middle": (), "small": ()}, rules=rules)


def _dispatching(dispatcher: Dispatcher) -> dispatching.Incarnation:
    return dispatching.Incarnation(
        view=dispatcher.view, budget=Budget(RetryBudget()), now=trio.current_time, seed=lambda: 1
    )


def _providing(name: str, publish: Callable[[Snapshot], None]) -> providing.Incarnation:
    around = Surroundings(
        name=name,
        breaker=BreakerSettings(),
        trial_timeout=120.0,
        now=trio.current_time,
        wall=time.time,
        draw=random.Random(0).random,
        publish=publish,
        journal=lambda _: None,
        notebook=Notebook(models=(MODEL,)),
    )
    return providing.Incarnation(around, epoch=0)


def draw(report: Report) -> Table:
    """The report as a table."""
    figures = ("median", "quartiles", "", "batches")
    table = empty_table("Microseconds", report.facts, first="step", figures=figures)
    for row in report.rows:
        time = row.time
        table.add_row(
            row.step, f"{time.us:.1f}", f"{time.low_us:.1f}", f"{time.high_us:.1f}", str(time.batches)
        )
    return table


@click.command("ask")
@click.option(
    "--batches",
    type=click.IntRange(1, 1_000),
    default=101,
    show_default=True,
    help="How many batches each step is timed for; their median counts.",
)
@json_option
def command(batches: int, json_path: Path | None) -> None:
    """What a request's questions to the actors cost."""
    report = measured(partial(measure, batches))
    tell(draw(report), encode(report), json_path)
