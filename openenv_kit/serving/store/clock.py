"""Clock that determines when stored episodes expire.

The clock counts elapsed seconds and is not affected by changes of the wall clock, so episodes
expire on time even if an operator, NTP or a resumed virtual machine sets the time. All processes on
one machine that use the same store read the same time, including processes that start later. Only
the time for which the machine was switched off is taken from the wall clock, because no other clock
runs then.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
"""File in which Linux provides an id of the current boot."""


class ClockRecord(NamedTuple):
    """State of the clock in a store.

    Attributes:
        boot_id: id of the boot that `offset_s` refers to; empty if the system provides none.
        offset_s: the store's time minus the seconds since that boot.
        store_time_s: the store's time when the record was written, in seconds.
        wall_time_s: Unix time when the record was written, in seconds.
    """

    boot_id: str
    offset_s: float
    store_time_s: float
    wall_time_s: float


@cache
def read_boot_id_or_empty() -> str:
    """Return the id of the current boot, or an empty string if the system provides none."""
    try:
        return BOOT_ID_PATH.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def get_seconds_since_boot() -> float:
    """Return the seconds since the machine was started, including the time it was suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def compute_clock_offset_s(record: ClockRecord | None) -> float:
    """Return the offset that is added to the seconds since boot to continue a store's clock.

    Args:
        record: stored state of the clock; None for a new store, whose clock starts at
            the current Unix time.
    """
    since_boot_s = get_seconds_since_boot()
    if record is None:
        return time.time() - since_boot_s
    if (
        record.boot_id == read_boot_id_or_empty()
        and since_boot_s + record.offset_s >= record.store_time_s
    ):
        return record.offset_s
    switched_off_s = max(0.0, time.time() - record.wall_time_s)
    return record.store_time_s + switched_off_s - since_boot_s
