"""The reply slot, the mailbox and supervision."""

import pytest
import trio
import trio.testing

from ccproxy_trio.actors.kit import (
    ActorDown,
    Crash,
    Mailbox,
    Question,
    ReplySlot,
    RestartPolicy,
    supervise,
)


class Ask(Question[int], frozen=True, kw_only=True):
    poison: bool = False


async def test_a_reply_given_before_it_is_waited_for_arrives() -> None:
    slot: ReplySlot[int] = ReplySlot()
    assert slot.fill(7)
    assert await slot.wait() == 7


async def test_a_reply_given_while_it_is_waited_for_arrives() -> None:
    slot: ReplySlot[int] = ReplySlot()
    got: list[int] = []

    async def asker() -> None:
        got.append(await slot.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(asker)
        await trio.testing.wait_all_tasks_blocked()
        assert slot.fill(7)
    assert got == [7]


async def test_an_abandoned_slot_hands_the_reply_back() -> None:
    slot: ReplySlot[int] = ReplySlot()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slot.wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not slot.fill(7)
    assert not slot.break_()


@pytest.mark.parametrize("seed", range(50))
async def test_a_reply_racing_with_cancellation_is_delivered_or_handed_back(seed: int) -> None:
    """Never both, never neither: that leaks a lease. Trio shuffles its run queue, so it is tried often."""
    for _ in range(4):
        slot: ReplySlot[int] = ReplySlot()
        kept: list[bool] = []
        got: list[int] = []

        async def asker(slot: ReplySlot[int] = slot, got: list[int] = got) -> None:
            got.append(await slot.wait())

        async def actor(slot: ReplySlot[int] = slot, kept: list[bool] = kept) -> None:
            await trio.lowlevel.checkpoint()
            kept.append(not slot.fill(seed))

        async def canceller(scope: trio.CancelScope) -> None:
            await trio.lowlevel.checkpoint()
            scope.cancel()

        async with trio.open_nursery() as outer:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as inner:
                    inner.start_soon(asker)
                    outer.start_soon(actor)
                    outer.start_soon(canceller, scope)
        assert (len(got) == 1) is not kept[0]


async def test_a_question_that_crashes_its_actor_is_answered_with_actor_down() -> None:
    mailbox: Mailbox[Ask] = Mailbox()

    def handle(message: Ask) -> None:
        raise RuntimeError("poison")

    question = Ask(slot=ReplySlot())
    mailbox.post(question)
    with pytest.raises(RuntimeError, match="poison"):
        await mailbox.serve(handle)
    with pytest.raises(ActorDown):
        await question.slot.wait()


async def test_a_mailbox_outlives_a_crash_and_its_messages_are_served_by_the_next_incarnation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    mailbox: Mailbox[Ask] = Mailbox()
    crashes: list[Crash] = []
    epochs: list[int] = []

    async def incarnate(epoch: int) -> None:
        epochs.append(epoch)

        def handle(message: Ask) -> None:
            if message.poison:
                raise RuntimeError("poison")
            message.slot.fill(epoch)

        await mailbox.serve(handle)

    poisoned, healthy = Ask(slot=ReplySlot(), poison=True), Ask(slot=ReplySlot())
    mailbox.post(poisoned)
    mailbox.post(healthy)
    assert mailbox.depth == 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: supervise(incarnate, name="test", policy=RestartPolicy(), report=crashes.append)
        )
        with pytest.raises(ActorDown):
            await poisoned.slot.wait()
        assert await healthy.slot.wait() == 1
        nursery.cancel_scope.cancel()
    assert epochs == [0, 1]
    assert [crash.restart_in for crash in crashes] == [0.05]


async def test_a_supervisor_waits_longer_each_time_and_gives_up_past_its_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    crashes: list[Crash] = []
    policy = RestartPolicy(first_wait=1.0, longest_wait=4.0, max_restarts=4, period=1000.0)

    async def incarnate(epoch: int) -> None:
        raise RuntimeError(f"again {epoch}")

    with pytest.raises(RuntimeError, match="again 4"):
        await supervise(incarnate, name="test", policy=policy, report=crashes.append)
    assert [crash.restart_in for crash in crashes] == [1.0, 2.0, 4.0, 4.0, None]


async def test_the_default_policy_gives_up_on_an_actor_that_crashes_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def incarnate(epoch: int) -> None:
        raise RuntimeError("hopeless")

    crashes: list[Crash] = []
    with pytest.raises(RuntimeError, match="hopeless"):
        await supervise(incarnate, name="test", policy=RestartPolicy(), report=crashes.append)
    assert len(crashes) == 11


async def test_crashes_older_than_the_period_are_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    crashes: list[Crash] = []
    policy = RestartPolicy(first_wait=1.0, longest_wait=4.0, max_restarts=1, period=10.0)
    lives = 0

    async def incarnate(epoch: int) -> None:
        nonlocal lives
        lives += 1
        await trio.sleep(20)
        if lives < 5:
            raise RuntimeError("old age")

    await supervise(incarnate, name="test", policy=policy, report=crashes.append)
    assert [crash.restart_in for crash in crashes] == [1.0] * 4


async def test_cancellation_is_no_crash() -> None:
    crashes: list[Crash] = []

    async def incarnate(epoch: int) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(0):
        await supervise(incarnate, name="test", policy=RestartPolicy(), report=crashes.append)
    assert crashes == []
