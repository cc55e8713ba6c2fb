"""Stops a query that works too long, or lets the process grow too much."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_SECONDS = 5.0
"""Longest a query may work: processor time, so that a busy machine allows what an idle one does."""
MOST_GROWTH = 768 << 20
"""Bytes that the process may grow by during a query: medians escape DuckDB's own limit."""
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
_MEMORY = Path("/proc/self/statm")


@contextmanager
def stopped_in_time(cursor: DuckDBPyConnection) -> Iterator[list[str]]:
    """Interrupt whatever runs too long or takes too much; the list then says why."""
    over = threading.Event()
    why: list[str] = []
    worked = _clock_of_this_thread()
    begun, before = worked(), _memory()

    def watch() -> None:
        while not over.wait(0.02):
            if worked() - begun > MOST_SECONDS:
                why.append(f"took more than {MOST_SECONDS:g} seconds of work")
            elif _memory() - before > MOST_GROWTH:
                why.append("took too much memory")
            if why:
                cursor.interrupt()

    watcher = threading.Thread(target=watch, name="sql-watch", daemon=True)
    watcher.start()
    try:
        yield why
    finally:
        over.set()
        watcher.join()


def _clock_of_this_thread() -> Callable[[], float]:
    """What tells, from any thread, for how many seconds this one has worked."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.monotonic
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


def _memory() -> int:
    """Bytes of memory of this process; 0 where the system does not say."""
    try:
        return int(_MEMORY.read_text().split()[1]) * _PAGE
    except OSError:
        return 0
