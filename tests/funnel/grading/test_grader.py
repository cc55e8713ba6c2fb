"""The grader's formula by examples and by properties."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.definitions.severity import SEVERITIES
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.grading.grader import (
    DUPLICATE_PENALTY,
    EXTRA_PENALTY,
    INVALID_PENALTY,
    SCORE_WEIGHTS,
    grade_report,
    is_within_value_tolerance,
)
from metric_tracker_rl.engine.report.parse_report import (
    SubmittedReport,
    build_invalid_row_issue,
    parse_report,
)
from metric_tracker_rl.wire_models import RewardBreakdown

INVALID = build_invalid_row_issue("?", "unreadable", {})


@cache
def episode() -> FunnelEpisode:
    """An episode of five anomalies, so that one row is worth a fifth."""
    return build_episode(EpisodeConfig(1, "mixed", "medium", "low", 5))


@cache
def quiet_episode() -> FunnelEpisode:
    """An episode of none."""
    return build_episode(EpisodeConfig(1, "mixed", "medium", "low", 0))


def right() -> list[ReportRow]:
    return list(episode().expected_rows)


def places() -> list[tuple[str, str, str]]:
    """Every key that a report can name and that is not expected."""
    expected = {row.key for row in right()}
    entities = episode().config.funnel_with_policy_daytime.entities
    keys = [(date, *entity) for date in episode().dates for entity in entities]
    return [key for key in keys if key not in expected]


def false_row(place: int) -> ReportRow:
    """A well-formed row that the policy does not ask for."""
    date, kind, name = places()[place]
    method = DETECTION_METHODS[kind]
    return ReportRow(date, kind, name, next(iter(ANOMALY_TYPES)), method, 1.0, 2.0, 1.0, "low")


def breakdown(rows: list[ReportRow], invalid: int = 0, expected: Any = None) -> RewardBreakdown:
    wanted = right() if expected is None else expected
    return grade_report(SubmittedReport(tuple(rows), (INVALID,) * invalid), wanted).breakdown


def score(rows: list[ReportRow], invalid: int = 0) -> float:
    return breakdown(rows, invalid).total_score


@st.composite
def damaged_rows(draw: st.DrawFn) -> ReportRow:
    """An expected row with some of its fields wrong."""
    row = draw(st.sampled_from(right()))
    changes: dict[str, Any] = {}
    if draw(st.booleans()):
        changes["severity"] = draw(st.sampled_from(SEVERITIES))
    if draw(st.booleans()):
        changes["anomaly_type"] = draw(st.sampled_from(tuple(ANOMALY_TYPES)))
    if draw(st.booleans()):
        changes["detection_method"] = draw(st.sampled_from(sorted(DETECTION_METHODS.values())))
    if draw(st.booleans()):
        changes["observed_value"] = draw(st.floats(-1e6, 1e6))
    return replace(row, **changes)


FALSE_PLACES = st.integers(0, len(places()) - 1)
REPORTS = st.lists(
    st.one_of(st.sampled_from(right()), damaged_rows(), st.builds(false_row, FALSE_PLACES)),
    max_size=25,
)
INVALID_ROWS = st.integers(0, 4)


@pytest.mark.slow
@given(REPORTS, INVALID_ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(rows: list[ReportRow], bad: int, chance: Any) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert breakdown(shuffled, bad) == breakdown(rows, bad)


SPELLINGS = {
    "float": float,
    "text": str,
    "padded text": lambda number: f"  {number!r} ",
    "exponent": lambda number: f"{Decimal(repr(number)):e}",
    "whole where it can be": lambda number: int(number) if number == int(number) else number,
    "signed": lambda number: f"{number:+}",
    "64 characters": lambda number: f"{Decimal(repr(number)):0=64e}",
    "64 characters and spaces": lambda number: f"  {Decimal(repr(number)):0=64e}\n",
}


@pytest.mark.slow
@given(st.lists(damaged_rows(), max_size=8), st.sampled_from(sorted(SPELLINGS)))
def test_the_spelling_of_numbers_never_matters(rows: list[ReportRow], spelling: str) -> None:
    spelled = [
        {
            name: SPELLINGS[spelling](value) if isinstance(value, float) else value
            for name, value in row.as_dict().items()
        }
        for row in rows
    ]
    read = parse_report(spelled, episode())
    assert read.invalid_issues == ()
    assert grade_report(read, right()).breakdown == breakdown(rows)


@given(st.sampled_from(right()), st.integers(65, 200))
def test_a_number_spelled_in_more_than_64_characters_makes_its_row_invalid(
    row: ReportRow, length: int
) -> None:
    number = Decimal(repr(row.observed_value))
    read = parse_report([{**row.as_dict(), "observed_value": f"{number:0={length}e}"}], episode())
    assert (len(read.valid_rows), len(read.invalid_issues)) == (0, 1)


@pytest.mark.slow
@given(REPORTS, INVALID_ROWS, FALSE_PLACES)
def test_an_added_false_row_never_raises_the_score(
    rows: list[ReportRow], bad: int, place: int
) -> None:
    assert score([*rows, false_row(place)], bad) <= score(rows, bad)


@pytest.mark.slow
@given(REPORTS, INVALID_ROWS)
def test_an_added_invalid_row_never_raises_the_score(rows: list[ReportRow], bad: int) -> None:
    assert score(rows, bad + 1) <= score(rows, bad)


@pytest.mark.slow
@given(REPORTS, INVALID_ROWS, st.sampled_from(right()))
def test_a_true_row_whose_key_was_not_reported_yet_never_lowers_the_score(
    rows: list[ReportRow], bad: int, true: ReportRow
) -> None:
    without = [row for row in rows if row.key != true.key]
    assert score([*without, true], bad) >= score(without, bad)


@pytest.mark.slow
@given(REPORTS, INVALID_ROWS, st.data())
def test_a_row_whose_key_was_reported_already_never_raises_the_score(
    rows: list[ReportRow], bad: int, data: st.DataObject
) -> None:
    given_before = data.draw(st.sampled_from([*rows, right()[0]]))
    variant = data.draw(
        st.sampled_from([given_before, *right(), another(given_before, "severity")])
    )
    reported = [*rows, given_before]
    if variant.key == given_before.key:
        assert score([*reported, variant], bad) <= score(reported, bad)


def test_repeating_a_true_row_lowers_the_score() -> None:
    assert score([*right(), right()[0]]) < score(right())


@pytest.mark.slow
@given(REPORTS, INVALID_ROWS)
def test_score_is_between_0_and_1_and_1_only_for_a_perfect_report(
    rows: list[ReportRow], bad: int
) -> None:
    earned = score(rows, bad)
    assert 0.0 <= earned <= 1.0
    perfect = sorted(map(repr, rows)) == sorted(map(repr, right())) and not bad
    close = {row.key for row in rows} == {row.key for row in right()}
    assert earned < 1.0 or perfect or close


@pytest.mark.parametrize("count", range(1, 8))
@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_a_perfect_report_scores_exactly_one(count: int, difficulty: str) -> None:
    rows = build_episode(EpisodeConfig(2, "mixed", difficulty, "low", count)).expected_rows
    made = grade_report(SubmittedReport(rows, ()), rows).breakdown
    assert made.total_score == made.precision == made.recall == made.value_accuracy == 1.0
    assert (made.matched_rows, made.missing_rows, made.extra_rows) == (count, 0, 0)


def test_empty_report_of_calm_episode_scores_one() -> None:
    made = breakdown([], expected=[])
    assert made.total_score == made.precision == made.recall == 1.0


def test_any_row_in_calm_episode_scores_zero() -> None:
    assert quiet_episode().expected_rows == ()
    assert breakdown([false_row(0)], expected=[]).total_score == 0.0
    assert breakdown([], invalid=1, expected=[]).total_score == 0.0


def test_empty_report_scores_zero_where_rows_are_expected() -> None:
    made = breakdown([])
    assert (made.total_score, made.precision, made.recall) == (0.0, 0.0, 0.0)
    assert made.missing_rows == 5


def test_the_weights_are_the_published_ones() -> None:
    assert SCORE_WEIGHTS == {
        "recall": 60,
        "anomaly_type_accuracy": 12,
        "detection_method_accuracy": 10,
        "value_accuracy": 12,
        "severity_accuracy": 6,
    }


def another(row: ReportRow, field: str) -> ReportRow:
    """The row with one field certainly wrong."""
    names: dict[str, Any] = {
        "anomaly_type": ANOMALY_TYPES,
        "detection_method": tuple(DETECTION_METHODS.values()),
        "severity": SEVERITIES,
    }
    value = getattr(row, field)
    if field in names:
        return replace(row, **{field: next(name for name in names[field] if name != value)})
    return replace(row, **{field: value + 1.0 + abs(value)})


@pytest.mark.parametrize(
    ("field", "cost"),
    [
        ("anomaly_type", 0.12),
        ("detection_method", 0.10),
        ("severity", 0.06),
        ("baseline_value", 0.12 / 3),
        ("observed_value", 0.12 / 3),
        ("delta_value", 0.12 / 3),
    ],
)
def test_a_wrong_field_costs_its_weight_on_one_of_five_rows(field: str, cost: float) -> None:
    rows = [another(right()[0], field), *right()[1:]]
    assert score(rows) == pytest.approx(1.0 - cost / 5, abs=1e-6)


def test_missing_row_scores_zero_in_every_component() -> None:
    made = breakdown(right()[1:])
    assert made.total_score == pytest.approx(0.8)
    assert made.recall == made.anomaly_type_accuracy == made.value_accuracy == 0.8
    assert made.precision == 1.0


@pytest.mark.parametrize(
    ("factor", "accurate"), [(1.0199, True), (0.9801, True), (1.0201, False), (0.9799, False)]
)
def test_a_value_is_right_within_two_percent(factor: float, accurate: bool) -> None:
    row = max(right(), key=lambda each: each.observed_value)
    others = [each for each in right() if each is not row]
    made = score([*others, replace(row, observed_value=row.observed_value * factor)])
    assert (made == 1.0) == accurate


def test_small_values_are_right_within_a_hundredth() -> None:
    row = replace(right()[0], observed_value=0.10)
    expected = [row]
    for value, accurate in ((0.1099, True), (0.0901, True), (0.1101, False), (0.0899, False)):
        made = breakdown([replace(row, observed_value=value)], expected=expected)
        assert (made.value_accuracy == 1.0) == accurate


@pytest.mark.parametrize(("submitted", "expected"), [(0.01, 0.0), (102.0, 100.0), (98.0, 100.0)])
def test_a_value_exactly_as_far_off_as_is_tolerated_is_right(
    submitted: float, expected: float
) -> None:
    assert is_within_value_tolerance(submitted, expected)


def test_extra_rows_cost_precision_and_three_hundredths_each() -> None:
    made = breakdown([*right(), false_row(0), false_row(1)])
    assert made.extra_row_penalty == 0.06
    assert made.precision == pytest.approx(5 / 7, abs=1e-6)
    assert made.total_score == pytest.approx(5 / 7 - 0.06, abs=1e-5)
    assert (made.extra_rows, made.exploit_penalty) == (2, 0.0)


def test_a_repeated_row_costs_four_hundredths() -> None:
    made = breakdown([*right(), right()[0]])
    assert (made.duplicate_penalty, made.duplicate_rows) == (0.04, 1)
    assert made.total_score == pytest.approx(0.96)


def test_an_invalid_row_costs_five_hundredths() -> None:
    made = breakdown(right(), invalid=1)
    assert (made.invalid_row_penalty, made.invalid_rows) == (0.05, 1)
    assert made.total_score == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("penalty", "rate", "cap"),
    [
        ("extra_row_penalty", EXTRA_PENALTY, (0.03, 0.5)),
        ("duplicate_penalty", DUPLICATE_PENALTY, (0.04, 0.4)),
        ("invalid_row_penalty", INVALID_PENALTY, (0.05, 0.4)),
    ],
)
def test_every_penalty_has_its_cap(
    penalty: str, rate: tuple[float, float], cap: tuple[float, float]
) -> None:
    assert rate == cap
    many = {
        "extra_row_penalty": lambda: breakdown([*right(), *map(false_row, range(40))]),
        "duplicate_penalty": lambda: breakdown(right() * 9),
        "invalid_row_penalty": lambda: breakdown(right(), invalid=40),
    }
    assert getattr(many[penalty](), penalty) == cap[1]


def test_flooding_is_an_exploit_beyond_twice_the_expected_rows() -> None:
    at_the_limit = [*right(), *map(false_row, range(10))]
    assert breakdown(at_the_limit).exploit_penalty == 0.0
    assert breakdown([*at_the_limit, false_row(10)]).exploit_penalty == 0.15


def test_flooding_starts_no_earlier_than_at_five_extra_rows() -> None:
    one = right()[:1]
    four = [*one, *map(false_row, range(4))]
    assert breakdown(four, expected=one).exploit_penalty == 0.0
    assert breakdown([*four, false_row(4)], expected=one).exploit_penalty == 0.15


def test_fields_of_repeated_rows_are_scored_by_the_worst() -> None:
    row = right()[0]
    hedged = [*right()[1:], row, another(row, "severity"), another(row, "anomaly_type")]
    made = breakdown(hedged)
    assert made.severity_accuracy == made.anomaly_type_accuracy == 0.8


def test_issues_name_what_is_wrong_and_never_what_is_right() -> None:
    rows = [another(right()[0], "severity"), false_row(3), right()[1], right()[1]]
    graded = grade_report(SubmittedReport(tuple(rows), (INVALID,)), right())
    kinds = sorted(issue.issue_type for issue in graded.issues)
    assert kinds == ["duplicate_row", "extra_row", "invalid_row", "missing_row", "wrong_severity"]
    assert all(issue.expected_row is None for issue in graded.issues)
    text = " ".join(issue.model_dump_json() for issue in graded.issues)
    for missing in right()[2:]:
        assert "|".join(missing.key) not in text


def test_debug_shows_the_rows_that_were_expected() -> None:
    graded = grade_report(SubmittedReport((), ()), right(), include_expected_rows=True)
    assert [issue.expected_row for issue in graded.issues] == [row.as_dict() for row in right()]
