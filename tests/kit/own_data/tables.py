"""Tables for the tests of own data: one funnel, written in every shape."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.options import ImportOptions

START = date(2024, 1, 1)
STAGES = ("visits", "carts", "orders")


def funnel_counts(
    days: int = 98, *, hours: int = 1, visits: int = 40, seed: int = 1
) -> npt.NDArray[np.int64]:
    """Counts of three stages, shape (days, hours, stages); each is at least 1."""
    rng = np.random.default_rng(seed)
    first = rng.integers(visits, visits + 10, size=(days, hours))
    second = first - rng.integers(visits // 4, visits // 2, size=(days, hours))
    third = second - rng.integers(1, max(visits // 4, 2), size=(days, hours))
    return np.stack([first, second, third], axis=2).astype(np.int64)


def day_text(day: int) -> str:
    return (START + timedelta(days=day)).isoformat()


def wide_lines(counts: npt.NDArray[np.int64]) -> list[str]:
    """Header and rows of a wide table in CSV; with several hours, times have the form 13:00."""
    lines = [",".join(("date", *STAGES))]
    for day, hours in enumerate(counts):
        for hour, values in enumerate(hours):
            time = f" {hour:02d}:00" if len(hours) > 1 else ""
            lines.append(",".join([day_text(day) + time, *map(str, values)]))
    return lines


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def load(path: Path, **options: Any) -> CleanedTable:
    return load_table(ImportOptions(table=path, **options))
