"""How long something takes that is far quicker than a clock's tick is fine: batches, medians, and a line.

The garbage collector stays on: what it costs is part of what the code costs.
"""

import gc
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

BATCH_WITHIN = 0.002  # seconds; a batch is at least this long, so that reading the clock is nothing
ENOUGH = 0.4  # seconds after which no further batch is begun, once there are `AT_LEAST`
AT_LEAST = 5

Work = Callable[[], object]
AsyncWork = Callable[[], Awaitable[object]]


class Spread(Struct, frozen=True, kw_only=True):
    """Microseconds a call: the median of the batches, and where the middle half of them lies."""

    us: float
    low_us: float
    high_us: float
    batches: int
    calls_a_batch: int

    def over(self, parts: int) -> "Spread":
        """The same for each of the `parts` that one call deals with."""
        return Spread(
            us=self.us / parts,
            low_us=self.low_us / parts,
            high_us=self.high_us / parts,
            batches=self.batches,
            calls_a_batch=self.calls_a_batch,
        )


def timed(work: Work, *, batches: int) -> Spread:
    """How long `work` takes. It is called a few times before the clock counts."""
    calls = 1
    while (taken := _batch(work, calls)) < BATCH_WITHIN:
        calls = _more(calls, taken)
    gc.collect()
    found: list[float] = []
    while _wants_more(found, calls, batches):
        found.append(_batch(work, calls) / calls * 1e6)
    return spread(found, calls_a_batch=calls)


async def timed_async(work: AsyncWork, *, batches: int) -> Spread:
    """The same for something that is awaited."""
    calls = 1
    while (taken := await _async_batch(work, calls)) < BATCH_WITHIN:
        calls = _more(calls, taken)
    gc.collect()
    found: list[float] = []
    while _wants_more(found, calls, batches):
        found.append(await _async_batch(work, calls) / calls * 1e6)
    return spread(found, calls_a_batch=calls)


def spread(batches: Sequence[float], *, calls_a_batch: int) -> Spread:
    """Sum up what a call took in each batch, in microseconds."""
    low, middle, high = batches[0], batches[0], batches[0]
    if len(batches) > 1:
        low, middle, high = statistics.quantiles(batches, n=4, method="inclusive")
    return Spread(us=middle, low_us=low, high_us=high, batches=len(batches), calls_a_batch=calls_a_batch)


def _batch(work: Work, calls: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(calls):
        work()
    return (time.perf_counter_ns() - began) / 1e9


async def _async_batch(work: AsyncWork, calls: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(calls):
        await work()
    return (time.perf_counter_ns() - began) / 1e9


def _more(calls: int, taken: float) -> int:
    """How many calls to try next: not ten times as many at once, for the first calls may be slow ones."""
    wanted = calls * BATCH_WITHIN / taken if taken else math.inf
    return math.ceil(min(calls * 10, max(calls * 2, wanted)))


def _wants_more(found: Sequence[float], calls: int, batches: int) -> bool:
    if len(found) < min(batches, AT_LEAST):
        return True
    return len(found) < batches and sum(found) * calls / 1e6 < ENOUGH


class Line(Struct, frozen=True, kw_only=True):
    """`fixed + slope * size` in microseconds, and how straight it is.

    `bend`: what size costs between the two largest points, over what it costs between the two before; 1 is
    linear, and quadratic growth by tens shows as 10. None where the earlier difference is lost in the noise.
    """

    fixed_us: float
    slope_us: float
    bend: float | None


def line(points: Sequence[tuple[float, float]]) -> Line:
    """The line through three or more points of size and cost, with the least squares of relative errors."""
    weights = [1 / cost**2 for _, cost in points]
    total = sum(weights)
    mean_size = sum(w * size for w, (size, _) in zip(weights, points, strict=True)) / total
    mean_cost = sum(w * cost for w, (_, cost) in zip(weights, points, strict=True)) / total
    both = sum(
        w * (size - mean_size) * (cost - mean_cost) for w, (size, cost) in zip(weights, points, strict=True)
    )
    square = sum(w * (size - mean_size) ** 2 for w, (size, _) in zip(weights, points, strict=True))
    slope = both / square
    return Line(fixed_us=mean_cost - slope * mean_size, slope_us=slope, bend=_bend(points))


def _bend(points: Sequence[tuple[float, float]]) -> float | None:
    (small, cheap), (middle, dear), (large, dearest) = sorted(points)[-3:]
    before = (dear - cheap) / (middle - small)
    return (dearest - dear) / (large - middle) / before if before > 0 else None
