"""Totals are divided into hours exactly and within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_tracker_rl.engine.definitions.funnel import HourRange
from metric_tracker_rl.products.spread import (
    apportion_totals,
    apportion_totals_within_bounds,
    draw_first_stage_hours,
    draw_later_stage_hours,
)
from openenv_kit.bitstream import BitStream

DAYTIME = HourRange(8, 20)
EVEN_WEIGHTS = (1.0 / 24,) * 24


def test_largest_remainders_get_the_missing_events() -> None:
    parts = apportion_totals(np.array([10]), np.array([[1.0, 2.0, 4.0]]))
    # Exact parts are 1.43, 2.86 and 5.71.
    assert parts.tolist() == [[1, 3, 6]]


def test_hour_without_weight_gets_nothing() -> None:
    assert apportion_totals(np.array([5]), np.array([[0.0, 1.0, 1.0]])).tolist() == [[0, 3, 2]]
    assert apportion_totals(np.array([0]), np.array([[0.0, 0.0, 0.0]])).tolist() == [[0, 0, 0]]


@given(
    st.integers(0, 10**12),
    st.lists(st.floats(0.0, 1e6, allow_subnormal=False), min_size=24, max_size=24).filter(any),
)
def test_parts_add_up_to_the_total(total: int, weights: list[float]) -> None:
    parts = apportion_totals(np.array([total]), np.array([weights]))
    assert parts.sum() == total
    assert (parts >= 0).all()


@given(st.data())
def test_parts_within_bounds_add_up_to_the_total(data: st.DataObject) -> None:
    lowest = data.draw(st.lists(st.integers(0, 50), min_size=24, max_size=24))
    widths = data.draw(st.lists(st.integers(0, 50), min_size=24, max_size=24))
    highest = [low + width for low, width in zip(lowest, widths, strict=True)]
    total = data.draw(st.integers(sum(lowest), sum(highest)))
    targets = data.draw(st.lists(st.floats(-10, 200), min_size=24, max_size=24))
    parts = apportion_totals_within_bounds(
        np.array([total]), np.array([targets]), np.array([lowest]), np.array([highest])
    )
    assert parts.sum() == total
    assert (parts >= lowest).all()
    assert (parts <= highest).all()


def test_parts_stay_at_targets_that_add_up() -> None:
    targets = np.array([[3.0, 5.0, 2.0]])
    bounds = np.array([[0, 0, 0]]), np.array([[9, 9, 9]])
    assert apportion_totals_within_bounds(np.array([10]), targets, *bounds).tolist() == [[3, 5, 2]]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 0), (0.7, 7000), (0.77777, 7778), (1.0, 10_000)]
)
def test_daytime_hours_add_up_to_the_share(share: float, expected: int) -> None:
    hours = draw_first_stage_hours(
        BitStream("hours"), np.array([10_000]), np.array([share]), EVEN_WEIGHTS, DAYTIME
    )
    assert hours.sum() == 10_000
    assert hours[0, 8:20].sum() == expected


def test_noise_of_an_hour_is_the_root_of_its_expected_count() -> None:
    days = 2000
    hours = draw_first_stage_hours(
        BitStream("hours"), np.full(days, 24_000), np.full(days, 0.5), EVEN_WEIGHTS, DAYTIME
    )
    assert hours.mean() == 1000
    # Because twelve hours share a fixed total, one of twelve degrees of freedom is missing.
    assert hours.std() == pytest.approx(np.sqrt(1000 * 11 / 12), rel=0.02)


def test_hours_without_weight_stay_empty_unless_the_share_needs_them() -> None:
    weights = (0.0,) * 8 + (1.0 / 12,) * 12 + (0.0,) * 4
    hours = draw_first_stage_hours(
        BitStream("hours"), np.array([500, 500]), np.array([1.0, 0.5]), weights, DAYTIME
    )
    assert hours[0, :8].sum() == 0
    assert hours[1, :8].sum() + hours[1, 20:].sum() == 250


def test_noise_that_would_empty_every_hour_loses_no_event() -> None:
    days = 3000
    totals = np.full(days, 5)
    hours = draw_first_stage_hours(
        BitStream("hours"), totals, np.ones(days), EVEN_WEIGHTS, HourRange(8, 10)
    )
    # On one day in 300, both hours would get less than nothing.
    assert hours.sum(axis=1).tolist() == totals.tolist()


def test_daytime_of_the_whole_day_takes_every_event() -> None:
    hours = draw_first_stage_hours(
        BitStream("hours"), np.array([500]), np.array([1.0]), EVEN_WEIGHTS, HourRange(0, 24)
    )
    assert hours.sum() == 500


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.5, 0.98, 1.0])
def test_later_stage_stays_within_the_previous_one(rate: float) -> None:
    previous = BitStream("previous").read_raw_words(24 * 50).reshape(50, 24).astype(np.int64) % 40
    previous = np.abs(previous)
    totals = np.rint(previous.sum(axis=1) * rate).astype(np.int64)
    hours = draw_later_stage_hours(BitStream("later"), totals, previous)
    assert (hours.sum(axis=1) == totals).all()
    assert (hours <= previous).all()
    assert (hours >= 0).all()


def test_step_rate_is_the_same_in_every_hour_on_average() -> None:
    previous = np.tile(np.arange(24) * 10, (3000, 1))
    totals = np.full(3000, round(previous[0].sum() * 0.3))
    hours = draw_later_stage_hours(BitStream("later"), totals, previous)
    assert hours.mean(axis=0)[6:] == pytest.approx(np.arange(24)[6:] * 3, rel=0.03)
