"""A table is read in every shape and format, and all give the same counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import (
    SHAPES,
    STAGES,
    START,
    funnel_counts,
    load,
    long_lines,
    wide_lines,
    write_lines,
)
from openenv_kit.own_data.cleaned_table import TableRefused
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


@pytest.mark.parametrize("options", [{}, {"time_column": "hour"}])
@pytest.mark.parametrize("form", ["{}", "{:02d}:00", "{:02d}:00:00"])
def test_hours_in_a_column_of_their_own_are_read(
    form: str, options: dict[str, str], tmp_path: Path
) -> None:
    counts = funnel_counts(84, hours=24)
    rows = [line.replace(" ", ",", 1).split(",") for line in wide_lines(counts)[1:]]
    lines = [",".join([row[0], form.format(int(row[1][:2])), *row[2:]]) for row in rows]
    path = write_lines(tmp_path / "shop.csv", ["date,hour,visits,carts,orders", *lines])
    table = load(path, **options)
    assert np.array_equal(table.stage_counts.counts, counts)
    note = "The column hour was taken as the hour; --time-column changes this."
    assert (note in table.description.notes) == (not options)


def test_columns_that_the_user_names_are_used(tmp_path: Path) -> None:
    counts = funnel_counts()
    rows = [f"{line},{line[:10]},7" for line in long_lines(counts)[1:]]
    path = write_lines(tmp_path / "shop.csv", ["day,metric,value,changed,other", *rows])
    with pytest.raises(TableRefused, match=r"2 columns have dates; pass --date-column\."):
        load(path)
    table = load(path, date_column="day", metric_column="metric", value_column="value")
    assert np.array_equal(table.stage_counts.counts, counts)


def test_descriptions_name_the_shape(tmp_path: Path) -> None:
    shapes = {
        name: load(write_lines(tmp_path / f"{name}.csv", write(funnel_counts(84, visits=12))))
        for name, write in SHAPES.items()
    }
    assert {name: table.description.shape for name, table in shapes.items()} == {
        "wide": "wide, one row a day",
        "long": "long, one row for each stage and day",
        "pivoted": "pivoted, one column for each date",
        "events": "event log, counted by day",
        "cases": "one row per case, counted by day",
    }
