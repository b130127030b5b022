"""The provider actor: leases are never lost, never granted twice, and survive their holders."""

from collections.abc import Callable

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from ccproxy_trio.actors.admission import Incarnation
from ccproxy_trio.actors.kit import Mailbox, RestartPolicy, supervise
from ccproxy_trio.actors.provider import (
    Lease,
    Message,
    Provider,
    Refusal,
    Surroundings,
)
from ccproxy_trio.health.breaker import State
from ccproxy_trio.health.lessons import Lesson, Notebook
from ccproxy_trio.health.probing import ProbeResult, ProbeVerdict
from ccproxy_trio.health.snapshot import Flag, Snapshot
from ccproxy_trio.health.verdict import Ruling, judge
from ccproxy_trio.journal import BreakerMoved, Cooling, Entry, ModelExcluded, ParameterLearned
from ccproxy_trio.settings.model import BreakerSettings, DialectOptions
from ccproxy_trio.wire.faults import FaultKind, UpstreamFault

LESSON = Lesson("temperature", DialectOptions(sampling=False))


class Bench:
    """One provider actor on a bench: its handle, what it published, what it wrote."""

    def __init__(self, breaker: BreakerSettings | None = None) -> None:
        self.provider = Provider("alpha")
        self.published: list[Snapshot] = []
        self.journal: list[Entry] = []
        self.around = Surroundings(
            name="alpha",
            breaker=breaker or BreakerSettings(failure_threshold=2, recovery_timeout=60, recovery_jitter=0),
            trial_timeout=120,
            now=trio.current_time,
            wall=lambda: 1_700_000_000.0 + trio.current_time(),
            draw=lambda: 0.0,
            publish=self.published.append,
            journal=self.journal.append,
            notebook=Notebook(models=("m", "other")),
        )

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        incarnation = Incarnation(self.around, epoch=0)
        task_status.started()
        await self.provider.mailbox.serve(incarnation.handle)

    async def fail(self, fault: UpstreamFault, model: str = "m") -> None:
        lease = await self.provider.lease(model)
        assert isinstance(lease, Lease), lease
        with lease:
            lease.settle(judge(fault, shown=False), fault)

    async def snapshot(self) -> Snapshot:
        return await self.provider.describe()


@pytest.fixture
async def bench(nursery: trio.Nursery) -> Bench:
    bench = Bench()
    await nursery.start(bench.serve)
    return bench


def server_error() -> UpstreamFault:
    return UpstreamFault(FaultKind.SERVER_ERROR, status=500)


async def test_a_lease_counts_as_in_flight_until_its_block_is_left(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    lease = await bench.provider.lease("m")
    assert isinstance(lease, Lease)
    with lease:
        assert (await bench.snapshot()).in_flight == 1
    assert (await bench.snapshot()).in_flight == 0


async def test_a_cancelled_attempt_says_nothing_about_health(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.move_on_after(1):
        lease = await bench.provider.lease("m")
        assert isinstance(lease, Lease)
        with lease:
            await trio.sleep_forever()
    snapshot = await bench.snapshot()
    assert (snapshot.in_flight, snapshot.failure_count, snapshot.last_success) == (0, 0, None)


async def test_a_lease_is_settled_once(bench: Bench, autojump_clock: trio.testing.MockClock) -> None:
    lease = await bench.provider.lease("m")
    assert isinstance(lease, Lease)
    with lease:
        lease.settle(judge(server_error(), shown=False), server_error())
        lease.settle(judge(server_error(), shown=False), server_error())
    snapshot = await bench.snapshot()
    assert (snapshot.in_flight, snapshot.failure_count) == (0, 1)


async def test_failures_open_the_breaker_and_leases_are_refused_until_the_trial(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    await bench.fail(server_error())
    await bench.fail(server_error())
    refusal = await bench.provider.lease("m")
    assert isinstance(refusal, Refusal)
    assert refusal.ready_at == trio.current_time() + 60
    assert [e.reopens_in for e in bench.journal if isinstance(e, BreakerMoved)] == [60]
    await trio.sleep(60)
    trial, second = await bench.provider.lease("m"), await bench.provider.lease("m")
    assert isinstance(trial, Lease)
    assert isinstance(second, Refusal)
    with trial:
        trial.first_content()
        trial.settle(Ruling.healthy())
    assert (await bench.snapshot()).state is State.CLOSED


async def test_a_trial_whose_client_left_is_given_to_the_next(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    await bench.fail(server_error())
    await bench.fail(server_error())
    await trio.sleep(60)
    with trio.move_on_after(1):
        trial = await bench.provider.lease("m")
        assert isinstance(trial, Lease)
        with trial:
            await trio.sleep_forever()
    assert isinstance(await bench.provider.lease("m"), Lease)


@pytest.mark.parametrize("seed", range(40))
async def test_a_grant_racing_with_cancellation_is_given_back(seed: int, nursery: trio.Nursery) -> None:
    """Two hundred askers, each cancelled at about the time of its grant: nothing stays in flight."""
    bench = Bench()
    await nursery.start(bench.serve)

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            lease = await bench.provider.lease("m")
            assert isinstance(lease, Lease)
            with lease:
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as askers:
        for number in range(50):
            scope = trio.CancelScope()
            askers.start_soon(ask, scope)
            if number % 3 == seed % 3:
                await trio.lowlevel.checkpoint()
            if number % 2:
                scope.cancel()
    assert (await bench.snapshot()).in_flight == 0


async def test_a_rate_limit_rests_one_model_and_leaves_the_breaker_alone(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    await bench.fail(UpstreamFault(FaultKind.RATE_LIMITED, status=429, retry_after=30.0), "m")
    refusal = await bench.provider.lease("m")
    assert isinstance(refusal, Refusal)
    assert refusal.ready_at == trio.current_time() + 30
    assert isinstance(await bench.provider.lease("other"), Lease)
    snapshot = await bench.snapshot()
    assert (snapshot.state, snapshot.failure_count) == (State.CLOSED, 0)
    assert [e for e in bench.journal if isinstance(e, Cooling)] == [
        Cooling(provider="alpha", model="m", reason="rate_limited", seconds=30.0)
    ]
    await trio.sleep(30)
    assert isinstance(await bench.provider.lease("m"), Lease)


async def test_a_missing_model_is_left_out_and_the_others_are_not(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    await bench.fail(UpstreamFault(FaultKind.MODEL_NOT_FOUND, status=404), "gone")
    assert isinstance(await bench.provider.lease("gone"), Refusal)
    assert isinstance(await bench.provider.lease("m"), Lease)
    excluded = [e for e in bench.journal if isinstance(e, ModelExcluded)]
    assert [(e.model, e.seconds) for e in excluded] == [("gone", 600.0)]


async def test_a_rejected_key_opens_at_once_and_shows(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    await bench.fail(UpstreamFault(FaultKind.AUTH, status=401))
    snapshot = await bench.snapshot()
    assert (snapshot.state, snapshot.flag, snapshot.last_error) == (State.OPEN, Flag.AUTH, FaultKind.AUTH)


async def test_a_learned_parameter_comes_with_the_next_lease_of_that_model(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    first = await bench.provider.lease("m")
    assert isinstance(first, Lease)
    with first:
        first.learn(LESSON)
        first.learn(LESSON)
    second, other = await bench.provider.lease("m"), await bench.provider.lease("other")
    assert isinstance(second, Lease)
    assert isinstance(other, Lease)
    assert (second.learned, other.learned) == ((LESSON,), ())
    assert (await bench.provider.describe()).learned == {"m": (LESSON,)}
    assert [e for e in bench.journal if isinstance(e, ParameterLearned)] == [
        ParameterLearned(
            provider="alpha",
            model="m",
            lesson='temperature: "sampling": false',
            line='"options": {"sampling": false}',
            others=("other",),
        )
    ]


async def test_what_was_learned_outlives_a_crash_of_the_actor_and_is_told_once(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    lease = await bench.provider.lease("m")
    assert isinstance(lease, Lease)
    with lease:
        lease.learn(LESSON)
    await bench.provider.settled()
    Incarnation(bench.around, epoch=1)  # publishes what it begins with
    assert (bench.published[-1].epoch, bench.published[-1].learned) == (1, {"m": (LESSON,)})
    again = await bench.provider.lease("m")
    assert isinstance(again, Lease)
    assert again.learned == (LESSON,)
    with again:
        again.learn(LESSON)
    await bench.provider.settled()
    assert len([e for e in bench.journal if isinstance(e, ParameterLearned)]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        UpstreamFault(FaultKind.AUTH, status=401),
        UpstreamFault(FaultKind.QUOTA, status=402, retry_after=500.0),
        UpstreamFault(FaultKind.RATE_LIMITED, status=429, retry_after=500.0, whole_provider=True),
        UpstreamFault(FaultKind.MODEL_ACCESS, status=403),
    ],
    ids=lambda fault: str(fault.kind),
)
async def test_a_new_key_is_asked_at_once_whatever_was_held_against_the_old_one(
    bench: Bench, fault: UpstreamFault
) -> None:
    await bench.fail(fault)
    assert isinstance(await bench.provider.lease("m"), Refusal)
    bench.provider.reconfigure(replace(bench.around, era=1))
    known = await bench.snapshot()
    assert (known.state, known.flag, known.opens, known.failure_count) == (State.CLOSED, None, 0, 0)
    assert (known.cooling, known.excluded) == ({}, {})
    lease = await bench.provider.lease("m")
    assert isinstance(lease, Lease)
    with lease:
        pass


async def test_what_the_old_key_meets_from_now_on_is_not_held_against_the_new_one(bench: Bench) -> None:
    late = await bench.provider.lease("m")
    assert isinstance(late, Lease)
    bench.provider.reconfigure(replace(bench.around, era=1))
    refused = UpstreamFault(FaultKind.AUTH, status=401)
    with late:
        late.settle(judge(refused, shown=False), refused)
    await bench.fail(refused)  # a request of the old configuration, which tries the old key once more
    known = await bench.snapshot()
    assert (known.state, known.flag, known.in_flight) == (State.CLOSED, None, 0)
    rekeyed = await bench.provider.in_era(1).lease("m")
    assert isinstance(rekeyed, Lease)
    with rekeyed:
        rekeyed.settle(judge(refused, shown=False), refused)
    assert (await bench.snapshot()).flag is Flag.AUTH


async def test_other_settings_keep_the_breaker_and_count_from_now_on(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    await bench.fail(server_error())
    stricter = BreakerSettings(failure_threshold=3, recovery_timeout=7, recovery_jitter=0)
    bench.provider.reconfigure(replace(bench.around, breaker=stricter))
    await bench.fail(server_error())
    assert (await bench.snapshot()).state is State.CLOSED
    await bench.fail(server_error())
    known = await bench.snapshot()
    assert (known.state, known.reopens_at) == (State.OPEN, trio.current_time() + 7)
    bench.provider.reconfigure(replace(bench.around, breaker=BreakerSettings()))
    assert (await bench.snapshot()).reopens_at == known.reopens_at


async def test_a_plain_outage_is_not_forgiven_for_a_new_key(bench: Bench) -> None:
    await bench.fail(server_error())
    await bench.fail(server_error())
    bench.provider.reconfigure(replace(bench.around, era=1))
    assert (await bench.snapshot()).state is State.OPEN


@pytest.mark.parametrize(
    ("verdict", "failures"),
    [(ProbeVerdict.FAIL, 1), (ProbeVerdict.OK, 0), (ProbeVerdict.UNSUPPORTED, 0), (ProbeVerdict.LIMITED, 0)],
)
async def test_a_bad_probe_counts_one_failure_and_no_other_counts(
    bench: Bench, autojump_clock: trio.testing.MockClock, verdict: ProbeVerdict, failures: int
) -> None:
    kind = FaultKind.SERVER_ERROR if verdict is ProbeVerdict.FAIL else None
    bench.provider.probe_ended(ProbeResult(verdict=verdict, kind=kind, seconds=0.1))
    assert (await bench.snapshot()).last_error is kind
    assert (await bench.snapshot()).failure_count == failures


async def test_a_probe_never_closes_but_makes_the_trial_come_early(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    await bench.fail(server_error())
    await bench.fail(server_error())
    bench.provider.probe_ended(ProbeResult(verdict=ProbeVerdict.OK, seconds=0.1))
    assert (await bench.snapshot()).state is State.OPEN
    assert isinstance(await bench.provider.lease("m"), Lease)


async def test_a_probe_that_is_rate_limited_makes_the_provider_rest(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.provider.probe_ended(ProbeResult(verdict=ProbeVerdict.LIMITED, retry_after=20.0, seconds=0.1))
    refusal = await bench.provider.lease("any")
    assert isinstance(refusal, Refusal)
    assert refusal.ready_at == trio.current_time() + 20
    assert (await bench.snapshot()).failure_count == 0


async def test_every_change_is_published(bench: Bench, autojump_clock: trio.testing.MockClock) -> None:
    await bench.fail(server_error())
    await bench.snapshot()
    assert [snapshot.failure_count for snapshot in bench.published] == [0, 0, 1]


async def test_a_crash_forgets_state_but_no_lease_holder_notices(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The next incarnation starts closed with nothing in flight; a settlement of the old one is ignored."""
    bench = Bench()
    crash = _crashing_on(bench.provider.mailbox, "poison")

    async def incarnate(epoch: int) -> None:
        await bench.provider.mailbox.serve(crash(Incarnation(bench.around, epoch=epoch).handle))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: supervise(incarnate, name="alpha", policy=RestartPolicy(), report=lambda _: None)
        )
        held = await bench.provider.lease("m")
        assert isinstance(held, Lease)
        refused = await bench.provider.lease("poison")
        assert isinstance(refused, Refusal)
        with held:
            held.settle(judge(server_error(), shown=False), server_error())
        snapshot = await bench.snapshot()
        assert (snapshot.epoch, snapshot.in_flight, snapshot.failure_count) == (1, 0, 0)
        nursery.cancel_scope.cancel()


def _crashing_on(
    mailbox: Mailbox[Message], model: str
) -> Callable[[Callable[[Message], None]], Callable[[Message], None]]:
    def wrap(handle: Callable[[Message], None]) -> Callable[[Message], None]:
        def handling(message: Message) -> None:
            if getattr(message, "model", None) == model:
                raise RuntimeError("injected")
            handle(message)

        return handling

    return wrap
