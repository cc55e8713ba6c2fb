"""Deterministic grader that computes a score in [0, 1] from a report and the expected rows.

total = precision × (0.60 recall + 0.12 anomaly_type + 0.10 detection_method + 0.12 values
+ 0.06 severity) − penalties, clipped to [0, 1]. Recall and the four field accuracies are averaged
over the *expected* rows, so a missing row earns nothing. Tests check these properties: the score
does not depend on the order of rows, nor on how a number is written (as a number, or as text of at
most 64 characters); an additional wrong row never raises the score; an additional expected row
whose key was not reported yet never lowers it; an additional row whose key was already reported,
expected or not, never raises it; a perfect report scores exactly 1.0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.report_row import (
    GRADED_NAME_FIELDS,
    NUMBER_FIELDS,
    ReportRow,
    RowKey,
)
from metric_tracker_rl.engine.report.parse_report import SubmittedReport, build_duplicate_row_issue
from metric_tracker_rl.wire_models import RewardBreakdown, SubmissionIssue
from openenv_kit.float_sum import sum_left_to_right


class ValueTolerance(NamedTuple):
    """Largest difference from the expected number at which a submitted number counts as correct.

    A number is correct if it is within at least one of the two limits.

    Attributes:
        absolute: in the unit of the number.
        relative: as a fraction of the expected number.
    """

    absolute: float
    relative: float


class RowPenalty(NamedTuple):
    """Score penalty for one kind of row.

    Attributes:
        per_row: penalty for each row of this kind.
        max_total: upper limit of the total penalty for rows of this kind.
    """

    per_row: float
    max_total: float


class RowRemark(NamedTuple):
    """Type and message of an issue with a submitted row."""

    issue_type: str
    message: str


SCORE_WEIGHTS: dict[str, int] = {
    "recall": 60,
    "anomaly_type_accuracy": 12,
    "detection_method_accuracy": 10,
    "value_accuracy": 12,
    "severity_accuracy": 6,
}
"""Weights in hundredths. They are integers so that the weights of a perfect report sum to exactly
1.
"""

VALUE_TOLERANCE = ValueTolerance(absolute=0.01, relative=0.02)

EXTRA_PENALTY = RowPenalty(per_row=0.03, max_total=0.5)
DUPLICATE_PENALTY = RowPenalty(per_row=0.04, max_total=0.4)
INVALID_PENALTY = RowPenalty(per_row=0.05, max_total=0.4)

EXPLOIT_PENALTY = 0.15
"""Penalty if the extra rows exceed both `EXPLOIT_FLOOR` and twice the number of expected rows."""
EXPLOIT_FLOOR = 4

SCORE_DECIMALS = 6


@dataclass(frozen=True)
class FunnelGrade:
    """Result of grading a report.

    Attributes:
        breakdown: score, precision, recall, field accuracies, penalties and row counts.
        issues: errors found in the report, which are shown only after the episode.
    """

    breakdown: RewardBreakdown
    issues: tuple[SubmissionIssue, ...]

    @property
    def score(self) -> float:
        """Total score in [0, 1]."""
        return self.breakdown.total_score


def grade_report(
    report: SubmittedReport,
    expected_rows: Sequence[ReportRow],
    *,
    include_expected_rows: bool = False,
) -> FunnelGrade:
    """Compare a report with the expected rows and return its score and its errors.

    Args:
        report: the submitted report.
        expected_rows: the rows of the correct report.
        include_expected_rows: whether the descriptions of errors contain the expected rows. This is
            True only on servers in debug mode.
    """
    rows_by_key: dict[RowKey, list[ReportRow]] = defaultdict(list)
    for row in report.valid_rows:
        rows_by_key[row.key].append(row)
    expected_by_key = {row.key: row for row in expected_rows}
    matched_accuracies = [
        _compute_worst_field_accuracies(rows, expected_by_key[key])
        for key, rows in rows_by_key.items()
        if key in expected_by_key
    ]
    breakdown = _compute_score_breakdown(
        report, matched_accuracies, expected_count=len(expected_rows), unique_count=len(rows_by_key)
    )
    issues = _list_issues_of_rows_and_missing_rows(
        report, rows_by_key, expected_by_key, include_expected_rows=include_expected_rows
    )
    return FunnelGrade(breakdown, tuple(issues))


def copy_breakdown_with_row_counts_only(
    breakdown: RewardBreakdown, *, include_expected_count: bool = True
) -> RewardBreakdown:
    """Return a copy of a score breakdown that contains only the numbers of rows.

    Replies to practice submissions contain this copy instead of the full breakdown.

    Args:
        breakdown: the full breakdown.
        include_expected_count: whether to include the numbers of expected and missing rows. If
            False, both are 0 in the copy.
    """
    counts = {name: n for name, n in breakdown.model_dump().items() if name.endswith("_rows")}
    if not include_expected_count:
        counts.update(expected_rows=0, missing_rows=0)
    return RewardBreakdown(**counts)


def is_within_value_tolerance(submitted: float, expected: float) -> bool:
    """Return whether a submitted number differs from the expected one by at most the tolerance."""
    tolerance = max(VALUE_TOLERANCE.absolute, VALUE_TOLERANCE.relative * abs(expected))
    return abs(submitted - expected) <= tolerance


def _compute_worst_field_accuracies(
    rows_of_key: Sequence[ReportRow], expected_row: ReportRow
) -> dict[str, float]:
    """Compare the submitted rows that share a key with the expected row of this key.

    Return an accuracy in [0, 1] for each name in `SCORE_WEIGHTS`; that of `recall` is always 1,
    because the row was reported. If several rows were submitted, the lowest accuracy of each field
    counts, so submitting alternatives never raises the score.
    """
    worst = dict.fromkeys(SCORE_WEIGHTS, 1.0)
    for row in rows_of_key:
        for name in GRADED_NAME_FIELDS:
            if getattr(row, name) != getattr(expected_row, name):
                worst[f"{name}_accuracy"] = 0.0
        right_values = sum(
            is_within_value_tolerance(getattr(row, name), getattr(expected_row, name))
            for name in NUMBER_FIELDS
        )
        value_accuracy = right_values / len(NUMBER_FIELDS)
        worst["value_accuracy"] = min(worst["value_accuracy"], value_accuracy)
    return worst


def _compute_score_breakdown(
    report: SubmittedReport,
    matched_accuracies: Sequence[Mapping[str, float]],
    *,
    expected_count: int,
    unique_count: int,
) -> RewardBreakdown:
    """Compute the score of a report and the components from which it is composed.

    Args:
        report: the submitted report.
        matched_accuracies: for each expected row that was reported, its accuracies by name in
            `SCORE_WEIGHTS`.
        expected_count: number of expected rows.
        unique_count: number of distinct keys among the valid rows.
    """
    matched_count = len(matched_accuracies)
    extra_count = unique_count - matched_count
    invalid_count = len(report.invalid_issues)
    penalties = {
        "extra_row_penalty": _compute_capped_penalty(extra_count, EXTRA_PENALTY),
        "duplicate_penalty": _compute_capped_penalty(
            report.valid_duplicate_count, DUPLICATE_PENALTY
        ),
        "invalid_row_penalty": _compute_capped_penalty(invalid_count, INVALID_PENALTY),
        "exploit_penalty": 0.0,
    }
    if extra_count > max(EXPLOIT_FLOOR, 2 * expected_count):
        penalties["exploit_penalty"] = EXPLOIT_PENALTY
    if expected_count:
        precision = matched_count / unique_count if unique_count else 0.0
        shares = {
            name: sum_left_to_right(accuracies[name] for accuracies in matched_accuracies)
            / expected_count
            for name in SCORE_WEIGHTS
        }
        weighted_hundredths = sum_left_to_right(
            SCORE_WEIGHTS[name] * share for name, share in shares.items()
        )
        earned = precision * weighted_hundredths / 100
        total = min(max(earned - sum_left_to_right(penalties.values()), 0.0), 1.0)
    else:
        # Without expected rows, recall is undefined: an empty report scores 1 and any other 0.
        precision = total = 0.0 if report.submitted_count else 1.0
        shares = dict.fromkeys(SCORE_WEIGHTS, total)
    components = {"precision": precision, **shares, **penalties, "total_score": total}
    return RewardBreakdown(
        **{name: round(component, SCORE_DECIMALS) for name, component in components.items()},
        matched_rows=matched_count,
        expected_rows=expected_count,
        submitted_rows=report.submitted_count,
        valid_submitted_rows=len(report.valid_rows),
        extra_rows=extra_count,
        duplicate_rows=report.valid_duplicate_count,
        invalid_rows=invalid_count,
        missing_rows=expected_count - matched_count,
    )


def _compute_capped_penalty(row_count: int, penalty: RowPenalty) -> float:
    per_row, max_total = penalty
    return min(per_row * row_count, max_total)


def _list_issues_of_rows_and_missing_rows(
    report: SubmittedReport,
    rows_by_key: Mapping[RowKey, Sequence[ReportRow]],
    expected_by_key: Mapping[RowKey, ReportRow],
    *,
    include_expected_rows: bool,
) -> list[SubmissionIssue]:
    """List all errors in a report, including the expected rows that it lacks.

    If `include_expected_rows` is False, the list neither contains expected rows nor reveals which
    rows are missing, only how many.
    """
    issues = list(report.invalid_issues)
    for key, rows in rows_by_key.items():
        issues.extend(build_duplicate_row_issue(row) for row in rows[1:])
        expected_row = expected_by_key.get(key)
        for issue_type, message in _list_wrong_fields_of_rows_with_same_key(rows, expected_row):
            issues.append(
                SubmissionIssue(
                    row_key=key.as_text(),
                    issue_type=issue_type,
                    message=message,
                    submitted_row=rows[0].as_dict(),
                    expected_row=expected_row.as_dict()
                    if include_expected_rows and expected_row
                    else None,
                )
            )
    missing = [row for key, row in expected_by_key.items() if key not in rows_by_key]
    if missing and not include_expected_rows:
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


def _list_wrong_fields_of_rows_with_same_key(
    rows_of_key: Sequence[ReportRow], expected_row: ReportRow | None
) -> list[RowRemark]:
    """Return one remark for each field that is wrong in any of the submitted rows with one key.

    If no row with this key is expected, return a single remark that says so.
    """
    if expected_row is None:
        return [RowRemark("extra_row", "The reporting policy does not ask for this row.")]
    remarks = [
        RowRemark(f"wrong_{name}", f"{name} is not what the reporting policy requires.")
        for name in GRADED_NAME_FIELDS
        if any(getattr(row, name) != getattr(expected_row, name) for row in rows_of_key)
    ]
    remarks += [
        RowRemark(f"wrong_{name}", f"{name} differs from what the tools show.")
        for name in NUMBER_FIELDS
        if any(
            not is_within_value_tolerance(getattr(row, name), getattr(expected_row, name))
            for row in rows_of_key
        )
    ]
    return remarks
