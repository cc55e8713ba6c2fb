"""The deterministic grader: a report and the right rows in, a score in [0, 1] out.

total = precision × (0.60 recall + 0.12 anomaly_type + 0.10 detection_method + 0.12 values
+ 0.06 severity) − penalties, clipped. Recall and the four field accuracies are averaged over
the *expected* rows, so a missing row earns nothing anywhere. Laws that tests hold it to: the order
of rows never matters, nor does the spelling of a number, as text in at most 64 characters; an
added false row never raises the score; a true row whose key was not reported yet never lowers
it; a row whose key was reported already, true or not, never raises it; a perfect report scores
exactly 1.0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from metric_tracker_rl.engine.definitions.report_row import (
    GRADED_NAME_FIELDS,
    NUMBER_FIELDS,
    ReportRow,
    RowKey,
)
from metric_tracker_rl.engine.report.parse_report import SubmittedReport, build_duplicate_row_issue
from metric_tracker_rl.wire_models import RewardBreakdown, SubmissionIssue
from openenv_kit.float_sum import add_up

SCORE_WEIGHTS: dict[str, int] = {
    "recall": 60,
    "anomaly_type_accuracy": 12,
    "detection_method_accuracy": 10,
    "value_accuracy": 12,
    "severity_accuracy": 6,
}
"""Weights in hundredths: integers, so that a perfect report adds up to exactly one."""

VALUE_TOLERANCE = (0.01, 0.02)
"""A value is right within the larger of this absolute and this relative distance."""

EXTRA_PENALTY = (0.03, 0.5)
DUPLICATE_PENALTY = (0.04, 0.4)
INVALID_PENALTY = (0.05, 0.4)
"""Penalty per row, and the most that kind of row can cost."""

EXPLOIT_PENALTY = 0.15
"""Taken once when extra rows exceed the larger of `EXPLOIT_FLOOR` and twice the expected."""
EXPLOIT_FLOOR = 4

SCORE_DECIMALS = 6


@dataclass(frozen=True)
class FunnelGrade:
    """A graded report: the breakdown, and remarks for after the episode."""

    breakdown: RewardBreakdown
    issues: tuple[SubmissionIssue, ...]

    @property
    def score(self) -> float:
        """Total score in [0, 1]."""
        return self.breakdown.total_score


def grade_report(
    report: SubmittedReport, expected_rows: Sequence[ReportRow], *, debug: bool = False
) -> FunnelGrade:
    """Grade a report.

    Args:
        report: what was submitted.
        expected_rows: the right rows.
        debug: put expected rows into the issues. Never on in standard play.
    """
    by_key: dict[RowKey, list[ReportRow]] = defaultdict(list)
    for row in report.valid_rows:
        by_key[row.key].append(row)
    right = {row.key: row for row in expected_rows}
    matched = [
        _compute_field_accuracies(rows, right[key]) for key, rows in by_key.items() if key in right
    ]
    breakdown = _compute_breakdown(report, matched, len(expected_rows), len(by_key))
    return FunnelGrade(breakdown, tuple(_list_issues(report, by_key, right, debug)))


def remove_scores(breakdown: RewardBreakdown, *, include_expected: bool = True) -> RewardBreakdown:
    """A breakdown with its counts and no score: all that practice submissions are told.

    Args:
        breakdown: the full one.
        include_expected: whether the number of expected rows may be told, and of missing ones.
    """
    counts = {name: n for name, n in breakdown.model_dump().items() if name.endswith("_rows")}
    if not include_expected:
        counts.update(expected_rows=0, missing_rows=0)
    return RewardBreakdown(**counts)


def values_match(submitted: float, expected: float) -> bool:
    """Whether a value is right within the tolerance."""
    absolute, relative = VALUE_TOLERANCE
    return abs(submitted - expected) <= max(absolute, relative * abs(expected))


def _compute_field_accuracies(
    rows: Sequence[ReportRow], expected_row: ReportRow
) -> dict[str, float]:
    """What a matched key earns of each weight; among repeats the worst counts.

    So hedging never helps.
    """
    worst = dict.fromkeys(SCORE_WEIGHTS, 1.0)
    for row in rows:
        for name in GRADED_NAME_FIELDS:
            if getattr(row, name) != getattr(expected_row, name):
                worst[f"{name}_accuracy"] = 0.0
        hits = sum(values_match(getattr(row, n), getattr(expected_row, n)) for n in NUMBER_FIELDS)
        worst["value_accuracy"] = min(worst["value_accuracy"], hits / len(NUMBER_FIELDS))
    return worst


def _compute_breakdown(
    report: SubmittedReport,
    matched_accuracies: Sequence[dict[str, float]],
    expected_count: int,
    unique_count: int,
) -> RewardBreakdown:
    extra, duplicates, invalid = (
        unique_count - len(matched_accuracies),
        report.duplicate_count,
        len(report.invalid_issues),
    )
    precision = len(matched_accuracies) / unique_count if unique_count else 0.0
    penalties = {
        "extra_row_penalty": _compute_penalty(extra, EXTRA_PENALTY),
        "duplicate_penalty": _compute_penalty(duplicates, DUPLICATE_PENALTY),
        "invalid_row_penalty": _compute_penalty(invalid, INVALID_PENALTY),
        "exploit_penalty": EXPLOIT_PENALTY
        if extra > max(EXPLOIT_FLOOR, 2 * expected_count)
        else 0.0,
    }
    if expected_count:
        shares = {
            name: add_up(each[name] for each in matched_accuracies) / expected_count
            for name in SCORE_WEIGHTS
        }
        earned = (
            precision * add_up(SCORE_WEIGHTS[name] * share for name, share in shares.items()) / 100
        )
        total = min(max(earned - add_up(penalties.values()), 0.0), 1.0)
    else:
        # Nothing to find: the empty report is the whole answer, and shares have no meaning.
        precision = total = 0.0 if report.submitted_count else 1.0
        shares = dict.fromkeys(SCORE_WEIGHTS, total)
    parts = {"precision": precision, **shares, **penalties, "total_score": total}
    return RewardBreakdown(
        **{name: round(part, SCORE_DECIMALS) for name, part in parts.items()},
        matched_rows=len(matched_accuracies),
        expected_rows=expected_count,
        submitted_rows=report.submitted_count,
        valid_submitted_rows=len(report.valid_rows),
        extra_rows=extra,
        duplicate_rows=duplicates,
        invalid_rows=invalid,
        missing_rows=expected_count - len(matched_accuracies),
    )


def _compute_penalty(row_count: int, per_row_and_max: tuple[float, float]) -> float:
    each, most = per_row_and_max
    return min(each * row_count, most)


def _list_issues(
    report: SubmittedReport,
    rows_by_key: dict[RowKey, list[ReportRow]],
    expected_by_key: dict[RowKey, ReportRow],
    debug: bool,
) -> list[SubmissionIssue]:
    """Remarks in plain words. Right values and the keys of missing rows only in debug."""
    issues = list(report.invalid_issues)
    for key, rows in rows_by_key.items():
        issues.extend(build_duplicate_row_issue(row) for row in rows[1:])
        answer = expected_by_key.get(key)
        for issue_type, message in _list_row_issues(rows, answer):
            issues.append(
                SubmissionIssue(
                    row_key=key.as_text(),
                    issue_type=issue_type,
                    message=message,
                    submitted_row=rows[0].as_dict(),
                    expected_row=answer.as_dict() if debug and answer else None,
                )
            )
    missing = [row for key, row in expected_by_key.items() if key not in rows_by_key]
    if missing and not debug:
        message = f"Expected rows that were not reported: {len(missing)}."
        return [*issues, SubmissionIssue(row_key="", issue_type="missing_row", message=message)]
    return issues + [
        SubmissionIssue(
            row_key=row.key.as_text(),
            issue_type="missing_row",
            message="This row was not reported.",
            expected_row=row.as_dict(),
        )
        for row in missing
    ]


def _list_row_issues(
    rows: Sequence[ReportRow], expected_row: ReportRow | None
) -> list[tuple[str, str]]:
    if expected_row is None:
        return [("extra_row", "The reporting policy asks for no such row on this date.")]
    remarks = [
        (f"wrong_{name}", f"{name} is not what the reporting policy gives this row.")
        for name in GRADED_NAME_FIELDS
        if any(getattr(row, name) != getattr(expected_row, name) for row in rows)
    ]
    remarks += [
        (f"wrong_{name}", f"{name} is not what the tools show for this row.")
        for name in NUMBER_FIELDS
        if any(not values_match(getattr(row, name), getattr(expected_row, name)) for row in rows)
    ]
    return remarks
