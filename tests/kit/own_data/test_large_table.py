"""A large event log is counted without holding it in memory."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from support.paths import ROOT

DAYS = 100
LARGE_BYTES = 200_000_000
MAX_GROWTH_BYTES = 160_000_000
"""Memory that the large table may take beyond the small one; its text alone has 200 MB."""
PROGRAM = """
import resource, sys
from pathlib import Path
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.options import ImportOptions
table = load_table(ImportOptions(table=Path(sys.argv[1]), keep_last=True))
print(table.stage_counts.counts.sum(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_events(path: Path, size_bytes: int) -> int:
    """Write an event log of about this size; return its number of events."""
    # The rows of one hour are written at once: 6 visits, 3 carts and 1 order, again and again.
    hours = DAYS * 24
    repeats = max(size_bytes // hours // 560, 1)
    start = datetime(2024, 1, 1)
    with path.open("w") as file:
        file.write("timestamp,event,user,page\n")
        for hour in range(hours):
            moment = start + timedelta(hours=hour)
            rows = "".join(
                f"{moment:%Y-%m-%dT%H}:{event * 6:02d}:17.{event:03d},"
                f"{'visit' if event < 6 else 'cart' if event < 9 else 'order'},"
                f"user_{hour}_{event},/catalogue/item\n"
                for event in range(10)
            )
            file.write(rows * repeats)
    return hours * 10 * repeats


def measure_memory(path: Path) -> tuple[int, int]:
    """Load a table in a process of its own; return its events and its largest memory in bytes."""
    completed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    events, memory_kib = completed.stdout.split()
    return int(events), int(memory_kib) * 1024


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource is a module of Unix")
def test_memory_of_a_large_event_log_is_bounded(tmp_path: Path) -> None:
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    small_events = write_events(small, 1)
    large_events = write_events(large, LARGE_BYTES)
    assert large.stat().st_size > 0.9 * LARGE_BYTES
    counted_small, small_bytes = measure_memory(small)
    counted_large, large_bytes = measure_memory(large)
    large.unlink()
    assert (counted_small, counted_large) == (small_events, large_events)
    assert large_bytes - small_bytes < MAX_GROWTH_BYTES
