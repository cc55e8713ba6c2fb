"""What moves with time alone: repairs, drains and pods that start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firewatch_env.engine.service import Service

ZONE_B = 0.4  # share of a service's pods, and of its requests, in the second zone
EASE = 4  # ticks until a repair has reached every pod
SHIFT = 2  # ticks until a drain has moved all that it moves
MOST_SIZE = 3.0  # pods or CPU that a service may be given, to the usual
STARTS = 8  # ticks until pods that were asked for are all there
LASTS = 20  # ticks after which drained traffic comes back by itself


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
    return ZONE_B * (1 - drained_at(service, tick))


def cut(service: Service, tick: int) -> float:
    """Share of the requests whose connections are cut because they move between zones."""
    if service.drain is None:
        return 0.0
    moved = drained_at(service, tick) - drained_at(service, tick - 1)
    return ZONE_B * (moved if moved > 0 else -moved)
