"""Draws the score of a report as a waterfall chart with explanations."""

from __future__ import annotations

from collections.abc import Iterator

from metric_tracker_rl.engine.grading.grader import (
    DUPLICATE_PENALTY,
    EXPLOIT_FLOOR,
    EXTRA_PENALTY,
    INVALID_PENALTY,
    SCORE_WEIGHTS,
)
from metric_tracker_rl.wire_models import SCORE_PENALTIES, RewardBreakdown
from openenv_kit.page.components.elements import humanize
from openenv_kit.page.components.waterfall import ScorePart, waterfall_chart_html

NOTHING_TO_FIND = "There was nothing to find: the empty report scores 1, any other 0."


def score_waterfall_html(breakdown: RewardBreakdown) -> str:
    """Return the HTML of a waterfall chart that shows how a report's score was computed.

    The score is the sum of weighted shares, multiplied by the precision, minus the penalties. If
    no rows were expected, a short explanation replaces the parts of the chart.
    """
    if not breakdown.expected_rows:
        return waterfall_chart_html([], breakdown.total_score, NOTHING_TO_FIND)
    parts = list(_iter_score_parts(breakdown))
    total_change = sum(part.change for part in parts)
    note = "A score is never below 0." if total_change < -1e-9 else ""
    return waterfall_chart_html(parts, breakdown.total_score, note)


def _iter_score_parts(breakdown: RewardBreakdown) -> Iterator[ScorePart]:
    earned = 0.0
    for name, weight in SCORE_WEIGHTS.items():
        change = weight / 100 * breakdown[name]
        earned += change
        yield ScorePart(humanize(name), change, _explain_score_share(name, weight, breakdown))
    unique_count = breakdown.matched_rows + breakdown.extra_rows
    precision_text = "No valid row was submitted."
    if unique_count:
        precision_text = (
            f"{breakdown.matched_rows} of {unique_count} different submitted rows were expected: "
            f"the sum of the shares is multiplied by {breakdown.precision:.4g}."
        )
    change = earned * breakdown.precision - earned
    yield ScorePart("precision", change, precision_text, factor=breakdown.precision)
    for name in SCORE_PENALTIES:
        if breakdown[name]:
            yield ScorePart(humanize(name), -breakdown[name], _explain_penalty(name, breakdown))


def _explain_score_share(
    component_name: str, weight_percent: int, breakdown: RewardBreakdown
) -> str:
    weight = weight_percent / 100
    if component_name == "recall":
        return (
            f"{breakdown.matched_rows} of {breakdown.expected_rows} expected rows were found: "
            f"{weight:g} × {breakdown.recall:.4g}."
        )
    if component_name == "value_accuracy":
        subject = "values are"
    else:
        subject = f"the {humanize(component_name.removesuffix('_accuracy'))} is"
    return (
        f"Over all expected rows {subject} right in {breakdown[component_name]:.0%}; "
        f"a missing row counts as wrong: {weight:g} × {breakdown[component_name]:.4g}."
    )


def _explain_penalty(penalty_name: str, breakdown: RewardBreakdown) -> str:
    if penalty_name == "exploit_penalty":
        return (
            f"Applied once: {breakdown.extra_rows} extra rows are more than {EXPLOIT_FLOOR} and "
            "more than twice the expected rows."
        )
    row_kind, row_count, penalty = {
        "extra_row_penalty": ("Extra", breakdown.extra_rows, EXTRA_PENALTY),
        "duplicate_penalty": ("Duplicate", breakdown.duplicate_rows, DUPLICATE_PENALTY),
        "invalid_row_penalty": ("Invalid", breakdown.invalid_rows, INVALID_PENALTY),
    }[penalty_name]
    return f"{row_kind} rows: {row_count}. {penalty.per_row:g} each, {penalty.max_total:g} at most."
