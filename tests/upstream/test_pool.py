"""The pool's decisions, in virtual time: who gets what, in which order, and that nothing is lost."""

import pytest
import trio
import trio.testing

from ccproxy_trio.upstream.transport.connecting import Origin
from ccproxy_trio.upstream.transport.pool import Connection, Pool
from tests.support.links import Script

HERE, THERE = Origin("http", "here", 80), Origin("http", "there", 80)


def taken(pool: Pool, origin: Origin = HERE) -> Connection:
    connection = pool.take(origin)
    assert connection is not None
    return connection


def connected(pool: Pool, origin: Origin = HERE) -> tuple[Connection, Script]:
    connection, peer = taken(pool, origin), Script([], stays=True)
    assert connection.link is None
    connection.link = peer.link()
    return connection, peer


async def test_the_connection_used_last_is_used_next() -> None:
    pool = Pool(places=3, keep_alive=30)
    first, second = connected(pool)[0], connected(pool)[0]
    pool.release(first)
    pool.release(second)
    assert [taken(pool), taken(pool)] == [second, first]
    assert taken(pool).link is None


async def test_a_connection_that_has_something_to_say_is_closed() -> None:
    pool = Pool(places=1, keep_alive=30)
    connection, peer = connected(pool)
    pool.release(connection)
    peer.has_unread = True
    assert taken(pool).link is None
    assert peer.is_closed


async def test_an_idle_connection_grows_too_old(autojump_clock: trio.testing.MockClock) -> None:
    pool = Pool(places=1, keep_alive=30)
    connection, peer = connected(pool)
    pool.release(connection)
    await trio.sleep(29.9)
    assert taken(pool) is connection
    pool.release(connection)
    await trio.sleep(30)
    assert taken(pool).link is None
    assert peer.is_closed


async def test_tidying_closes_what_is_too_old_although_nobody_asks(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    pool = Pool(places=2, keep_alive=30)
    nursery.start_soon(pool.tidy)
    await trio.sleep(100)
    (early, early_peer), (late, late_peer) = connected(pool), connected(pool)
    pool.release(early)
    await trio.sleep(20)
    pool.release(late)
    await trio.sleep(15)
    assert (early_peer.is_closed, late_peer.is_closed) == (True, False)
    await trio.sleep(20)
    assert late_peer.is_closed
    again, peer = connected(pool)
    pool.release(again)
    await trio.sleep(31)
    assert peer.is_closed
    nursery.cancel_scope.cancel()


async def test_tidying_at_the_very_instant_a_connection_grows_too_old_closes_it(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """At 2.3 s, 30 s later less 30 s is a little earlier: tidying must not go round and round there."""
    pool = Pool(places=1, keep_alive=30)
    nursery.start_soon(pool.tidy)
    await trio.sleep(2.3)
    connection, peer = connected(pool)
    pool.release(connection)
    await trio.sleep(30)
    for _ in range(10):
        await trio.lowlevel.checkpoint()
    assert peer.is_closed
    nursery.cancel_scope.cancel()


async def test_an_idle_connection_elsewhere_makes_room_the_oldest_first() -> None:
    pool = Pool(places=2, keep_alive=30)
    old, old_peer = connected(pool, THERE)
    young, young_peer = connected(pool, Origin("http", "third", 80))
    pool.release(old)
    await trio.lowlevel.checkpoint()
    pool.release(young)
    assert taken(pool, HERE).link is None
    assert (old_peer.is_closed, young_peer.is_closed) == (True, False)


async def test_whoever_waits_is_served_in_order_and_nobody_overtakes(nursery: trio.Nursery) -> None:
    pool, served = Pool(places=1, keep_alive=30), list[int]()
    connection, _ = connected(pool)

    async def ask(number: int) -> None:
        got = await pool.wait(HERE)
        assert got is connection
        served.append(number)
        await trio.lowlevel.checkpoint()
        pool.release(got)

    for number in range(5):
        nursery.start_soon(ask, number)
        await trio.testing.wait_all_tasks_blocked()
    pool.release(connection)
    assert pool.take(HERE) is None
    await trio.testing.wait_all_tasks_blocked()
    assert served == [0, 1, 2, 3, 4]


async def test_a_place_that_came_free_goes_to_the_first_who_waits() -> None:
    pool = Pool(places=1, keep_alive=30)
    connection, _ = connected(pool)
    got: list[Connection] = []

    async def ask() -> None:
        got.append(await pool.wait(HERE))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        connection.close()
        pool.release(connection)
    assert got[0].link is None


@pytest.mark.parametrize("repeat", range(50))
async def test_waiting_that_is_cancelled_loses_no_place(repeat: int) -> None:
    """Served and cancelled in the same instant, in either order; Trio shuffles who runs first."""
    pool = Pool(places=1, keep_alive=30)
    connection, _ = connected(pool)
    got: list[Connection] = []

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            got.append(await pool.wait(HERE))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(ask, scope)
        await trio.testing.wait_all_tasks_blocked()
        if repeat % 2:
            pool.release(connection)
            scope.cancel()
        else:
            scope.cancel()
            pool.release(connection)
    for each in got:
        pool.release(each)
    assert taken(pool) is connection
    assert pool.take(HERE) is None


async def test_who_leaves_the_queue_does_not_keep_others_from_being_served(nursery: trio.Nursery) -> None:
    pool = Pool(places=1, keep_alive=30)
    connection, _ = connected(pool)
    got: list[Connection] = []
    scope = trio.CancelScope()

    async def leave() -> None:
        with scope:
            await pool.wait(HERE)

    async def stay() -> None:
        got.append(await pool.wait(HERE))

    nursery.start_soon(leave)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(stay)
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    pool.release(connection)
    await trio.testing.wait_all_tasks_blocked()
    assert got == [connection]


async def test_closing_closes_what_is_in_use_and_turns_the_queue_away() -> None:
    pool = Pool(places=2, keep_alive=30)
    (one, peer), (other, other_peer) = connected(pool), connected(pool)

    async def ask() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            await pool.wait(HERE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        pool.close()
    assert peer.is_closed
    assert other_peer.is_closed
    pool.release(one)
    pool.release(other)
    with pytest.raises(RuntimeError, match="closed"):
        pool.take(HERE)


async def test_closing_closes_what_is_kept() -> None:
    pool = Pool(places=1, keep_alive=30)
    connection, peer = connected(pool)
    pool.release(connection)
    pool.close()
    assert peer.is_closed
