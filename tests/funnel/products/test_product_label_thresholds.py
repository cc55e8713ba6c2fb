"""Thresholds, baselines, severities and stages of the independent labeller of products."""

from __future__ import annotations

import numpy as np
import pytest

from support.label_windows import (
    CHANGED,
    DATES,
    label_daily,
    make_daily_window,
    make_product,
    names_of,
)
from support.product_labels import label_window


@pytest.mark.parametrize(
    ("rate_threshold", "level_factor", "fallen_count", "entity_type"),
    [
        # max(0.35, 1.6 · 0.2 = 0.32): 650 of 1,000 is a break, 651 is not.
        (0.2, 1.0, 650, "funnel_step"),
        (0.2, 1.0, 651, "conversion_rate"),
        # 1.6 · 0.3 = 0.48.
        (0.3, 1.0, 520, "funnel_step"),
        (0.3, 1.0, 521, "conversion_rate"),
        # The level's factor applies first: 1.6 · (0.3 · 1.3 = 0.39) = 0.624.
        (0.3, 1.3, 376, "funnel_step"),
        (0.3, 1.3, 377, "conversion_rate"),
        # 1.6 · 0.6 = 0.96, limited to 0.85.
        (0.6, 1.0, 150, "funnel_step"),
        (0.6, 1.0, 151, "conversion_rate"),
    ],
)
def test_break_threshold_follows_the_rate_threshold(
    rate_threshold, level_factor, fallen_count, entity_type
):
    counts = make_daily_window(2000, 1000)
    counts[CHANGED, 0, 1] = fallen_count
    rate = {"name": "s0_to_s1", "threshold": rate_threshold}
    series = [{"name": "s0", "threshold": 0.2, "weekday": [1.0] * 7}, rate]
    [row] = label_daily(counts, level_factor, series=series)
    assert row["entity_type"] == entity_type


@pytest.mark.parametrize(
    ("excess", "severity"),
    [(9, "low"), (10, "medium"), (29, "medium"), (30, "high"), (59, "high"), (60, "critical")],
)
def test_impossible_counts_are_graded_by_the_volume_of_the_first_count(excess, severity):
    counts = make_daily_window(50_000, 40_000)
    counts[CHANGED, 0, 1] = 50_000 + excess
    # The unit is 50,000 / 10,000 = 5: medium from 10, high from 30, critical from 60.
    [row] = label_daily(counts)
    assert (row["observed_value"], row["severity"]) == (excess, severity)


@pytest.mark.parametrize(
    ("stage_count", "leak"),
    [
        (2, []),
        (3, ["s0_to_s2"]),
        (4, ["s0_to_s2"]),
        (5, ["s0_to_s3"]),
        (6, ["s0_to_s4"]),
        (7, ["s0_to_s5"]),
        (8, ["s0_to_s6"]),
    ],
)
def test_composites_end_at_the_last_stages(stage_count, leak):
    ordinary = [2 ** (stage_count - stage) * 1000 for stage in range(stage_count)]
    counts = make_daily_window(*ordinary)
    # Every step falls by 10 % of 15 %: two steps together by 19 %, past the 15 % of composites.
    fallen = [count * 0.9**stage for stage, count in enumerate(ordinary)]
    counts[CHANGED, 0] = np.ceil(fallen)
    assert names_of(label_daily(counts)) == leak


@pytest.mark.parametrize("stage_count", range(2, 9))
def test_each_step_of_any_number_of_stages_has_its_row(stage_count):
    ordinary = [2 ** (stage_count - stage) * 1000 for stage in range(stage_count)]
    for step in range(1, stage_count):
        counts = make_daily_window(*ordinary)
        counts[CHANGED, 0, step:] = counts[CHANGED, 0, step:] * 4 // 5
        assert names_of(label_daily(counts)) == [f"s{step - 1}_to_s{step}"]


@pytest.mark.parametrize(
    ("visits", "severity"),
    [
        (1200, "low"),
        (1249, "low"),
        (1250, "medium"),
        (1299, "medium"),
        (1300, "high"),
        (1399, "high"),
        (1400, "critical"),
    ],
)
def test_severity_is_a_multiple_of_the_series_threshold(visits, severity):
    # Of 1,000 visits with a threshold of 20 %: medium at +25 %, high at +30 %, critical at +40 %.
    counts = make_daily_window(1000, 500)
    counts[CHANGED, 0] = [visits, visits // 2]
    [row] = label_daily(counts)
    assert row["severity"] == severity


def test_severity_uses_the_threshold_after_the_level_factor():
    counts = make_daily_window(1000, 500)
    counts[CHANGED, 0] = [1300, 650]
    # 0.2 · 1.15 = 0.23: +30 % is 1.30 times the threshold, so medium instead of high.
    assert [row["severity"] for row in label_daily(counts, 1.15)] == ["medium"]


@pytest.mark.parametrize(
    ("level_factor", "visits", "is_reported"),
    [
        # 0.16 · 1.15 = 0.184 exactly.
        (1.15, 1184, True),
        (1.15, 1183, False),
        # 0.16 · 1.001 = 0.16016, rounded up to 0.161.
        (1.001, 1161, True),
        (1.001, 1160, False),
    ],
)
def test_threshold_of_a_level_is_rounded_up_to_a_thousandth(level_factor, visits, is_reported):
    counts = make_daily_window(1000, 500)
    counts[CHANGED, 0] = [visits, visits // 2]
    first = {"name": "s0", "threshold": 0.16, "weekday": [1.0] * 7}
    series = [first, {"name": "s0_to_s1", "threshold": 0.15}]
    assert bool(label_daily(counts, level_factor, series=series)) == is_reported


def test_baseline_is_the_median_of_the_same_weekday():
    counts = make_daily_window(1000, 500)
    counts[5::7] = [400, 200]  # Saturdays
    assert label_daily(counts) == []
    counts[12] = [520, 260]  # The second Saturday: +30 % of 400.
    [row] = label_daily(counts)
    assert (row["date"], row["baseline_value"]) == (DATES[12], 400)


def test_baseline_of_four_days_is_the_mean_of_the_middle_two():
    counts = make_daily_window(1000, 500)
    # Mondays: 1,000, 1,001, 1,020 and 1,300. Baseline 1,010.5; 1,300 is 28.6 % more.
    for week, visits in enumerate([1000, 1001, 1020, 1300]):
        counts[7 * week] = [visits, visits // 2]
    [row] = label_daily(counts)
    assert (row["baseline_value"], row["delta_value"]) == (1010.5, 289.5)


def test_closed_weekday_is_not_judged():
    counts = make_daily_window(1000, 500)
    counts[6::7] = 0  # Sundays
    counts[13] = [10, 20]
    first = {"name": "s0", "threshold": 0.2, "weekday": [1.0] * 6 + [0.0]}
    series = [first, {"name": "s0_to_s1", "threshold": 0.15}]
    assert label_daily(counts, series=series) == []
    assert names_of(label_daily(counts)) == ["s1_lte_s0"]


def test_baseline_of_zero_flags_nothing():
    counts = make_daily_window(1000, 500)
    counts[6::7] = 0
    counts[13] = [1000, 500]
    assert label_daily(counts) == []


def test_day_without_events_breaks_every_step():
    counts = make_daily_window(1000, 500, 250)
    counts[CHANGED] = 0
    # A denominator of 0 counts as 1, so every rate is 0 %.
    assert names_of(label_daily(counts)) == ["s1_from_s0", "s2_from_s1", "s0"]


@pytest.mark.parametrize(
    ("shape", "day_count"), [((28, 1, 3), 28), ((28, 24, 2), 28), ((27, 1, 2), 27), ((0, 1, 2), 0)]
)
def test_wrong_shape_is_refused(shape, day_count):
    product = make_product(("s0", "s1"), "day")
    with pytest.raises(ValueError, match=r"shape|whole weeks"):
        label_window(np.ones(shape, dtype=int), DATES[:day_count], product, 1.0)


def test_dates_with_a_gap_are_refused():
    dates = [*DATES[:27], "2030-03-01"]
    with pytest.raises(ValueError, match="consecutive"):
        label_window(make_daily_window(2, 1), dates, make_product(("s0", "s1"), "day"), 1.0)
