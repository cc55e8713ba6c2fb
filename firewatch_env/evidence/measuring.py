"""What a meter shows of a figure: nearly the figure, and the same to whoever looks at that tick.

No meter is exact. How far one is off is hashed from the world, the tick, the service and the
meter, with integers alone, so that the bytes are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from struct import Struct
from zlib import crc32

from firewatch_env.engine.service import Service

ERROR = 0.03
"""Greatest error of a meter, as a share of what it measures; all up to it are equally likely."""

Factors = tuple[float, float, float, float]
"""What a service's meters of failures, latency, CPU and memory multiply their figures by."""

_MASK = (1 << 64) - 1
_BITS = 16
_FULL = (1 << _BITS) - 1


def noise(key: int, tick: int) -> int:
    """64 bits that a key and a tick lead to."""
    mixed = (key + tick * 0xD1B54A32D192ED03) & _MASK
    mixed = ((mixed ^ (mixed >> 29)) * 0xA0761D6478BD642F) & _MASK
    mixed = ((mixed ^ (mixed >> 32)) * 0xA0761D6478BD642F) & _MASK
    mixed = ((mixed ^ (mixed >> 31)) * 0xA0761D6478BD642F) & _MASK
    return mixed ^ (mixed >> 33)


def factors(service: Service) -> Factors:
    """Of a service's meters of failures, of latency, of CPU and of memory, at its present tick."""
    return next(all_factors([service]))


def all_factors(services: Sequence[Service]) -> Iterator[Factors]:
    """The same of several services, whose bits are found together: each has a lane of one integer.

    A lane is twice as wide as a number, so that no product reaches the next one.
    """
    ones, lows, unpack = _lanes(len(services))
    keys = b"".join([service.noise.to_bytes(16, "little") for service in services])
    tick = services[0].clock * 0xD1B54A32D192ED03 & _MASK
    mixed = (int.from_bytes(keys, "little") + tick * ones) & lows
    mixed = ((mixed ^ (mixed >> 29 & lows)) * 0xA0761D6478BD642F) & lows
    mixed = ((mixed ^ (mixed >> 32 & lows)) * 0xA0761D6478BD642F) & lows
    mixed = ((mixed ^ (mixed >> 31 & lows)) * 0xA0761D6478BD642F) & lows
    mixed ^= mixed >> 33 & lows
    for a, b, c, d, _, _ in unpack(mixed.to_bytes(16 * len(services), "little")):
        yield (
            1 + ERROR * (2 * a / _FULL - 1),
            1 + ERROR * (2 * b / _FULL - 1),
            1 + ERROR * (2 * c / _FULL - 1),
            1 + ERROR * (2 * d / _FULL - 1),
        )


@cache
def _lanes(count: int) -> tuple[int, int, Callable[[bytes], Iterator[tuple[int, ...]]]]:
    """So many lanes with a 1 in each, the same with all the bits of a number, and their reader."""
    ones = sum(1 << 128 * lane for lane in range(count))
    return ones, ones * _MASK, Struct("<4HII").iter_unpack


def measured(service: Service, meter: str, value: float, tick: int | None = None) -> float:
    """A figure of a service as a meter shows it.

    Args:
        service: whose figure it is.
        meter: its name; each has an error of its own.
        value: the figure; 0 is shown as 0.
        tick: of the measurement; by default the service's present tick.
    """
    if not value:
        return 0.0
    when = service.clock if tick is None else tick
    bits = noise(service.noise + _key(meter), when) & _FULL
    return value * (1 + ERROR * (2 * bits / _FULL - 1))


def four_digits(value: float) -> float:
    """`round(value, 4)`, which takes four times as long, of what is not halfway."""
    if not value:
        return value  # a zero keeps its sign
    parts = value * 1e4
    whole = (parts + 0.5) // 1
    if 0 <= parts < 1e9 and -0.4999 < parts - whole < 0.4999:
        return whole / 1e4
    return round(value, 4)


@cache
def _key(meter: str) -> int:
    return crc32(meter.encode()) << 20


def share(service: Service, meter: str, value: float, tick: int | None = None) -> float:
    """The same of a share, which is shown as 1 at most."""
    return one_at_most(measured(service, meter, value, tick))


def one_at_most(value: float) -> float:
    """What is shown of a share that a meter's error took above the whole."""
    return value if value < 1 else 1.0
