"""Tables for the tests of own data: one funnel, written in every shape."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.cleaned_table import CleanedTable, TableRefused
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


COUNTS = funnel_counts()
LINES = wide_lines(COUNTS)
HOURLY = funnel_counts(hours=24)


def with_line(number: int, text: str) -> list[str]:
    """Return the daily table with another text in a line, counted from 1."""
    return [*LINES[: number - 1], text, *LINES[number:]]


def replace_dates(date_format: str) -> list[str]:
    """Return the daily table with its dates in another format."""
    dates = [(START + timedelta(days=day)).strftime(date_format) for day in range(len(LINES) - 1)]
    rows = [line.partition(",")[2] for line in LINES[1:]]
    return [LINES[0], *(f'"{day}",{row}' for day, row in zip(dates, rows, strict=True))]


def without_days(*days: int) -> list[str]:
    """Return the daily table without some days, which are counted from 0."""
    return [line for line in LINES if line[:10] not in {day_text(day) for day in days}]


def hourly_lines_without(*times: str) -> list[str]:
    """Return the hourly table without some hours, such as `2024-01-01 03:00`."""
    return [line for line in wide_lines(HOURLY) if line[:16] not in times]


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def load(path: Path, **options: Any) -> CleanedTable:
    return load_table(ImportOptions(table=path, **options))


def long_lines(counts: npt.NDArray[np.int64]) -> list[str]:
    """Header and rows of a long table: one row for each time and stage."""
    lines = ["day,metric,value"]
    for line in wide_lines(counts)[1:]:
        time, *values = line.split(",")
        lines += [f"{time},{stage},{value}" for stage, value in zip(STAGES, values, strict=True)]
    return lines


def pivoted_lines(counts: npt.NDArray[np.int64]) -> list[str]:
    """Header and rows of a pivoted table: one row for each stage, one column for each date."""
    rows = [line.split(",") for line in wide_lines(counts)]
    return [
        ",".join(
            ["metric" if column == 0 else STAGES[column - 1], *(row[column] for row in rows[1:])]
        )
        for column in range(len(STAGES) + 1)
    ]


def _event_times(counts: npt.NDArray[np.int64], stage: int) -> list[str]:
    times = []
    for day, hours in enumerate(counts):
        for hour, values in enumerate(hours):
            time = f" {hour:02d}:" if len(hours) > 1 else ""
            for event in range(values[stage]):
                clock = f"{time}{event * 7 % 60:02d}:{event * 13 % 59 + 1:02d}" if time else ""
                times.append(day_text(day) + clock)
    return times


def event_lines(counts: npt.NDArray[np.int64]) -> list[str]:
    """Header and rows of an event log: one row for each event, each with an id."""
    lines = ["timestamp,event,insert_id"]
    for stage, name in enumerate(STAGES):
        lines += [
            f"{time},{name},{name[0]}{number}"
            for number, time in enumerate(_event_times(counts, stage))
        ]
    return lines


def case_lines(counts: npt.NDArray[np.int64]) -> list[str]:
    """Header and rows of a table of cases: one 0 or 1 for each stage."""
    lines = [",".join(("started", *STAGES))]
    for day, hours in enumerate(counts):
        for hour, values in enumerate(hours):
            for case in range(values[0]):
                clock = f" {hour:02d}:{case * 7 % 60:02d}:31" if len(hours) > 1 else ""
                flags = ",".join(str(int(case < value)) for value in values)
                lines.append(f"{day_text(day)}{clock},{flags}")
    return lines


SHAPES = {
    "wide": wide_lines,
    "long": long_lines,
    "pivoted": pivoted_lines,
    "events": event_lines,
    "cases": case_lines,
}
"""Writers of the same table in every shape."""


def refusal_message(path: Path, **options: Any) -> str:
    """The message with which a table is refused."""
    with pytest.raises(TableRefused) as refusal:
        load(path, **options)
    return str(refusal.value)
