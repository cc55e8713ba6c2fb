"""Reading a report: the spelling of numbers is free, that of names and dates is not."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.report.parse_report import parse_number, parse_report, preview_report
from metric_tracker_rl.wire_models import MetricSubmissionRow
from openenv_kit.errors import ReportError, ToolArgumentError
from support.funnel_episodes import perfect_report, running_episode, started


@pytest.mark.parametrize(
    "spelled", [12, 12.0, "12", "12.0", " 12 ", "+12", "1.2e1", "12.", "120E-1"]
)
def test_every_spelling_of_a_number_is_the_number(spelled: Any) -> None:
    assert parse_number("value", spelled) == 12.0


@pytest.mark.parametrize(
    "bad", [True, None, "", "12%", "1,200", "0x10", "1_000", "inf", "nan", "1e999", "١٢", [12], {}]
)
def test_what_is_no_finite_number_is_refused(bad: Any) -> None:
    with pytest.raises(ToolArgumentError, match="allowed: a finite number"):
        parse_number("value", bad)


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
def test_what_is_no_list_is_refused_whole(rows: Any) -> None:
    with pytest.raises(ReportError, match=r"allowed: a list of rows\. Nothing was graded"):
        parse_report(rows, running_episode(started()))


def test_a_preview_counts_and_shows_normalised_rows() -> None:
    session = started()
    row = perfect_report(session)[0]
    spelled = {**row, "observed_value": str(row["observed_value"])}
    previewed = preview_report(parse_report([spelled, row, 3], running_episode(session)))
    assert previewed.normalized_rows == [MetricSubmissionRow(**row)] * 2
    assert (previewed.valid_rows, previewed.duplicate_rows, previewed.invalid_rows) == (2, 1, 1)
    assert [issue.issue_type for issue in previewed.issues] == ["invalid_row", "duplicate_row"]
