"""What a meter shows of a figure: nearly the figure, and the same to whoever looks at that tick.

No meter is exact. How far one is off is hashed from the world, the tick, the service and the
meter, with integers alone, so that the bytes are the same on every machine.
"""

from __future__ import annotations

from functools import cache
from zlib import crc32

from firewatch_env.engine.service import Service

ERROR = 0.03
"""Greatest error of a meter, as a share of what it measures; all up to it are equally likely."""

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


def factor(bits: int) -> float:
    """What the meter multiplies its figure by, from the lowest sixteen bits."""
    return 1 + ERROR * (2 * (bits & _FULL) / _FULL - 1)


def factors(service: Service) -> tuple[float, float, float, float]:
    """Of a service's meters of failures, of latency, of CPU and of memory, at its present tick."""
    bits = noise(service.noise, service.clock)
    return (
        1 + ERROR * (2 * (bits & _FULL) / _FULL - 1),
        1 + ERROR * (2 * (bits >> _BITS & _FULL) / _FULL - 1),
        1 + ERROR * (2 * (bits >> 2 * _BITS & _FULL) / _FULL - 1),
        1 + ERROR * (2 * (bits >> 3 * _BITS & _FULL) / _FULL - 1),
    )


def measured(service: Service, meter: str, value: float, tick: int | None = None) -> float:
    """A figure of a service as a meter shows it.

    Args:
        service: whose figure it is.
        meter: its name; each has an error of its own.
        value: the figure; 0 is shown as 0.
        tick: of the measurement; by default the service's present tick.
    """
    when = service.clock if tick is None else tick
    return value * factor(noise(service.noise + _key(meter), when))


@cache
def _key(meter: str) -> int:
    return crc32(meter.encode()) << 20


def share(service: Service, meter: str, value: float, tick: int | None = None) -> float:
    """The same of a share, which is shown as 1 at most."""
    return one_at_most(measured(service, meter, value, tick))


def one_at_most(value: float) -> float:
    """What is shown of a share that a meter's error took above the whole."""
    return value if value < 1 else 1.0
