"""The failing providers fail as they say, and only requests that met them are samples."""

from collections.abc import Sequence
from functools import partial

import pytest
import trio

from benchmarks.asking import WORD, Client, Heard, Spoiled
from benchmarks.fallback import Bench
from benchmarks.fallback_cases import CASES, Case, Cast, Setup, open_cast
from benchmarks.scripted import Mood
from benchmarks.subjects import MESSAGES

RING = next(case for case in CASES if case.setup is Setup.ROUND_ROBIN and case.mood is Mood.BROKEN)


class Ring(Client):
    """A proxy whose first provider gets each third request."""

    def __init__(self, cast: Cast) -> None:
        super().__init__(0)
        self.asked = 0
        self._cast = cast

    async def hear(self, path: str, body: bytes, *, marks: Sequence[bytes]) -> Heard:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        self._cast.moody.met += self.asked % 3 == 0
        answer = WORD + b"steady"
        return Heard(status=200, answer=answer, began_at=0, seen_at={WORD: self.asked}, ended_at=self.asked)


def _run_of(case: Case, bench: Bench) -> "partial[object]":
    return next(run for run in bench.runs(0) if isinstance(run, partial) and run.args == (case,))


async def test_only_a_request_that_met_the_failing_provider_is_a_sample() -> None:
    async with open_cast() as cast:
        ring = Ring(cast)
        bench = Bench(cast, {Setup.ROUND_ROBIN: ring}, ring)
        first, end = await _run_of(RING, bench)()
    assert (first.seconds, end.seconds) == (3, 3)


async def test_a_ring_that_never_gets_to_the_failing_provider_spoils_the_measurement() -> None:
    async with open_cast() as cast, open_cast() as others:
        ring = Ring(others)
        with pytest.raises(Spoiled, match="got none"):
            await _run_of(RING, Bench(cast, {Setup.ROUND_ROBIN: ring}, ring))()


async def _hear_all(stream: trio.SocketStream, heard: bytearray) -> None:
    while data := await stream.receive_some():
        heard += data


@pytest.mark.process
@pytest.mark.parametrize(("mood", "said"), [(Mood.DYING_BEFORE, 0), (Mood.DYING_AFTER, 1)])
async def test_a_dying_provider_resets_its_connection_behind_what_it_said(mood: Mood, said: int) -> None:
    async with open_cast() as cast:
        cast.moody.mood = mood
        stream = await trio.open_tcp_stream("127.0.0.1", cast.moody.port)
        head = f"POST {MESSAGES} HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"
        await stream.send_all(head.encode())
        heard = bytearray()
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(5):
            await _hear_all(stream, heard)
        assert heard.startswith(b"HTTP/1.1 200")
        assert heard.count(WORD) == said
        assert cast.moody.died_at <= trio.current_time()
        await stream.aclose()
