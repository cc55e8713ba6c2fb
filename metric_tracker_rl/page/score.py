"""The score of a report as a waterfall, with the numbers that each part comes from."""

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
from openenv_kit.page.components.waterfall import ScorePart, waterfall_html

NOTHING_TO_FIND = "Nothing was to be found: the empty report scores 1, any other 0."


def score_waterfall_html(got: RewardBreakdown) -> str:
    """Precision × (weighted shares) − penalties, at least 0, bar by bar."""
    if not got.expected_rows:
        return waterfall_html([], got.total_score, NOTHING_TO_FIND)
    parts = list(_parts(got))
    below = sum(each.change for each in parts)
    why = "A score is never below 0." if below < -1e-9 else ""
    return waterfall_html(parts, got.total_score, why)


def _parts(got: RewardBreakdown) -> Iterator[ScorePart]:
    earned = 0.0
    for name, weight in SCORE_WEIGHTS.items():
        change = weight / 100 * got[name]
        earned += change
        yield ScorePart(humanize(name), change, _share_text(name, weight, got))
    unique = got.matched_rows + got.extra_rows
    yield ScorePart(
        "× precision",
        earned * got.precision - earned,
        f"Of {unique} different rows submitted {got.matched_rows} were expected: what was earned "
        f"is multiplied by {got.precision:.4g}."
        if unique
        else "No row was submitted that could be read.",
    )
    for name in SCORE_PENALTIES:
        if got[name]:
            yield ScorePart(humanize(name), -got[name], _penalty_text(name, got))


def _share_text(name: str, weight: int, got: RewardBreakdown) -> str:
    if name == "recall":
        return (
            f"Of {got.expected_rows} expected rows {got.matched_rows} were found: "
            f"{weight / 100:g} × {got.recall:.4g}."
        )
    what = humanize(name.removesuffix("_accuracy"))
    verb = "are" if name.startswith("value") else "is"
    noun = "values" if name.startswith("value") else f"the {what}"
    return (
        f"Over all expected rows {noun} {verb} right in {got[name]:.0%}; a missing row counts as "
        f"wrong: {weight / 100:g} × {got[name]:.4g}."
    )


def _penalty_text(name: str, got: RewardBreakdown) -> str:
    if name == "exploit_penalty":
        return (
            f"Taken once: {got.extra_rows} rows too many are more than {EXPLOIT_FLOOR} and more "
            "than twice the expected ones."
        )
    count, (each, most) = {
        "extra_row_penalty": (got.extra_rows, EXTRA_PENALTY),
        "duplicate_penalty": (got.duplicate_rows, DUPLICATE_PENALTY),
        "invalid_row_penalty": (got.invalid_rows, INVALID_PENALTY),
    }[name]
    what = {
        "extra_row_penalty": "that nobody asked for",
        "duplicate_penalty": "repeated",
        "invalid_row_penalty": "not readable",
    }[name]
    return f"Rows {what}: {count}. {each:g} each, {most:g} at most."
