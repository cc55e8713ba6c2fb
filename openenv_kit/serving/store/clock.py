"""The clock by which stored episodes expire.

It counts the seconds that pass, and no jump of the wall clock moves it: an episode lives as long
as it should although an operator, NTP or a resumed virtual machine sets the time. Processes of one
machine that use the same store agree on it, also those that start later. Only how long the machine
itself was off is taken from the wall clock, because nothing else knows it.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
"""On Linux, a name for the time since the machine was started."""


class ClockRecord(NamedTuple):
    """What a store keeps of its clock.

    Attributes:
        boot_id: the boot that `offset_s` belongs to; empty where the system does not name it.
        offset_s: what to add to the seconds since that boot.
        store_time_s: the store's time when this was written, in seconds.
        wall_time_s: the wall clock at that moment, in seconds.
    """

    boot_id: str
    offset_s: float
    store_time_s: float
    wall_time_s: float


@cache
def read_boot_id() -> str:
    """Return the name of the current boot; empty where the system has none."""
    try:
        return BOOT_ID_PATH.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def seconds_since_boot() -> float:
    """Return the seconds since the machine was started, those in which it slept included."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def compute_clock_offset_s(record: ClockRecord | None) -> float:
    """Return the offset with which a store's clock goes on from what it kept.

    Args:
        record: what the store kept; None for a new store, whose clock starts at the wall clock.
    """
    since_boot = seconds_since_boot()
    if record is None:
        return time.time() - since_boot
    if record.boot_id == read_boot_id() and since_boot + record.offset_s >= record.store_time_s:
        return record.offset_s
    away_s = max(0.0, time.time() - record.wall_time_s)
    return record.store_time_s + away_s - since_boot
