"""Resident memory of a server over time, and whether it grows."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.full_server import iter_process_tree

MAX_GROWTH_PER_HOUR = 0.05
"""Largest growth within an hour, as a share of the mean, that counts as stable."""
MAX_STANDARD_ERRORS = 2.0
"""A trend within this many standard errors of zero counts as stable."""
MIN_SAMPLES = 3


class MemorySample(NamedTuple):
    """Resident memory of all processes of a server, at a time after the start of the load."""

    time_s: float
    resident_bytes: int


class MemoryTrend(NamedTuple):
    """Straight line through memory samples.

    Attributes:
        mean_bytes: mean resident memory.
        growth_per_hour: slope, as a share of the mean per hour.
        standard_error: standard error of `growth_per_hour`.
    """

    mean_bytes: float
    growth_per_hour: float
    standard_error: float

    @property
    def is_stable(self) -> bool:
        """Whether the growth is small, or not distinguishable from none."""
        return (
            self.growth_per_hour < MAX_GROWTH_PER_HOUR
            or self.growth_per_hour <= MAX_STANDARD_ERRORS * self.standard_error
        )


def read_resident_bytes(root_pid: int) -> int:
    """Return the resident memory of a process and of every process below it."""
    total = 0
    for pid in iter_process_tree(root_pid):
        try:
            pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        except OSError:  # the process has ended
            continue
        total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total


def fit_memory_trend(samples: Sequence[MemorySample]) -> MemoryTrend | None:
    """Fit a line to samples by least squares; return None for fewer than `MIN_SAMPLES`."""
    count = len(samples)
    if count < MIN_SAMPLES:
        return None
    mean_time = sum(sample.time_s for sample in samples) / count
    mean_bytes = sum(sample.resident_bytes for sample in samples) / count
    spread = sum((sample.time_s - mean_time) ** 2 for sample in samples)
    slope = (
        sum(
            (sample.time_s - mean_time) * (sample.resident_bytes - mean_bytes) for sample in samples
        )
        / spread
    )
    residuals = sum(
        (sample.resident_bytes - mean_bytes - slope * (sample.time_s - mean_time)) ** 2
        for sample in samples
    )
    standard_error = math.sqrt(residuals / (count - 2) / spread)
    per_hour = 3600 / mean_bytes
    return MemoryTrend(mean_bytes, slope * per_hour, standard_error * per_hour)
