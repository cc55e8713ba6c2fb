"""Intervals and pass rates."""

from __future__ import annotations

import pytest

from openenv_kit.results.statistics import normal_mean_interval, pass_hat_k


def test_an_interval_is_the_normal_one_and_stays_within_the_scale() -> None:
    mean, low, high = normal_mean_interval([0.0, 1.0] * 50)
    assert mean == 0.5
    assert (round(low, 3), round(high, 3)) == (0.402, 0.598)
    assert normal_mean_interval([1.0] * 9) == (1.0, 1.0, 1.0)
    assert normal_mean_interval([0.4]) == (0.4, 0.4, 0.4)


def test_pass_hat_k_is_the_share_of_draws_of_k_that_are_all_perfect() -> None:
    assert pass_hat_k([True, True, False, False], 1) == 0.5
    assert pass_hat_k([True, True, False, False], 2) == pytest.approx(1 / 6)
    assert pass_hat_k([True] * 8, 8) == 1.0
    assert pass_hat_k([True] * 3, 4) is None
