"""A table is read in every shape and format, and all give the same counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import SHAPES, STAGES, START, funnel_counts, load, wide_lines, write_lines
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


@pytest.mark.parametrize(
    ("shape", "hours"),
    [
        *((shape, 1) for shape in SHAPES),
        *((shape, 24) for shape in SHAPES if shape != "pivoted"),
        pytest.param("pivoted", 24, marks=pytest.mark.slow),  # It has 2,016 columns.
    ],
)
def test_table_in_each_shape_gives_the_same_counts(shape: str, hours: int, tmp_path: Path) -> None:
    counts = funnel_counts(84, hours=hours, visits=12 if hours == 1 else 4)
    lines = SHAPES[shape](counts)
    table = load(write_lines(tmp_path / "shop.csv", lines))
    assert table.stage_counts.stages == STAGES
    assert np.array_equal(table.stage_counts.counts, counts)
    assert set(table.stage_counts.day_status) == {DayStatus.COUNTED}
    assert table.actions == ()


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "pivoted"])
def test_shuffled_rows_give_the_same_table(shape: str, tmp_path: Path) -> None:
    counts = funnel_counts(84, hours=24, visits=4)
    header, *rows = SHAPES[shape](counts)
    np.random.default_rng(7).shuffle(rows)
    table = load(write_lines(tmp_path / "shop.csv", [header, *rows]))
    assert table.stage_counts.stages == STAGES
    assert np.array_equal(table.stage_counts.counts, counts)
    assert table.actions == ()
