"""A table is read in every shape and format, and all give the same counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kit.own_data.tables import STAGES, START, funnel_counts, load, wide_lines, write_lines
from openenv_kit.own_data.stage_counts import DayStatus, Grain


def test_wide_daily_csv_gives_its_counts_and_description(tmp_path: Path) -> None:
    counts = funnel_counts()
    table = load(write_lines(tmp_path / "shop.csv", wide_lines(counts)))
    stage_counts = table.stage_counts
    assert stage_counts.stages == STAGES
    assert (stage_counts.start, stage_counts.grain) == (START, Grain.DAY)
    assert np.array_equal(stage_counts.counts, counts)
    assert set(stage_counts.day_status) == {DayStatus.COUNTED}
    assert str(table.description) == "CSV, comma, UTF-8; wide, one row a day"
    assert (table.actions, table.warnings) == ((), ())


def test_wide_hourly_csv_gives_its_counts_by_hour(tmp_path: Path) -> None:
    counts = funnel_counts(hours=24)
    table = load(write_lines(tmp_path / "shop.csv", wide_lines(counts)), country="US")
    assert table.stage_counts.grain is Grain.HOUR
    assert np.array_equal(table.stage_counts.counts, counts)
    assert table.stage_counts.holidays[START] == "New Year's Day"
