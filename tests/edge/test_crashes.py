"""Faults injected into each part: streams go on, the request at hand falls over, actors come back."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import trio
import trio.testing

from ccproxy_trio.health.probing import ProbeResult
from ccproxy_trio.journal import ActorCrashed, Note
from ccproxy_trio.translate import chat
from ccproxy_trio.translate.request import Target
from ccproxy_trio.translate.stream import Reader
from tests.edge.virtual import Client, FakeAnswer, FakeUpstream, House, hello, settings_for, virtual_house

Clock = trio.testing.MockClock


class BrokenProbe(FakeUpstream):
    """Its probe has a bug, `times` times."""

    def __init__(self, *scripts: Any, times: int) -> None:
        super().__init__(*scripts)
        self._left = times

    async def probe(self) -> ProbeResult:
        if self._left:
            self._left -= 1
            raise RuntimeError("injected")
        return await super().probe()


class BrokenOpening(FakeUpstream):
    """What opens its connections has a bug."""

    def open(self, *_: Any, **__: Any) -> Any:
        self.opened += 1
        raise RuntimeError("injected")


async def slow(answer: FakeAnswer) -> None:
    await answer.text("one ")
    await trio.sleep(110)
    await answer.text("two")
    await answer.finish()


async def streaming(house: House) -> Client:
    client = Client(house.connect())
    await client.post({"stream": True})
    assert await client.head() == 200
    return client


def crashes(house: House) -> list[ActorCrashed]:
    return [entry for entry in house.journal if isinstance(entry, ActorCrashed)]


async def test_f11_a_probe_that_crashes_is_restarted_with_growing_waits_and_touches_no_stream(
    autojump_clock: Clock,
) -> None:
    a = BrokenProbe(slow, times=4)
    async with virtual_house(settings_for("a", health_check_interval=30.0), a=a) as house:
        client = await streaming(house)
        await trio.sleep(100)
        waits = [crash.restart_in for crash in crashes(house)]
        assert waits[0] is not None
        assert waits == [waits[0] * 2**step for step in range(4)]
        assert a.probed_at
        assert b"two" in await client.body()
        assert client.kinds()[-1][1] == "message_stop"


async def test_f11_past_its_restarts_the_whole_house_ends(autojump_clock: Clock) -> None:
    settings = settings_for("a", health_check_interval=30.0)
    with pytest.raises(ExceptionGroup) as ended:
        async with virtual_house(settings, a=BrokenProbe(hello, times=99)) as house:
            await trio.sleep(3600)
    assert ended.group_contains(RuntimeError, match="injected")
    assert crashes(house)[-1].restart_in is None


@contextmanager
def broken_converter(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """From here on each answer of provider a meets a bug in what reads chunks."""

    class Broken(Reader):
        def feed(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("injected")

    def reader(*, target: Target, **others: Any) -> Reader:
        return (Broken if target.provider == "a" else Reader)(target=target, **others)

    with patch.context() as scope:
        scope.setattr(chat, "Reader", reader)
        yield


@pytest.mark.parametrize("part", ["opening", "converter"])
async def test_f11_a_bug_on_one_providers_path_falls_over_and_others_go_on(
    part: str, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = BrokenOpening() if part == "opening" else FakeUpstream(hello)
    b = FakeUpstream(slow, hello)
    async with virtual_house(settings_for("b", "a"), a=broken, b=b) as house:
        client = await streaming(house)
        await house.running.reload(settings_for("a", "b"))
        asking = Client(house.connect())
        await asking.post({})
        with broken_converter(monkeypatch) if part == "converter" else nullcontext():
            assert await asking.head() == 200
        assert (broken.opened, b.opened) == (1, 2)
        assert [bug.event for bug in house.journal if isinstance(bug, Note)] == ["internal.error"]
        assert b"two" in await client.body()
        assert client.kinds()[-1][1] == "message_stop"
        assert (await house.snapshot("a")).failure_count == 0
        assert (await house.snapshot("a")).in_flight == 0
    assert crashes(house) == []
