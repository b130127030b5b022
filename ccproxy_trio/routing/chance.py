"""Chance without a random source: numbers that look random and follow from what they are made of.

Routing is pure, so whoever asks brings the seed; the same question always gets the same answer. The mixing
function is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15

T = TypeVar("T")


def _mix(state: int) -> int:
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
    return state ^ (state >> 31)


def _numbers(seed: int) -> Iterator[int]:
    """64-bit numbers without end."""
    state = seed & _MASK
    while True:
        state = (state + _GAMMA) & _MASK
        yield _mix(state)


def fraction(*facts: float) -> float:
    """A number in [0, 1) made of finite facts; a nanosecond's difference in one of them makes another."""
    state = 0
    for fact in facts:
        state = _mix((state + _GAMMA + int(fact * 1e9)) & _MASK)
    return float(_mix((state + _GAMMA) & _MASK) >> 11) / float(2**53)


def digest(text: str, *, size: int) -> bytes:
    """`size` bytes that stand for any text (BLAKE2b)."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def shuffled(items: Sequence[T], seed: int) -> list[T]:
    """The items in an order drawn by `seed`, all orders alike likely over the seeds (Fisher-Yates)."""
    order = list(items)
    numbers = _numbers(seed)
    for last in range(len(order) - 1, 0, -1):
        chosen = next(numbers) * (last + 1) >> 64
        order[last], order[chosen] = order[chosen], order[last]
    return order
