"""The flights example: its table, and twins within every tolerance."""

from __future__ import annotations

import csv
import shutil
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from metric_tracker_rl.engine.definitions.anomaly_types import RATE_SPIKE
from metric_tracker_rl.products.fit import fit_product
from metric_tracker_rl.products.room import list_possible_families, list_series_room
from metric_tracker_rl.products.thresholds import (
    compute_column_values,
    compute_deviations_from_weekday_medians,
)
from metric_tracker_rl.products.twin import generate_twin_days
from metric_tracker_rl.products.twin_check import compare_with_twin_tables
from openenv_kit.bitstream import BitStream
from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts
from support.paths import ROOT

UV = shutil.which("uv")
pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(UV is None, reason="uv is not installed"),
]
STAGES = ("scheduled", "departed", "arrived", "within_hour")
NEW_YEAR = date(2013, 1, 1)
HOLIDAYS = (
    *(NEW_YEAR, date(2013, 1, 21), date(2013, 2, 18), date(2013, 5, 27), date(2013, 7, 4)),
    *(date(2013, 9, 2), date(2013, 10, 14), date(2013, 11, 11), date(2013, 11, 28)),
    date(2013, 12, 25),
)


@pytest.fixture(scope="module")
def flights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flights") / "flights.csv"
    assert UV is not None
    command = [UV, "run", "--no-project", ROOT / "examples" / "flights" / "make_table.py", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def read_flights(path: Path, stages: tuple[str, ...]) -> StageCounts:
    counts = np.zeros((365, 24, len(stages)), dtype=np.int64)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            day = (date.fromisoformat(row["hour"][:10]) - NEW_YEAR).days
            counts[day, int(row["hour"][11:13])] = [int(row[stage]) for stage in stages]
    return StageCounts(
        stages=stages,
        grain=Grain.HOUR,
        start=NEW_YEAR,
        counts=counts,
        day_status=(DayStatus.COUNTED,) * 365,
        holidays=dict.fromkeys(HOLIDAYS, "holiday"),
    )


def test_flights_are_counted_by_hour(flights_file: Path) -> None:
    lines = flights_file.read_text().splitlines()
    assert lines[0] == "hour,scheduled,departed,arrived,within_hour"
    assert len(lines) == 1 + 365 * 24 - 1  # clocks skip an hour in March
    assert lines[6] == "2013-01-01 05:00,6,6,6,6"
    table = read_flights(flights_file, STAGES)
    totals = table.counts.sum(axis=(0, 1)).tolist()
    assert totals == [336_776, 328_521, 327_346, 299_557]
    assert (table.counts[..., 1:] <= table.counts[..., :-1]).all()


@pytest.mark.parametrize("stages", [STAGES, ("scheduled", "departed", "within_hour")])
def test_twins_of_flights_are_within_every_tolerance(
    flights_file: Path, stages: tuple[str, ...]
) -> None:
    table = read_flights(flights_file, stages)
    product = fit_product(table, "flights")
    misses = [
        each for each in compare_with_twin_tables(table, product) if not each.is_within_tolerance
    ]
    assert misses == []
    limits = np.array(list(product.thresholds_by_column.values()))
    days_over_threshold = 0
    for window in range(200):
        twin_days = generate_twin_days(BitStream("flights windows", window), product, 28, 0)
        values = compute_column_values(twin_days, product)
        deviations = np.abs(compute_deviations_from_weekday_medians(values, product))
        days_over_threshold += int((deviations >= limits).any(axis=1).sum())
    assert days_over_threshold <= 2


def test_flights_have_no_room_for_rises_of_rates_and_slow_leaks(flights_file: Path) -> None:
    product = fit_product(read_flights(flights_file, STAGES), "flights")
    assert product.thresholds_by_column["arrived_to_within_hour"] == 0.44
    assert RATE_SPIKE not in list_possible_families(product, 1.0)
    assert not any(room.has_room for room in list_series_room(product, 1.0) if room.is_leak)
