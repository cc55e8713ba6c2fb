"""Writes simulated tables as CSV files."""

from __future__ import annotations

import csv
from datetime import datetime, time, timedelta
from pathlib import Path

from openenv_kit.own_data.stage_counts import Grain, StageCounts


def write_table(table: StageCounts, path: Path) -> Path:
    """Write a table with one row an hour, or a day, and one column per stage."""
    is_hourly = table.grain == Grain.HOUR
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["date", *table.stages])
        for day, hours in enumerate(table.counts.tolist()):
            midnight = datetime.combine(table.get_date(day), time())
            for hour, counts in enumerate(hours):
                moment = midnight + timedelta(hours=hour)
                text = moment.strftime("%Y-%m-%d %H:%M" if is_hourly else "%Y-%m-%d")
                writer.writerow([text, *counts])
    return path
