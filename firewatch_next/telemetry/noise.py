"""Noise of readings that are not series of the history, such as samples of a profile.

A reading's noise depends on what is read and on its tick, never on the window that was asked for.
"""

from __future__ import annotations

from openenv_kit.bitstream import BitStream

_TICK_OFFSET = 100_000  # a stream's number cannot be negative


def draw_noise(key: str, tick: int) -> float:
    """Return the standard normal noise of one reading: the same for the same key and tick."""
    return float(BitStream(key, tick + _TICK_OFFSET).draw_normals(1)[0])


def add_noise(value: float, relative_deviation: float, key: str, tick: int) -> float:
    """Return a reading of an exact value that is not negative.

    Args:
        value: exact value.
        relative_deviation: standard deviation of the noise, as a share of the value.
        key: task, service and name of the reading, such as "task/ledger-db/slow_queries/q3".
        tick: of the reading.
    """
    return max(0.0, value * (1.0 + relative_deviation * draw_noise(key, tick)))
