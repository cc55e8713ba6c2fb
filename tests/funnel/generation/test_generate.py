"""Guarantees of the generator: roots, margins, causes and determinism."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.engine.configuration.episode_config import (
    SCENARIO_FAMILIES,
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import (
    ANOMALY_TYPES,
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    MIXED,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.engine.definitions.entity_types import ENTITY_TYPES
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.severity import is_row_clear_of_severity_bounds
from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.generation.generate import (
    GeneratedEpisode,
    apply_planned_anomalies,
    count_unexplained_deviations_near_threshold,
    generate_episode,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow, compute_expected_rows
from support.funnel_episodes import sample


def roots(rows: tuple[ReportRow, ...]) -> set[tuple[str, str, str, str]]:
    return {(row.date, row.entity_type, row.entity_name, row.anomaly_type) for row in rows}


def planned(draw: GeneratedEpisode) -> set[tuple[str, str, str, str]]:
    return {(draw.dates[cause.day], *cause.root) for cause in draw.planned_anomalies}


def relabelled(
    draw: GeneratedEpisode, config: EpisodeConfig, kept: list[Any]
) -> tuple[ReportRow, ...]:
    """The policy's answer on the same clean data with only some of the causes."""
    hourly = apply_planned_anomalies(draw.clean, kept)
    return compute_expected_rows(
        DailySeries(
            hourly,
            config.funnel_with_policy_daytime,
            config.level_with_policy_parameters,
            draw.series.explained,
        ),
        draw.dates,
    )


@pytest.mark.slow
def test_the_rules_answer_is_exactly_the_planned_roots() -> None:
    assert [config for config, draw in sample() if roots(draw.labels) != planned(draw)] == []


@pytest.mark.slow
def test_every_episode_has_as_many_rows_as_anomalies_were_asked_for() -> None:
    assert [c for c, draw in sample() if len(draw.labels) != c.anomaly_count] == []


def test_an_episode_of_a_family_holds_that_family_alone() -> None:
    for config, draw in sample():
        if config.scenario_family != MIXED:
            assert {row.anomaly_type for row in draw.labels} <= {config.scenario_family}


def test_an_episode_without_anomalies_has_an_empty_report_and_clean_data() -> None:
    quiet = [draw for config, draw in sample() if config.anomaly_count == 0]
    assert len(quiet) == 2 * len(SCENARIO_FAMILIES) * len(LEVELS)
    assert all(draw.labels == () and draw.planned_anomalies == () for draw in quiet)
    assert all((draw.hourly == draw.clean).all() for draw in quiet)


def test_no_deviation_lies_within_ten_percent_of_its_threshold() -> None:
    assert GUARD_BAND == 0.10
    for _, draw in sample():
        ratios = np.abs(draw.series.unexplained_deviations) / draw.series.thresholds
        assert not ((ratios > 0.9) & (ratios < 1.1)).any()
        steps = draw.series.unexplained_deviations[:, 5:9]
        breaks = -steps / draw.series.level.break_threshold
        assert not ((breaks > 0.9) & (breaks < 1.1)).any()
        assert count_unexplained_deviations_near_threshold(draw.series) == 0


def test_no_expected_row_lies_within_one_percent_of_a_severity_bound() -> None:
    rows = [row for _, draw in sample() for row in draw.labels]
    assert {row.entity_type for row in rows} == set(ENTITY_TYPES)
    for row in rows:
        size = abs(row.delta_value)
        if row.entity_type in ("event_count", "conversion_rate", "funnel_step"):
            size /= row.baseline_value
        for bound in LEVELS["easy"].severity_bounds_by_entity_type[row.entity_type]:
            assert abs(size / bound - 1.0) > 0.01, row


@pytest.mark.parametrize("total", [19.9, 20.0, 60.5, 119.0, 121.0])
def test_a_row_close_to_a_severity_bound_is_not_clear(total: float) -> None:
    [row, *_] = (row for _, d in sample() for row in d.labels if row.entity_type == "data_quality")
    bounds = LEVELS["easy"].severity_bounds_by_entity_type[row.entity_type]
    assert is_row_clear_of_severity_bounds(row, bounds)
    assert not is_row_clear_of_severity_bounds(replace(row, delta_value=total), bounds)


@pytest.mark.slow
def test_at_most_a_third_of_a_mixed_episode_is_what_one_generator_finds_alone() -> None:
    plain = {FUNNEL_BREAK, MIX_SHIFT, QUALITY_ISSUE}
    most: Counter[int] = Counter()
    for config, draw in sample(6):
        if config.scenario_family == MIXED and config.anomaly_count > 1:
            found = sum(row.anomaly_type in plain for row in draw.labels)
            most[config.anomaly_count] = max(most[config.anomaly_count], found)
    assert most == {3: 1, 5: 1, 7: 2}


def test_a_deviation_put_inside_the_band_is_counted_as_a_violation() -> None:
    _, draw = sample()[0]
    series = DailySeries(draw.hourly, draw.series.funnel, draw.series.level)
    series.deviations[4, 0] = 1.05 * series.level.count_threshold
    series.deviations[9, 6] = -0.95 * series.level.break_threshold
    assert count_unexplained_deviations_near_threshold(series) == 2


def test_episode_without_its_causes_has_no_expected_rows() -> None:
    assert [c for c, draw in sample() if relabelled(draw, c, []) != ()] == []


@pytest.mark.slow
def test_episode_without_one_cause_lacks_its_row_only() -> None:
    for config, draw in sample(1):
        for cause in draw.planned_anomalies:
            others = [other for other in draw.planned_anomalies if other is not cause]
            left = roots(relabelled(draw, config, others))
            assert left == planned(draw) - {(draw.dates[cause.day], *cause.root)}, config


def test_only_days_with_a_cause_differ_from_the_clean_data() -> None:
    for _, draw in sample():
        touched = (draw.hourly != draw.clean).any(axis=(1, 2))
        assert set(np.flatnonzero(touched).tolist()) == {
            cause.day for cause in draw.planned_anomalies
        }


def test_at_most_one_cause_falls_on_a_day_unless_a_traffic_mix_shift_shares_it() -> None:
    for config, draw in sample():
        by_day: dict[int, list[str]] = {}
        for cause in draw.planned_anomalies:
            by_day.setdefault(cause.day, []).append(cause.root.anomaly_type)
        for kinds in by_day.values():
            if len(kinds) > 1:
                assert config.scenario_family == MIXED
                assert len(kinds) == 2
                assert kinds.count(MIX_SHIFT) == 1
                assert QUALITY_ISSUE not in kinds


@pytest.mark.slow
def test_days_shared_with_a_traffic_mix_shift_do_occur() -> None:
    shared = 0
    for seed in range(60):
        draw = generate_episode(EpisodeConfig(seed, MIXED, "medium", "high", 7))
        shared += len(draw.planned_anomalies) - len({cause.day for cause in draw.planned_anomalies})
    assert shared >= 5


def test_generator_needs_few_attempts_per_episode() -> None:
    assert sum(draw.attempts for _, draw in sample()) / len(sample()) <= 1.2


def test_payment_never_spikes_and_orders_never_drop_alone() -> None:
    for _, draw in sample():
        for row in draw.labels:
            pair = (row.entity_name, row.anomaly_type)
            assert pair != ("order_placed_to_payment_successful", RATE_SPIKE)
            assert pair != ("app_open_to_payment_successful", RATE_SPIKE)
            assert pair != ("orders_placed", COUNT_DROP)


def test_no_stage_exceeds_the_one_above_it_outside_a_quality_issue() -> None:
    for _, draw in sample():
        faulty = {c.day for c in draw.planned_anomalies if c.root.anomaly_type == QUALITY_ISSUE}
        impossible = (draw.hourly[:, :, 1:] > draw.hourly[:, :, :-1]).any(axis=(1, 2))
        assert set(np.flatnonzero(impossible).tolist()) == faulty
        assert (draw.hourly >= 0).all()


@pytest.mark.parametrize("level", ["easy", "medium"])
def test_a_mixed_episode_holds_a_count_anomaly_and_a_rate_anomaly(level: str) -> None:
    for seed in range(15):
        draw = generate_episode(EpisodeConfig(seed, MIXED, level, "low", 2))
        kinds = {row.anomaly_type for row in draw.labels}
        assert kinds & {COUNT_DROP, COUNT_SPIKE}
        assert kinds & {RATE_DROP, RATE_SPIKE}


def test_mixed_episodes_draw_from_every_family() -> None:
    seen = Counter(
        row.anomaly_type
        for config, d in sample()
        if config.scenario_family == MIXED
        for row in d.labels
    )
    assert set(seen) == set(ANOMALY_TYPES)


def test_the_same_configuration_gives_the_same_bytes() -> None:
    config = EpisodeConfig(5, MIXED, "hard", "high", 4)
    one, two = generate_episode(config), generate_episode(config)
    assert one.hourly.tobytes() == two.hourly.tobytes()
    assert (one.dates, one.labels) == (two.dates, two.labels)
