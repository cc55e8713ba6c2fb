"""The fit finds the parameters that a table was simulated with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from metric_tracker_rl.products.fit import fit_product, fit_table
from metric_tracker_rl.products.fit_dependence import (
    compute_correlation,
    compute_lag1_correlation,
    fit_dependence,
)
from metric_tracker_rl.products.fit_levels import find_unusual_days, fit_residual_points
from metric_tracker_rl.products.product_file import (
    Product,
    ProductRefused,
    format_product,
    parse_product_text,
)
from metric_tracker_rl.products.twin import compute_residuals
from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts
from support.stage_tables import MONDAY, WEEKDAY_FACTORS, Simulation, simulate_table


@pytest.fixture(scope="module")
def table() -> StageCounts:
    return simulate_table(Simulation(growth=0.3))


@pytest.fixture(scope="module")
def product(table: StageCounts) -> Product:
    return fit_product(table, "shop")


def set_counts(table: StageCounts, days: list[int], factor: float) -> StageCounts:
    """Return the table with all counts of some days multiplied."""
    counts = table.counts.copy()
    counts[days] = np.rint(counts[days] * factor).astype(np.int64)
    return replace(table, counts=counts)


def set_status(table: StageCounts, days: list[int], status: DayStatus) -> StageCounts:
    """Return the table with another status, and zeros, on some days."""
    counts = table.counts.copy()
    counts[days] = 0
    changed = [
        status if day in days else unchanged for day, unchanged in enumerate(table.day_status)
    ]
    return replace(table, counts=counts, day_status=tuple(changed))


def test_fit_recovers_levels_and_growth(product: Product) -> None:
    for block, level in enumerate(product.count_series.levels):
        expected = 50_000 * (1.0 + 0.3 * (28 * block + 13.5) / 363)
        assert level == pytest.approx(expected, rel=0.04)
    assert product.step_rate_series[0].median_level == pytest.approx(0.5, rel=0.01)
    assert product.step_rate_series[1].median_level == pytest.approx(0.6, rel=0.01)
    assert product.daytime_share_series is not None
    assert product.daytime_share_series.median_level == pytest.approx(0.7, abs=0.001)


def test_fit_recovers_weekday_factors(product: Product) -> None:
    assert product.count_series.weekday == pytest.approx(WEEKDAY_FACTORS, rel=0.02)
    assert product.step_rate_series[0].weekday == pytest.approx([1.0] * 7, rel=0.015)
    assert sum(product.count_series.weekday) == pytest.approx(7.0, abs=1e-4)


@pytest.mark.parametrize(("place", "noise"), [(0, 0.04), (1, 0.03), (2, 0.03)])
def test_fit_recovers_the_noise(product: Product, place: int, noise: float) -> None:
    residual = product.series[place].residual
    # The points at the scores −1 and 1 are one standard deviation from the middle.
    assert (residual[8] - residual[4]) / 2 == pytest.approx(noise, rel=0.15)
    assert residual[6] == pytest.approx(0.0, abs=0.006)


def test_fit_recovers_dependence() -> None:
    simulation = Simulation(days=1092, lag1=0.6, rate_correlation=0.7)
    product = fit_product(simulate_table(simulation), "shop")
    # Levels that follow the noise take some autocorrelation away.
    assert product.step_rate_series[0].lag1 == pytest.approx(0.55, abs=0.08)
    assert product.noise_factor[2][1] == pytest.approx(0.7, abs=0.06)
    assert product.noise_factor[1][0] == pytest.approx(0.0, abs=0.1)


def test_fit_recovers_hour_weights(product: Product) -> None:
    assert product.hour_weights[8:20] == pytest.approx([0.7 / 12] * 12, abs=1e-4)
    assert product.hour_weights[:8] == pytest.approx([0.3 / 12] * 8, abs=1e-4)


def test_same_table_gives_the_same_bytes(table: StageCounts, product: Product) -> None:
    again = fit_product(simulate_table(Simulation(growth=0.3)), "shop")
    assert format_product(again) == format_product(product)
    assert parse_product_text(format_product(product)) == product


def test_other_table_gives_another_digest(product: Product) -> None:
    other = fit_product(simulate_table(Simulation(growth=0.3, seed=2)), "shop")
    assert other.digest != product.digest


def test_unusual_days_are_set_aside_and_leave_the_noise_unchanged(
    table: StageCounts, product: Product
) -> None:
    storms = {40, 100, 101, 200, 300}
    stormy = set_counts(table, sorted(storms), 0.4)
    assert set(fit_table(stormy).masks.is_unusual.nonzero()[0].tolist()) >= storms
    fitted = fit_product(stormy, "shop")
    assert fitted.set_aside.unusual == product.set_aside.unusual + len(storms)
    assert fitted.count_series.residual == pytest.approx(product.count_series.residual, abs=0.01)


def test_days_beyond_four_scales_are_unusual() -> None:
    residuals = np.tile([0.1, -0.1], 50)[:, np.newaxis]
    scale = 1.4826 * 0.1
    residuals[10], residuals[20], residuals[30] = 4.01 * scale, -4.01 * scale, 3.99 * scale
    assert find_unusual_days(residuals).nonzero()[0].tolist() == [10, 20]


def test_scale_of_a_series_with_many_large_residuals_is_a_third_of_their_quantile() -> None:
    residuals = np.tile([0.01, -0.01], 50)[:, np.newaxis]
    residuals[:12] = 0.6
    residuals[50], residuals[60] = 0.79, 0.81  # around 4 · 0.6 / 3
    assert find_unusual_days(residuals).nonzero()[0].tolist() == [60]


def test_only_the_worst_five_percent_of_the_days_are_unusual() -> None:
    residuals = np.tile([0.1, -0.1], 50)[:, np.newaxis]
    far = [3, 14, 15, 92, 65, 35, 89]
    for place, day in enumerate(far):
        residuals[day] = 2.0 + place
    assert find_unusual_days(residuals).nonzero()[0].tolist() == sorted(far[-5:])


def test_day_is_unusual_if_one_series_is() -> None:
    residuals = np.tile([[0.1, 0.2], [-0.1, -0.2]], (50, 1))
    residuals[7, 1] = 5.0
    residuals[8, 0] = np.nan
    assert find_unusual_days(residuals).nonzero()[0].tolist() == [7]


def test_holidays_and_days_without_data_are_set_aside(table: StageCounts) -> None:
    holiday = 57
    changed = set_counts(table, [holiday], 0.1)
    changed = replace(changed, holidays={MONDAY + timedelta(days=holiday): "Founders' Day"})
    changed = set_status(changed, [10], DayStatus.MISSING)
    changed = set_status(changed, [20, 21], DayStatus.OUTAGE)
    masks = fit_table(changed).masks
    assert (~masks.is_usable).nonzero()[0].tolist() == [10, 20, 21, holiday]
    set_aside = fit_product(changed, "shop").set_aside
    assert (set_aside.holidays, set_aside.unusual, set_aside.missing) == (1, 0, 3)


def test_block_with_few_days_takes_the_level_of_its_neighbours(table: StageCounts) -> None:
    block = list(range(2 * 28, 3 * 28))
    emptied = set_status(table, block[:20], DayStatus.MISSING)
    levels = fit_product(set_counts(emptied, block[20:], 0.9), "shop").count_series.levels
    assert levels[2] == pytest.approx((levels[1] + levels[3]) / 2, rel=1e-5)
    assert levels[1] < levels[2] < levels[3]


def test_closed_weekday_has_a_factor_of_zero_in_every_series() -> None:
    factors = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)
    product = fit_product(simulate_table(Simulation(weekday_factors=factors)), "shop")
    assert product.closed_weekdays == (6,)
    assert [series.weekday[6] for series in product.series] == [0.0] * 4
    assert product.set_aside.missing == 0


@pytest.mark.parametrize("stage_count", [2, 8])
def test_daily_table_gives_a_daily_product(stage_count: int) -> None:
    stages = tuple(f"stage_{number}" for number in range(stage_count))
    simulation = Simulation(stages=stages, grain=Grain.DAY, rates=(0.8,) * (stage_count - 1))
    product = fit_product(simulate_table(simulation), "shop")
    assert not product.is_hourly
    assert len(product.series) == stage_count
    assert product.impossible_counts == Grain.DAY


def test_impossible_hours_make_the_product_compare_days(table: StageCounts) -> None:
    assert fit_product(table, "shop").impossible_counts == Grain.HOUR
    changed = replace(table, has_impossible_hours=True)
    assert fit_product(changed, "shop").impossible_counts == Grain.DAY


def test_stage_that_is_rarely_reached_is_fitted_by_its_mean() -> None:
    simulation = Simulation(stages=("a", "b", "c"), grain=Grain.DAY, rates=(0.5, 0.0))
    table = simulate_table(simulation)
    table.counts[::5, 0, 2] = 3
    series = fit_product(table, "shop").step_rate_series[1]
    mean = float((table.counts[:, 0, 2] / table.counts[:, 0, 1]).mean())
    assert series.median_level == pytest.approx(mean, rel=0.3)


def test_stage_that_is_never_reached_is_fitted() -> None:
    simulation = Simulation(stages=("a", "b", "c"), grain=Grain.DAY, rates=(0.5, 0.0))
    product = fit_product(simulate_table(simulation), "shop")
    assert product.step_rate_series[1].residual == (-1.0,) * 13


def test_shortest_table_is_fitted() -> None:
    product = fit_product(simulate_table(Simulation(days=84)), "shop")
    assert len(product.count_series.levels) == 3


def test_table_with_few_ordinary_days_is_refused(table: StageCounts) -> None:
    emptied = set_status(table, list(range(50, 364)), DayStatus.MISSING)
    with pytest.raises(ProductRefused, match=r"has \d\d ordinary days; at least 56 are required"):
        fit_product(emptied, "shop")
    emptied = set_status(table, list(range(364)), DayStatus.MISSING)
    with pytest.raises(ProductRefused, match="no complete day"):
        fit_product(emptied, "shop")


def test_name_that_is_no_slug_is_refused(table: StageCounts) -> None:
    with pytest.raises(ProductRefused, match="name is 'My shop'"):
        fit_product(table, "My shop")


def test_outermost_residuals_are_means_of_three_days() -> None:
    middle = np.linspace(-0.05, 0.05, 54)
    ordinary = np.concatenate([[-0.9, -0.06, -0.06], middle, [0.06, 0.06, 0.9]])
    points = fit_residual_points(ordinary)
    # The quantiles at the scores ±2.5 lie further out, so they are moved to the outermost points.
    assert points[0] == points[1]
    assert points[-1] == points[-2]
    # The ratio of two points is not changed by the scale that matches the standard deviation.
    assert points[-1] / points[8] == pytest.approx(0.34 / np.quantile(ordinary, 0.841345), rel=1e-3)


def test_outermost_residual_of_a_long_table_is_the_mean_as_well() -> None:
    ordinary = np.concatenate([np.linspace(-0.1, 0.1, 1000), [0.1, 0.1, 0.7]])
    points = fit_residual_points(ordinary)
    # The quantile at the score 3 is about 0.1, and the mean of the three largest days is 0.3.
    assert points[-1] / points[-2] == pytest.approx(3.0, rel=0.05)


def test_residuals_of_twins_have_mean_and_deviation_of_the_table() -> None:
    skewed = np.random.default_rng(1).exponential(0.1, 400) - 0.08
    points = fit_residual_points(skewed)
    drawn = compute_residuals(
        np.random.default_rng(2).standard_normal(200_000), tuple(points.tolist())
    )
    assert drawn.mean() == pytest.approx(skewed.mean(), abs=0.001)
    assert drawn.std() == pytest.approx(skewed.std(), rel=0.01)


def test_correlation_over_pairs_ignores_gaps() -> None:
    values = np.array([1.0, -1.0] * 10)
    assert compute_lag1_correlation(values) == pytest.approx(-1.0)
    values[[4, 9]] = np.nan
    # Pairs next to a gap are left out; the remaining ones alternate.
    assert compute_lag1_correlation(values) == pytest.approx(-1.0, abs=0.02)
    assert compute_lag1_correlation(np.ones(20)) == 0.0
    assert compute_lag1_correlation(values[:8]) == 0.0


def test_correlation_of_two_series_uses_common_days() -> None:
    first = np.arange(20.0)
    second = -first
    second[3] = np.nan
    assert compute_correlation(first, second) == pytest.approx(-1.0)
    assert compute_correlation(first, np.ones(20)) == 0.0


def test_innovations_of_series_with_different_lags_are_correlated_more() -> None:
    random = np.random.default_rng(5)
    lags = np.array([0.1, 0.8])
    innovations = random.standard_normal((20_000, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    latents = innovations.copy()
    for day in range(1, len(latents)):
        latents[day] = lags * latents[day - 1] + np.sqrt(1.0 - lags**2) * innovations[day]
    points = [np.linspace(-0.3, 0.3, 13)] * 2
    dependence = fit_dependence(0.1 * latents, points)
    assert dependence.lag1 == pytest.approx(lags, abs=0.03)
    assert dependence.noise_factor[1, 0] == pytest.approx(0.6, abs=0.03)


def test_skewed_residuals_need_latents_that_depend_more() -> None:
    random = np.random.default_rng(5)
    latents = random.standard_normal(20_000)
    for day in range(1, len(latents)):
        latents[day] = 0.8 * latents[day - 1] + 0.6 * latents[day]
    points = np.array([2.0**place for place in range(13)])
    residuals = compute_residuals(latents, tuple(points.tolist()))
    assert compute_lag1_correlation(residuals) < 0.7
    dependence = fit_dependence(residuals[:, np.newaxis], [points])
    assert dependence.lag1[0] == pytest.approx(0.8, abs=0.03)


def test_correlations_that_contradict_each_other_are_repaired() -> None:
    random = np.random.default_rng(5)
    common = random.standard_normal(300)
    residuals = np.full((900, 3), np.nan)
    residuals[:300, 0] = residuals[:300, 1] = common
    residuals[300:600, 1] = residuals[300:600, 2] = common
    residuals[600:, 0], residuals[600:, 2] = common, -common
    dependence = fit_dependence(residuals, [np.linspace(-3.0, 3.0, 13)] * 3)
    assert (dependence.noise_factor**2).sum(axis=1) == pytest.approx([1.0] * 3)
    assert dependence.noise_factor[1, 0] > 0.3
