"""What moves with time alone: shares of zones, settings that some use now and then, repairs.

The balancer gives zone b more requests and fewer, so what only zone b's pods have off matters
more and less. A repair reaches a service's pods within some ticks, and so does a drain.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firewatch_env.engine.randomness import BitStream
    from firewatch_env.engine.service import Service

ZONE_B = 0.4  # share of a service's pods, and on average of its requests, in the second zone
SWING = 0.35  # by how much that share, or the use of a setting, rises and falls
EASE = 4  # ticks until a repair has reached every pod
SHIFT = 2  # ticks until a drain has moved all that it moves
STARTS = 8  # ticks until pods that were asked for are all there
LASTS = 20  # ticks after which drained traffic comes back by itself

Wave = tuple[int, int]
"""Period in ticks, and phase."""

PERIODS = (10, 12, 14)
PHASES = 14
WAVES: tuple[Wave, ...] = tuple((period, phase) for period in PERIODS for phase in range(PHASES))
"""All that there are."""


def draw_wave(draws: BitStream) -> Wave:
    """One of them, all equally likely."""
    return PERIODS[draws.below(len(PERIODS))], draws.below(PHASES)


def swing(wave: Wave, tick: int) -> float:
    """Two triangles of unlike periods, together between −1 and 1."""
    period, phase = wave
    return 0.7 * _triangle(period, tick + phase) + 0.3 * _triangle(period - 3, tick + 2 * phase)


def _triangle(period: int, tick: int) -> float:
    at = 2 * (tick % period) / period
    return 2 * at - 1 if at < 1 else 3 - 2 * at


@cache
def factor(wave: Wave, tick: int) -> float:
    """What waxes and wanes, to its mean; there are few waves, and each tick asks for several."""
    return 1 + SWING * swing(wave, tick)


def drained_at(service: Service, tick: int) -> float:
    """Share of zone b's requests that go elsewhere."""
    if service.drain is None:
        return 0.0
    start, to, since, ends = service.drain
    if ends is not None and tick > ends:
        start, to, since = to, 0.0, ends
    passed = (tick - since) / SHIFT
    return start + (to - start) * (0.0 if passed < 0 else passed if passed < 1 else 1.0)


def sized_at(service: Service, tick: int) -> float:
    """Pods that the service runs, to the usual number."""
    if service.sizing is None:
        return service.size
    start, since = service.sizing
    passed = (tick - since) / STARTS
    return start + (service.size - start) * (passed if passed < 1 else 1.0)


def zone_share(service: Service, tick: int) -> float:
    """Share of the service's requests that zone b gets."""
    return ZONE_B * factor(service.wave, tick) * (1 - drained_at(service, tick))


def cut(service: Service, tick: int) -> float:
    """Share of the requests whose connections are cut because they move between zones."""
    if service.drain is None:
        return 0.0
    moved = drained_at(service, tick) - drained_at(service, tick - 1)
    return ZONE_B * (moved if moved > 0 else -moved)
