"""How the proxy's cost grows with a request: with the length of its history, and the number of its tools.

Each size is asked of the proxy and of the upstream alone in turns, by one connection; the difference is what
the proxy adds. A line is laid through it, and its `bend` tells whether a line is what it is.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from benchmarks.figures import Rounds, over_rounds, short
from benchmarks.goals import Found
from benchmarks.load import LoadReport, load
from benchmarks.subjects import PROXY, Cast, Mode, in_turn, messages_ask, straight_ask
from benchmarks.timing import Line, line
from benchmarks.translate import HISTORY, OFFERED, sized_requests


class Size(Struct, frozen=True, kw_only=True):
    """One size over all rounds: milliseconds to the end, alone and proxied, and the proxy's CPU time.

    `size` is the sweep's own measure (kB of history, or tools), `kilobytes` that of the whole request.
    """

    size: int
    kilobytes: float
    requests: int
    alone_ms: Rounds
    proxy_ms: Rounds
    cpu_ms: Rounds

    @property
    def added_ms(self) -> float:
        """What the proxy adds to the median time."""
        return self.proxy_ms.median - self.alone_ms.median


class Sweep(Struct, frozen=True, kw_only=True):
    """One sweep. The lines' slopes are microseconds for each kB (milliseconds for each MB), or each tool."""

    name: str
    sizes: tuple[Size, ...]
    added: Line
    cpu: Line


class Asked(Struct, frozen=True, kw_only=True):
    """One size to ask for, and what came of it in each round."""

    sweep: str
    size: int
    body: bytes
    alone: list[LoadReport]
    proxy: list[LoadReport]


async def measure_sizes(cast: Cast, *, turns: int, seconds: float, largest_kb: int) -> tuple[Sweep, ...]:
    """Ask every size for `seconds` in each of `turns` rounds, and at least once.

    Raises:
        Spoiled: an answer was not what it should be.
    """
    all_asked = [
        Asked(sweep=name, size=each.size, body=each.body, alone=[], proxy=[])
        for name, sizes in sized_requests(largest_kb).items()
        for each in sizes
    ]
    for turn in range(turns):
        for asked in all_asked:
            await _ask_once(cast, asked, turn=turn, seconds=seconds)
    names = dict.fromkeys(asked.sweep for asked in all_asked)
    return tuple(_sweep(name, [each for each in all_asked if each.sweep == name]) for name in names)


def found(sweeps: Sequence[Sweep]) -> Mapping[str, Found]:
    """The goals' figures: how straight the proxy's CPU time grows with a request's size."""
    keys = {HISTORY: ("linear-history", "a kB"), OFFERED: ("linear-tools", "a tool")}
    return {keys[sweep.name][0]: _straight(sweep, each=keys[sweep.name][1]) for sweep in sweeps}


def _straight(sweep: Sweep, *, each: str) -> Found:
    return Found(ours=sweep.cpu.bend, remark=f"{sweep.cpu.slope_us:.3g} µs {each}")


def rows_of(sweep: Sweep) -> Iterator[tuple[str, ...]]:
    """Cells for a table: heads, a row for each size, and the lines."""
    yield (sweep.name, "alone ms", "proxy ms", "added ms", "CPU ms", "", "")
    for each in sweep.sizes:
        figures = (each.alone_ms.median, each.proxy_ms.median, each.added_ms, each.cpu_ms.median)
        yield (f"  {each.size:,}", *map(short, figures), "", "")
    unit = "ms for each MB" if sweep.name == HISTORY else "µs for each"
    yield (f"  {unit}", "", "", _slope(sweep.added), _slope(sweep.cpu), "", "")
    yield ("  bend", "", "", _bend(sweep.added), _bend(sweep.cpu), "", "")


async def _ask_once(cast: Cast, asked: Asked, *, turn: int, seconds: float) -> None:
    proxied = messages_ask(asked.body, Mode.STREAM, cast.proxy.shapes["big"])
    straight = straight_ask(asked.body, Mode.STREAM, cast.alone.shapes["big"])
    both = [(cast.alone, straight, asked.alone), (cast.proxy, proxied, asked.proxy)]
    for subject, ask, found in in_turn(both, turn):
        found.append(await load(subject.port, ask, seconds=seconds, cpu_of=cast.cpu_of))


def _sweep(name: str, all_asked: Sequence[Asked]) -> Sweep:
    sizes = tuple(_size(asked) for asked in all_asked)
    by = [each.kilobytes if name == HISTORY else each.size for each in sizes]
    return Sweep(
        name=name,
        sizes=sizes,
        # A disturbed measurement may find nothing added; a line of relative errors needs more than that.
        added=line([(x, max(each.added_ms, 0.001) * 1000) for x, each in zip(by, sizes, strict=True)]),
        cpu=line([(x, each.cpu_ms.median * 1000) for x, each in zip(by, sizes, strict=True)]),
    )


def _size(asked: Asked) -> Size:
    return Size(
        size=asked.size,
        kilobytes=len(asked.body) / 1000,
        requests=sum(report.requests for report in asked.proxy),
        alone_ms=over_rounds([statistics.median(report.to_end) * 1000 for report in asked.alone]),
        proxy_ms=over_rounds([statistics.median(report.to_end) * 1000 for report in asked.proxy]),
        cpu_ms=over_rounds([report.cpu_seconds[PROXY] / report.requests * 1000 for report in asked.proxy]),
    )


def _slope(found: Line) -> str:
    return short(found.slope_us)


def _bend(found: Line) -> str:
    return "" if found.bend is None else f"{found.bend:.2f}"
