"""Twins have the levels, the noise and the hours of their product, with the same bytes anywhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.products.product_file import Product, parse_product
from metric_tracker_rl.products.twin import (
    TwinDays,
    compute_levels,
    compute_residuals,
    generate_twin_counts,
    generate_twin_days,
    generate_twin_days_at,
    spread_totals_over_hours,
)
from openenv_kit.bitstream import BitStream
from openenv_kit.own_data.stage_counts import Grain
from support.products import build_product_mapping

GOLDEN = Path(__file__).parent / "golden_twins.json"
RESIDUAL = tuple(place / 10 - 0.6 for place in range(13))
STAGE_NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def build_correlated_product(grain: Grain = Grain.HOUR, stage_count: int = 4) -> Product:
    """Return a product in which every series depends on the others, with different lags."""
    mapping = build_product_mapping(stages=STAGE_NAMES[:stage_count], grain=grain)
    for place, series in enumerate(mapping["series"]):
        series["lag1"] = 0.1 * place
        series["levels"] = [
            level * factor
            for level, factor in zip(series["levels"], (0.9, 1.0, 1.2, 1.1), strict=True)
        ]
    rows = mapping["noise"]["factor"]
    for row in range(1, len(rows)):
        rows[row] = [0.6] + [0.0] * (row - 1) + [0.8]
    return parse_product(mapping)


def build_noiseless_mapping(grain: Grain = Grain.HOUR) -> dict[str, Any]:
    mapping = build_product_mapping(grain=grain)
    for series in mapping["series"]:
        series["residual"] = [0.0] * 13
    return mapping


@pytest.mark.parametrize(
    ("score", "expected"),
    [(-3.0, -0.6), (-4.0, -0.6), (3.0, 0.6), (9.0, 0.6), (0.0, 0.0), (0.25, 0.05), (-1.1, -0.22)],
)
def test_residuals_lie_on_lines_between_the_points(score: float, expected: float) -> None:
    assert compute_residuals(np.array([score]), RESIDUAL).item() == pytest.approx(expected)


def test_levels_lie_on_lines_between_centres_of_blocks() -> None:
    levels = compute_levels((100.0, 156.0, 100.0), 84, 0)
    assert levels[0] == levels[13] == 100.0  # before the first centre, at 13.5 days
    assert levels[14] == pytest.approx(101.0)
    assert levels[41] == pytest.approx(155.0)
    assert levels[42] == pytest.approx(155.0)
    assert levels[83] == 100.0
    assert compute_levels((100.0, 156.0, 100.0), 2, 41).tolist() == levels[41:43].tolist()


def test_twin_without_noise_has_levels_times_weekday_factors() -> None:
    product = parse_product(build_noiseless_mapping())
    twin = generate_twin_days_at(BitStream("twin"), product, 7, first_weekday=5, first_day=0)
    assert twin.counts[:, 0].tolist() == [4500, 5000, 5500, 5250, 5000, 5000, 4750]
    assert twin.counts[0].tolist() == [4500, 2700, 1620, 972]
    assert twin.daytime_shares is not None
    assert twin.daytime_shares.tolist() == [0.6] * 7


def test_rate_above_one_is_cut() -> None:
    mapping = build_noiseless_mapping()
    mapping["series"][1]["levels"] = [0.99] * 4
    mapping["series"][1]["residual"] = [0.2] * 13
    twin = generate_twin_days_at(BitStream("twin"), parse_product(mapping), 7, 0, 0)
    assert twin.counts[:, 1].tolist() == twin.counts[:, 0].tolist()


@pytest.mark.parametrize("grain", Grain)
def test_hours_add_up_to_the_days_of_the_same_stream(grain: Grain) -> None:
    product = build_correlated_product(grain)
    counts = generate_twin_counts(BitStream("twin"), product, 28, 3)
    days = generate_twin_days(BitStream("twin"), product, 28, 3)
    assert counts.shape == (28, 24 if grain == Grain.HOUR else 1, 4)
    assert counts.sum(axis=1).tolist() == days.counts.tolist()
    assert (counts[..., 1:] <= counts[..., :-1]).all()
    assert (counts >= 0).all()


def test_spreading_changed_totals_keeps_them() -> None:
    product = build_correlated_product()
    counts = np.array([[29, 12, 5, 0], [4, 4, 4, 4]])
    hours = spread_totals_over_hours(
        BitStream("spread"), product, TwinDays(counts, np.array([0.5, 0.9]))
    )
    assert hours.sum(axis=1).tolist() == counts.tolist()
    assert (hours[..., 1:] <= hours[..., :-1]).all()


def test_closed_weekday_has_no_events() -> None:
    mapping = build_product_mapping()
    for series in mapping["series"]:
        series["weekday"] = [1.0] * 6 + [0.0]
    counts = generate_twin_counts(BitStream("twin"), parse_product(mapping), 28, 0)
    assert counts[6::7].sum() == 0
    assert counts[0].sum() > 0


def test_episodes_draw_different_positions_in_the_history() -> None:
    mapping = build_noiseless_mapping(Grain.DAY)
    mapping["series"][0]["levels"] = [1000.0, 2000.0, 3000.0, 4000.0]
    mapping["series"][0]["weekday"] = [1.0] * 7
    product = parse_product(mapping)
    firsts = [
        int(generate_twin_counts(BitStream("position", number), product, 28, 0)[0, 0, 0])
        for number in range(400)
    ]
    # Of 112 days, 85 positions leave room for 28 days.
    assert min(firsts) == 1000
    last_level = 1000.0 + 1000.0 * (84 - 13.5) / 28
    assert max(firsts) == pytest.approx(last_level, abs=1.0)
    assert len(set(firsts)) > 50


def test_twins_have_the_mean_the_noise_and_the_dependence_of_the_product() -> None:
    product = build_correlated_product()
    twins = [
        generate_twin_days_at(BitStream("moments", number), product, 112, 0, 0)
        for number in range(150)
    ]
    expected = generate_twin_days_at(
        BitStream("none"), parse_product(without_noise(product)), 112, 0, 0
    )
    first = np.stack([twin.counts[:, 0] / expected.counts[:, 0] - 1.0 for twin in twins])
    rates = np.stack([twin.counts[:, 3] / twin.counts[:, 2] for twin in twins])
    assert expected.daytime_shares is not None
    assert first.mean() == pytest.approx(0.0, abs=0.002)
    scores = np.random.default_rng(1).standard_normal(100_000)
    residuals = compute_residuals(scores, product.count_series.residual)
    assert first.std() == pytest.approx(residuals.std(), rel=0.03)
    third = rates - rates.mean(axis=0)
    assert compute_correlation(third[:, :-1], third[:, 1:]) == pytest.approx(0.3, abs=0.03)
    # The innovations correlate by 0.6; different lags reduce it to 0.6 · √(1 − 0.3²).
    assert compute_correlation(first, third) == pytest.approx(0.57, abs=0.03)


def without_noise(product: Product) -> dict[str, Any]:
    mapping = product.to_mapping()
    for series in mapping["series"]:
        series["residual"] = [0.0] * 13
    return mapping


def compute_correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def describe_twin(product: Product, days: int) -> dict[str, Any]:
    """Return some numbers of a twin, and a digest of all of them."""
    counts = generate_twin_counts(BitStream("golden"), product, days, 2)
    return {
        "first_day": counts[0].sum(axis=0).tolist(),
        "last_day": counts[-1].sum(axis=0).tolist(),
        "noon": counts[0, counts.shape[1] // 2].tolist(),
        "sha256": hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest(),
    }


def build_golden_twins() -> dict[str, Any]:
    return {
        f"{stage_count} stages by {grain.value}, {days} days": describe_twin(
            build_correlated_product(grain, stage_count), days
        )
        for stage_count in (2, 4, 8)
        for grain in Grain
        for days in (28, 56)
    }


def test_twins_equal_the_golden_ones() -> None:
    # Written by: cd tests && uv run python -m funnel.products.test_twin
    assert build_golden_twins() == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(build_golden_twins(), indent=1) + "\n")
