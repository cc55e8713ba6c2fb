"""How long requests wait for a CPU, thread or connection, and which share of them fails."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import NamedTuple

# Below this share nothing waits. A calm service therefore has the same latency at every load.
CALM_UTILIZATION = 0.5
FULL_POOL_SHARE = 0.95


class Wait(NamedTuple):
    """Share of the requests that wait, and how long these wait on average in seconds."""

    share: float
    seconds: float


NO_WAIT = Wait(0.0, 0.0)


@lru_cache(maxsize=512)
def waiting_power(servers: float) -> int:
    """Return the exponent k = 1 + ⌊√(2c)⌋ of the share that waits for one of c servers."""
    return 1 + int(sqrt(2.0 * servers))


def integer_power(base: float, exponent: int) -> float:
    """Return base to an integer power by multiplication, with the same bits on every machine."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def wait_for_server(
    utilization: float, servers: float, service_seconds: float, max_wait_seconds: float
) -> Wait:
    """Return how requests wait for one of `servers`.

    The share that waits is ρᵏ, shifted so that it is 0 up to `CALM_UTILIZATION` and 1 at ρ = 1. The
    wait is S ÷ (c(1 − ρ)), at most `max_wait_seconds`. Both are continuous at ρ = 1.
    """
    if utilization <= CALM_UTILIZATION:
        return NO_WAIT
    if utilization >= 1.0:
        return Wait(1.0, max_wait_seconds)
    power = waiting_power(servers)
    floor = integer_power(CALM_UTILIZATION, power)
    share = (integer_power(utilization, power) - floor) / (1.0 - floor)
    seconds = service_seconds / (servers * (1.0 - utilization))
    return Wait(share, seconds if seconds < max_wait_seconds else max_wait_seconds)


def pool_failure_share(utilization: float) -> float:
    """Return the share that gets no thread or connection in time, at the offered utilization."""
    return 1.0 - FULL_POOL_SHARE / utilization if utilization > FULL_POOL_SHARE else 0.0
