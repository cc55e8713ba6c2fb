"""The rules of the reporting policy on hand-made days.

An ordinary day is 24,000 / 12,000 / 6,000 / 3,000 / 2,400: step rates 50, 50, 50 and 80 %,
composites 12.5 and 10 %, half of the traffic by day. Easy thresholds: counts 30 %, rates
20 %, breaks 35 %, daytime share 0.08.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.severity import find_highest_severity_reached
from metric_tracker_rl.engine.episode.episode import create_episode_and_freeze_hourly_counts
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import (
    compute_expected_rows,
    find_roots_of_day,
)
from metric_tracker_rl.engine.reporting_policy.policy_text import format_policy_text
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import get_policy
from openenv_kit.rollouts.run_policy import run_policy
from support.funnel_episodes import NORMAL_DAY, hand_made, labels_of, sample, series_of

RATE_1 = "app_open_to_menu_open"
RATE_2 = "menu_open_to_product_added_to_cart"
ORDER = "app_open_to_order_placed"
PAYMENT = "app_open_to_payment_successful"


def brief(rows: list[Any]) -> list[tuple[str, str, str]]:
    return [(row.entity_type, row.entity_name, row.anomaly_type) for row in rows]


def answer(day: tuple[int, ...], level: str = "easy") -> list[tuple[str, str, str]]:
    """What the rule reports where day 5 is this one and all others are ordinary."""
    rows = labels_of(hand_made({5: day}), level)
    assert {row.date for row in rows} <= {"day 5"}
    return brief(rows)


def ordinary_hours() -> np.ndarray[Any, Any]:
    return np.tile(np.array(NORMAL_DAY) // 24, (24, 1))


def test_ordinary_weeks_have_nothing_to_report() -> None:
    assert labels_of(hand_made()) == []


# Rule 1: impossible counts.


def test_an_impossible_hour_is_one_row_for_its_pair_with_the_days_total_excess() -> None:
    hours = ordinary_hours()
    hours[3, 4] = 125 + 30  # payments above orders
    hours[9, 4] = 125 + 40
    [row] = labels_of(hand_made(hours={5: hours}))
    assert brief([row]) == [
        (
            "data_quality",
            "payment_successful_lte_orders_placed",
            "instrumentation_data_quality_issue",
        )
    ]
    assert (row.baseline_value, row.observed_value, row.delta_value) == (0.0, 70.0, 70.0)
    assert (row.severity, row.detection_method) == ("high", "check_impossible_counts")


def test_an_excess_in_one_hour_counts_though_the_days_totals_are_possible() -> None:
    hours = ordinary_hours()
    hours[0, 1] = 1001
    assert hours[:, 1].sum() < hours[:, 0].sum()
    assert len(labels_of(hand_made(hours={5: hours}))) == 1


def test_as_many_events_as_in_the_stage_above_are_possible() -> None:
    hours = ordinary_hours()
    hours[0, 4] = 125
    assert labels_of(hand_made(hours={5: hours})) == []


def test_on_a_day_with_impossible_counts_nothing_else_is_reported() -> None:
    hours = ordinary_hours() * 2  # traffic doubled, which alone would be a row
    assert brief(labels_of(hand_made(hours={5: hours})))[0][1] == "app_opens"
    hours[3, 4] = hours[3, 3] + 1
    rows = labels_of(hand_made(hours={5: hours}))
    assert [row.entity_type for row in rows] == ["data_quality"]


def test_every_impossible_pair_has_its_row_in_funnel_order() -> None:
    hours = ordinary_hours()
    hours[3, 4] = hours[3, 3] + 5
    hours[4, 1] = hours[4, 0] + 200
    rows = labels_of(hand_made(hours={5: hours}))
    assert [(row.entity_name, row.observed_value) for row in rows] == [
        ("menu_opens_lte_app_opens", 200.0),
        ("payment_successful_lte_orders_placed", 5.0),
    ]


# Rule 2: traffic mix.


def moved_to_day(share: float) -> np.ndarray[Any, Any]:
    """The ordinary day with this share of its app opens, and everything after, by day."""
    hours = np.empty((24, 5), dtype=np.int64)
    for stage, total in enumerate(NORMAL_DAY):
        by_day = round(total * share / 12)
        hours[:, stage] = (total - 12 * by_day) // 12
        hours[8:20, stage] = by_day
    return hours


def test_a_flagged_daytime_share_is_one_row_with_its_absolute_deviation() -> None:
    [row] = labels_of(hand_made(hours={5: moved_to_day(0.6)}))
    assert brief([row]) == [("hourly_mix", "app_opens:daytime_share", "hourly_traffic_mix_shift")]
    assert (row.baseline_value, row.observed_value, row.delta_value) == (0.5, 0.6, 0.1)
    assert (row.severity, row.detection_method) == ("high", "hourly_rows_for_date")


@pytest.mark.parametrize(("share", "rows"), [(0.58, 1), (0.42, 1), (0.579, 0), (0.421, 0)])
def test_the_daytime_share_is_flagged_from_its_threshold_on(share: float, rows: int) -> None:
    assert len(labels_of(hand_made(hours={5: moved_to_day(share)}))) == rows


def test_a_mix_shift_comes_before_another_cause_of_its_day() -> None:
    rows = labels_of(hand_made(hours={5: moved_to_day(0.7) * 2}))
    assert [row.entity_type for row in rows] == ["hourly_mix", "event_count"]


# Rule 3: one stage's events lost or doubled.


def test_lost_events_of_one_stage_are_one_count_row() -> None:
    assert answer((24_000, 7_200, 6_000, 3_000, 2_400)) == [
        ("event_count", "menu_opens", "absolute_drop_in_event_count")
    ]


def test_one_stages_doubled_events_are_one_count_row() -> None:
    assert answer((24_000, 12_000, 9_600, 3_000, 2_400)) == [
        ("event_count", "product_added_to_cart", "absolute_spike_in_event_count")
    ]
    assert answer((24_000, 12_000, 6_000, 4_800, 2_400)) == [
        ("event_count", "orders_placed", "absolute_spike_in_event_count")
    ]


def test_stage_whose_next_count_moved_too_is_no_root() -> None:
    # c1 falls by 40 % and c2 by 40 % as well: the first step moved and the rest followed.
    assert answer((24_000, 7_200, 3_600, 1_800, 1_440)) == [
        ("funnel_step", "menu_opens_from_app_opens", "funnel_break")
    ]


def test_a_stage_whose_neighbour_is_flagged_is_no_root_and_its_rates_are() -> None:
    step_and_back = [
        ("funnel_step", "product_added_to_cart_from_menu_opens", "funnel_break"),
        ("conversion_rate", "product_added_to_cart_to_order_placed", "rate_spike_from_median"),
    ]
    # c2 −60 %, r2 −60 %, r3 +74 %: rule 3, were it not for c3 at −30.4 %.
    assert answer((24_000, 12_000, 2_400, 2_088, 1_680)) == step_and_back
    # c2 −60 %, r2 −43 %, r3 +92 %, c3 −23 %: rule 3, were it not for c1 at −30 %.
    assert answer((24_000, 8_400, 2_400, 2_304, 1_848)) == [
        ("conversion_rate", RATE_1, "rate_drop_from_median"),
        *step_and_back,
    ]


def test_where_both_rates_moved_the_same_way_both_steps_are_roots() -> None:
    # c1 −30 %, r1 −30 %, r2 −28.6 %: c2 moved too, so no stage lost its events alone.
    rows = answer((24_000, 8_400, 4_200 * 5 // 7, 1_512, 1_200))
    assert [name for _, name, _ in rows][:2] == [RATE_1, RATE_2]


# Rule 4: a step moved.


def test_a_step_that_falls_by_less_than_a_break_is_one_rate_row() -> None:
    assert answer((24_000, 9_000, 4_512, 2_256, 1_800)) == [
        ("conversion_rate", RATE_1, "rate_drop_from_median")
    ]


def test_a_step_that_falls_by_the_break_threshold_is_a_break() -> None:
    # 32.5 of 50 % is −35 %, the threshold itself.
    assert answer((24_000, 7_800, 3_912, 1_944, 1_560)) == [
        ("funnel_step", "menu_opens_from_app_opens", "funnel_break")
    ]


def test_a_step_that_rises_is_a_spike_however_far() -> None:
    assert answer((24_000, 21_600, 10_800, 5_400, 4_320)) == [
        ("conversion_rate", RATE_1, "rate_spike_from_median")
    ]


def test_two_steps_that_move_alone_are_two_rows_in_funnel_order() -> None:
    # r1 −25 % and r4 −50 %.
    rows = answer((24_000, 9_000, 4_512, 2_256, 912))
    assert [(kind, name) for kind, name, _ in rows] == [
        ("conversion_rate", RATE_1),
        ("funnel_step", "payment_successful_from_orders_placed"),
    ]


# Rule 5: a slow leak.


def test_a_leak_over_several_steps_is_its_shortest_flagged_composite() -> None:
    # Each of r1, r2, r3 falls by 8 to 10 %, unflagged; order falls by over 20 %, payment too.
    day = (24_000, 10_944, 4_992, 2_280, 1_824)
    changes = series_of(hand_made({5: day})).deviations[5]
    assert (np.abs(changes[5:9]) < 0.20).all()
    assert changes[9] < -0.20
    assert changes[10] < -0.20
    assert answer(day) == [("conversion_rate", ORDER, "rate_drop_from_median")]


def test_a_leak_that_only_payment_shows_is_the_longer_composite() -> None:
    day = (24_000, 11_040, 5_136, 2_424, 1_656)
    changes = series_of(hand_made({5: day})).deviations[5]
    assert changes[9] > -0.20
    assert changes[10] <= -0.20
    assert answer(day) == [("conversion_rate", PAYMENT, "rate_drop_from_median")]


def test_flagged_step_makes_every_composite_a_consequence() -> None:
    rows = answer((24_000, 9_000, 4_512, 2_256, 1_800))
    assert not {ORDER, PAYMENT} & {name for _, name, _ in rows}


# Rule 6: traffic.


@pytest.mark.parametrize(
    ("factor", "kind"),
    [(1.5, "absolute_spike_in_event_count"), (0.5, "absolute_drop_in_event_count")],
)
def test_traffic_that_moves_is_one_row_for_the_first_stage(factor: float, kind: str) -> None:
    day = tuple(int(count * factor) for count in NORMAL_DAY)
    assert answer(day) == [("event_count", "app_opens", kind)]


def test_counts_after_the_first_stage_are_no_roots() -> None:
    # A break at the first step leaves all later counts at half: echoes, each of them.
    rows = answer((24_000, 6_000, 3_000, 1_512, 1_200))
    assert rows == [("funnel_step", "menu_opens_from_app_opens", "funnel_break")]


def test_a_step_and_the_traffic_together_come_in_the_policys_order() -> None:
    rows = answer((48_000, 12_000, 6_000, 3_000, 2_400))
    assert [(kind, name) for kind, name, _ in rows] == [
        ("funnel_step", "menu_opens_from_app_opens"),
        ("event_count", "app_opens"),
    ]


# Thresholds, severities, values.


@pytest.mark.parametrize(
    ("level", "count", "rate", "share"),
    [("easy", 0.30, 0.20, 0.08), ("medium", 0.25, 0.15, 0.06), ("hard", 0.20, 0.10, 0.04)],
)
def test_every_threshold_is_the_policys_and_is_inclusive(
    level: str, count: float, rate: float, share: float
) -> None:
    funnel = series_of(hand_made()).funnel
    quiet = [0.0] * 12
    for column, threshold in ((0, count), (5, rate), (9, rate), (11, share)):
        for sign in (1.0, -1.0):
            at, below = list(quiet), list(quiet)
            at[column], below[column] = sign * threshold, sign * (threshold - 1e-9)
            nothing = [0, 0, 0, 0]
            assert len(find_roots_of_day(at, nothing, funnel, LEVELS[level])) == 1
            assert find_roots_of_day(below, nothing, funnel, LEVELS[level]) == []
    assert LEVELS[level].break_threshold == 0.35


@pytest.mark.parametrize(
    ("entity_type", "medium", "high", "critical"),
    [
        ("event_count", 0.25, 0.35, 0.50),
        ("conversion_rate", 0.18, 0.30, 0.45),
        ("funnel_step", 0.18, 0.30, 0.45),
        ("hourly_mix", 0.06, 0.10, 0.15),
        ("data_quality", 20, 60, 120),
    ],
)
def test_severity_bounds_are_the_policys_and_belong_to_the_higher_band(
    entity_type: str, medium: float, high: float, critical: float
) -> None:
    bounds = LEVELS["easy"].severity_bounds_by_entity_type[entity_type]
    assert bounds == (medium, high, critical)
    for bound, at, below in zip(
        bounds, ("medium", "high", "critical"), ("low", "medium", "high"), strict=True
    ):
        assert find_highest_severity_reached(bound, bounds) == at
        assert find_highest_severity_reached(bound - 1e-9, bounds) == below


def test_values_are_what_the_tools_show() -> None:
    [row] = labels_of(hand_made({5: (24_000, 9_240, 4_632, 2_304, 1_848)}))
    assert (row.baseline_value, row.observed_value, row.delta_value) == (50.0, 38.5, -11.5)
    assert (row.severity, row.detection_method) == ("medium", "compare_rate_to_median")


# The text, and what follows from it; every label is held against it by
# tests/guarantees/test_second_policy.py.


def test_policy_text_contains_every_rule() -> None:
    plain = format_policy_text(ORDERING_APP, LEVELS["hard"])
    for said in (
        "hours 8 to 19, both included",
        "A denominator of 0 counts as 1.",
        "observed itself where the baseline is 0",
        "not even as a consequence",
        "spans the fewest stages",
        "the row's own excess, not the day's total_excess",
    ):
        assert said in plain
    for entity_type, method in DETECTION_METHODS.items():
        assert f"{entity_type}: " in plain
        assert method in plain
    for anomaly_type in ANOMALY_TYPES:
        assert anomaly_type in plain
    assert "list_calendar" not in plain
    assert "No entry silences rule 1." in format_policy_text(ORDERING_APP, LEVELS["expert"])


def test_an_entry_of_the_calendar_never_silences_rule_1() -> None:
    hours = ordinary_hours()
    hours[3, 4] = hours[3, 3] + 5
    doubled = hand_made({6: tuple(2 * count for count in NORMAL_DAY)}, {5: hours})
    explained = np.ones((len(doubled), 12), dtype=bool)
    series = DailySeries(doubled, ORDERING_APP, LEVELS["expert"], explained)
    rows = compute_expected_rows(series, [f"day {day}" for day in range(len(doubled))])
    assert [(row.date, row.entity_type) for row in rows] == [("day 5", "data_quality")]


def test_the_severity_of_impossible_counts_is_each_pairs_own() -> None:
    hours = ordinary_hours()
    hours[3, 4] = hours[3, 3] + 59
    hours[4, 1] = hours[4, 0] + 61
    rows = labels_of(hand_made(hours={5: hours}))
    assert [(row.observed_value, row.severity) for row in rows] == [
        (61.0, "high"),
        (59.0, "medium"),
    ]


def test_consequences_of_rule_3_suppress_rule_5() -> None:
    # c2 alone lost its events, and payment fell too little to flag its step: no slow leak.
    day = (24_000, 12_000, 3_600, 2_700, 1_860)
    changes = series_of(hand_made({5: day})).deviations[5]
    assert abs(changes[8]) < 0.20 <= abs(changes[10])
    assert answer(day) == [("event_count", "product_added_to_cart", "absolute_drop_in_event_count")]


@pytest.mark.parametrize(("hour", "share"), [(7, 0.0), (8, 1.0), (19, 1.0), (20, 0.0)])
def test_daytime_begins_with_hour_8_and_ends_with_hour_19(hour: int, share: float) -> None:
    hours = np.zeros((24, 5), dtype=np.int64)
    hours[hour, 0] = 100
    assert series_of(hand_made(hours={5: hours})).values[5, -1] == share


@pytest.mark.slow
def test_reference_policy_scores_one_from_tool_results_alone() -> None:
    fell_short = []
    for config, draw in sample()[:240]:
        session = EpisodeSession()
        opening = session.start_episode_from_view(
            "custom", EpisodeView(create_episode_and_freeze_hourly_counts(config, draw))
        )
        if run_policy(session, get_policy("reference"), opening).score != 1.0:
            fell_short.append(config)
    assert fell_short == []


@pytest.mark.slow
def test_reports_other_than_the_expected_rows_score_less_than_one() -> None:
    """Every proper subset of the labels, and the labels with any other row, score less."""
    for _, draw in [each for each in sample()[::11] if each[0].anomaly_count in (1, 3)]:
        rows = draw.labels
        assert grade_report(SubmittedReport(rows, ()), rows).score == 1.0
        for size in range(len(rows)):
            for some in combinations(rows, size):
                assert grade_report(SubmittedReport(some, ()), rows).score < 1.0
