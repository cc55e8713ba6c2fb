"""Parsing of reports: numbers, names, dates and invalid rows."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.report.parse_report import (
    build_report_preview,
    parse_finite_number,
    parse_report,
)
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.wire_models import MetricSubmissionRow
from openenv_kit.errors import ReportError, ToolArgumentError
from support.funnel_episodes import perfect_report, running_episode, started, submit
from support.rejected_replies import message_of_rejection

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "spelled", [12, 12.0, "12", "12.0", " 12 ", "+12", "1.2e1", "12.", "120E-1"]
)
def test_every_spelling_of_a_number_is_the_number(spelled: Any) -> None:
    assert parse_finite_number("value", spelled) == 12.0


@pytest.mark.parametrize(
    "bad", [True, None, "", "12%", "1,200", "0x10", "1_000", "inf", "nan", "1e999", "١٢", [12], {}]
)
def test_number_that_is_not_finite_is_rejected(bad: Any) -> None:
    with pytest.raises(ToolArgumentError, match="allowed: a finite number"):
        parse_finite_number("value", bad)


@pytest.mark.parametrize("field", ["date", "entity_type", "entity_name", "severity"])
@pytest.mark.parametrize(
    "spoil", [lambda text: text.upper() + " ", lambda text: f" {text}", lambda text: text + "\n"]
)
def test_a_name_in_another_spelling_is_invalid_and_no_second_key(field: str, spoil: Any) -> None:
    session = started()
    row = perfect_report(session)[0]
    changed = spoil(row[field])
    report = parse_report([row, {**row, field: changed}], running_episode(session))
    assert (len(report.valid_rows), len(report.invalid_issues)) == (1, 1)


def test_models_and_mappings_are_read_alike() -> None:
    session = started()
    episode, rows = running_episode(session), perfect_report(session)
    models = [MetricSubmissionRow(**row) for row in rows]
    assert parse_report(models, episode) == parse_report(rows, episode)
    assert parse_report(rows, episode).valid_rows == episode.expected_rows


@pytest.mark.parametrize("rows", [None, "rows", 5, {"date": "x"}])
def test_report_that_is_no_list_is_rejected(rows: Any) -> None:
    with pytest.raises(ReportError, match=r"allowed: a list of rows\. Nothing was graded"):
        parse_report(rows, running_episode(started()))


def test_a_preview_counts_and_shows_normalised_rows() -> None:
    session = started()
    row = perfect_report(session)[0]
    spelled = {**row, "observed_value": str(row["observed_value"])}
    previewed = build_report_preview(parse_report([spelled, row, 3], running_episode(session)))
    assert previewed.normalized_rows == [MetricSubmissionRow(**row)] * 2
    assert (previewed.valid_rows, previewed.duplicate_rows, previewed.invalid_rows) == (2, 1, 1)
    assert [issue.issue_type for issue in previewed.issues] == ["invalid_row", "duplicate_row"]


def test_ten_thousand_rows_are_refused_whole(session: EpisodeSession) -> None:
    message = message_of_rejection(submit(session, perfect_report(session)[:1] * 10_000))
    assert "has 10000 rows; allowed: at most 1000. Nothing was graded." in message
    assert session.submission_count == 0


def test_a_thousand_rows_are_read() -> None:
    session = started()
    assert submit(session, perfect_report(session)[:1] * 1000).status == "evaluated"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"observed_value": NAN}, "observed_value is nan; allowed: a finite number."),
        ({"delta_value": INFINITY}, "delta_value is inf; allowed: a finite number."),
        ({"baseline_value": True}, "baseline_value is True; allowed: a finite number."),
        ({"baseline_value": "twelve"}, "baseline_value is 'twelve'; allowed: a finite number."),
        ({"baseline_value": "NaN"}, "baseline_value is 'NaN'; allowed: a finite number."),
        ({"baseline_value": "1_000"}, "baseline_value is '1_000'; allowed: a finite number."),
        ({"baseline_value": None}, "baseline_value is None; allowed: a finite number."),
        ({"baseline_value": 10**400}, "allowed: a finite number."),
        ({"date": "2022-02-30"}, "date '2022-02-30' is not in this episode."),
        ({"date": 5}, "date 5 is not in this episode."),
        ({"entity_type": "event_counts"}, "Did you mean 'event_count'?"),
        ({"entity_type": ["event_count"]}, "Unknown entity_type ['event_count']."),
        ({"entity_name": "app_open"}, "Unknown entity_name 'app_open'."),
        ({"anomaly_type": "rate_drop"}, "Did you mean 'rate_drop_from_median'?"),
        ({"detection_method": "list_dates"}, "Unknown detection_method 'list_dates'."),
        ({"severity": "HIGH"}, "Unknown severity 'HIGH'. Did you mean 'high'?"),
        ({"severty": "high"}, "Did you mean 'severity'?"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_row_is_invalid_with_its_reason_and_the_others_still_count(
    change: dict[str, Any], expected: str
) -> None:
    session = started()
    rows = perfect_report(session)
    reply = submit(session, [*rows, {**rows[0], **change}])
    [issue] = [
        i for i in reply.observation_fields["submission_issues"] if i.issue_type == "invalid_row"
    ]
    assert expected in issue.message
    assert reply.observation_fields["reward_breakdown"].invalid_rows == 1
    assert reply.reward == pytest.approx(0.95)


@pytest.mark.parametrize("row", [None, 3, "row", [], {}])
def test_row_that_is_no_object_is_invalid(row: Any) -> None:
    session = started()
    reply = submit(session, [*perfect_report(session), row])
    assert reply.observation_fields["reward_breakdown"].invalid_rows == 1


def test_a_row_without_a_field_names_the_field() -> None:
    session = started()
    row = perfect_report(session)[0]
    del row["severity"]
    [issue, *_] = submit(session, [row]).observation_fields["submission_issues"]
    assert issue.message == "The row lacks severity."
