"""Effects that set the totals of a day and spread them over its hours."""

from __future__ import annotations

import numpy as np
import pytest

from metric_tracker_rl.engine.definitions.funnel import HourRange
from metric_tracker_rl.engine.generation.total_effects import (
    AddDailyExcess,
    ScaleTotals,
    SetDaytimeShare,
    SetTotals,
)

DAYTIME = HourRange(8, 20)


def draw_hours(volume: float, seed: int = 0) -> np.ndarray:
    """Return possible counts of a day, shape (24, 3)."""
    rng = np.random.default_rng(seed)
    first = rng.poisson(volume / 24, 24)
    second = rng.binomial(first, 0.6)
    return np.stack([first, second, rng.binomial(second, 0.7)], axis=-1)


@pytest.mark.parametrize("volume", [12.0, 90.0, 5000.0])
@pytest.mark.parametrize("factor", [0.2, 0.77, 1.0, 1.9])
def test_totals_are_exact_and_every_hour_stays_possible(volume: float, factor: float) -> None:
    for seed in range(10):
        hours = draw_hours(volume, seed)
        totals = tuple(np.rint(hours.sum(axis=0) * factor).astype(int).tolist())
        changed = SetTotals(totals, DAYTIME).apply_to_copy(hours)
        assert tuple(changed.sum(axis=0)) == totals
        assert (np.diff(changed, axis=-1) <= 0).all()
        assert (changed >= 0).all()


def test_unchanged_totals_of_the_first_stage_keep_its_hours() -> None:
    hours = draw_hours(300.0)
    totals = tuple(hours.sum(axis=0).tolist())
    assert (SetTotals(totals, DAYTIME).apply_to_copy(hours)[:, 0] == hours[:, 0]).all()


@pytest.mark.parametrize("volume", [20.0, 400.0])
def test_changed_traffic_keeps_the_daytime_share_to_half_an_event(volume: float) -> None:
    hours = draw_hours(volume)
    share = hours[slice(*DAYTIME), 0].sum() / hours[:, 0].sum()
    changed = ScaleTotals((0.4, 0.4, 0.4), DAYTIME).apply_to_copy(hours)
    daytime, total = changed[slice(*DAYTIME), 0].sum(), changed[:, 0].sum()
    assert abs(daytime - share * total) <= 0.5


def test_scaled_totals_of_some_hours_leave_the_others() -> None:
    hours = draw_hours(4000.0)
    changed = ScaleTotals((0.1,) * 3, None, HourRange(17, 24)).apply_to_copy(hours)
    assert (changed[:17] == hours[:17]).all()
    assert changed[17:].sum() == pytest.approx(0.1 * hours[17:].sum(), abs=3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("volume", [30.0, 3000.0])
def test_shifted_daytime_share_keeps_totals(volume: float, share: float) -> None:
    hours = draw_hours(volume)
    changed = SetDaytimeShare(DAYTIME, share).apply_to_copy(hours)
    assert (changed.sum(axis=0) == hours.sum(axis=0)).all()
    assert changed[slice(*DAYTIME), 0].sum() == round(share * hours[:, 0].sum())
    assert (np.diff(changed, axis=-1) <= 0).all()


def test_daily_excess_shows_in_the_total_of_the_day() -> None:
    hours = draw_hours(200.0)
    changed = AddDailyExcess(2, 7).apply_to_copy(hours)
    totals = changed.sum(axis=0)
    assert totals[2] - totals[1] == 7
    assert (changed[:, :2] == hours[:, :2]).all()


def test_effects_do_not_change_their_argument() -> None:
    hours = draw_hours(200.0)
    before = hours.copy()
    totals = tuple((hours.sum(axis=0) // 2).tolist())
    for effect in (
        SetTotals(totals, DAYTIME),
        ScaleTotals((0.5, 0.5, 0.5), None),
        SetDaytimeShare(DAYTIME, 0.3),
        AddDailyExcess(1, 3),
    ):
        effect.apply_to_copy(hours)
        assert (hours == before).all()


def test_daily_counts_have_a_single_hour() -> None:
    day = np.array([[40, 20, 10]])
    assert SetTotals((30, 12, 5), None).apply_to_copy(day).tolist() == [[30, 12, 5]]
    assert ScaleTotals((0.5, 0.5, 0.5), None).apply_to_copy(day).tolist() == [[20, 10, 5]]
