"""What a report is worth: parts of a root for nearby rows, minus the costs of wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drilldown_next.episode import ReportRow

PLACE_WEIGHT = 0.3
"""Credit for overlap of segment and days."""
EXACT_PLACE_WEIGHT = 0.4
"""Credit for the exact segment and days."""
CHANGE_WEIGHT = 0.3
"""Credit for the right change, if segment and days are exact."""
WRONG_ROW_COST = 1.0
"""Cost of a row that meets no root."""
EXTRA_ROW_COST = 0.5
"""Cost of a row that meets only roots which other rows answer."""


@dataclass(frozen=True)
class Grade:
    """The grade of a report.

    Attributes:
        score: from 0 to 1.
        credits: credit for each root, from 0 to 1.
        costs: costs of the rows that answer no root.
    """

    score: float
    credits: tuple[float, ...]
    costs: float


def grade_report(rows: Sequence[ReportRow], roots: Sequence[ReportRow]) -> Grade:
    """Grade a report.

    Rows are matched one to one with roots, for the largest score.

    Args:
        rows: rows of the report.
        roots: rows of the correct report.
    """
    if not roots:
        return Grade(0.0 if rows else 1.0, (), WRONG_ROW_COST * len(rows))
    table = [[compute_credit(row, root) for root in roots] for row in rows]
    cost_by_row = [
        EXTRA_ROW_COST if any(credit > 0.0 for credit in credits) else WRONG_ROW_COST
        for credits in table
    ]
    # Best total for each set of answered roots, with the row that answers each root.
    best: dict[tuple[int | None, ...], float] = {(None,) * len(roots): 0.0}
    for number, credits in enumerate(table):
        extended: dict[tuple[int | None, ...], float] = {}
        for answers, total in best.items():
            _keep_larger(extended, answers, total - cost_by_row[number])
            for root, credit in enumerate(credits):
                if answers[root] is None and credit > 0.0:
                    answered = (*answers[:root], number, *answers[root + 1 :])
                    _keep_larger(extended, answered, total + credit)
        best = _drop_dominated(extended)
    answers, total = max(best.items(), key=lambda item: item[1])
    credits_by_root = tuple(
        0.0 if row is None else table[row][root] for root, row in enumerate(answers)
    )
    used = {row for row in answers if row is not None}
    costs = sum(cost for number, cost in enumerate(cost_by_row) if number not in used)
    return Grade(max(0.0, total) / len(roots), credits_by_root, costs)


def compute_credit(row: ReportRow, root: ReportRow) -> float:
    """Return the credit of a row for a root, from 0 (another step, people or days) to 1."""
    if row.step != root.step:
        return 0.0
    ours, theirs = set(row.segment), set(root.segment)
    values = len(ours & theirs) / len(ours | theirs)
    common_days = min(row.last, root.last) - max(row.first, root.first) + 1
    all_days = max(row.last, root.last) - min(row.first, root.first) + 1
    days = max(common_days, 0) / all_days
    credit = PLACE_WEIGHT * values * days
    if values == days == 1.0:
        credit += EXACT_PLACE_WEIGHT
        if row.change == root.change:
            credit += CHANGE_WEIGHT
    return credit


def _keep_larger(
    totals: dict[tuple[int | None, ...], float], answers: tuple[int | None, ...], total: float
) -> None:
    if total > totals.get(answers, float("-inf")):
        totals[answers] = total


def _drop_dominated(
    totals: dict[tuple[int | None, ...], float],
) -> dict[tuple[int | None, ...], float]:
    """Keep the best way to answer each set of roots, so that the number of ways stays small."""
    best: dict[tuple[bool, ...], tuple[int | None, ...]] = {}
    for answers in totals:
        answered = tuple(row is not None for row in answers)
        if answered not in best or totals[answers] > totals[best[answered]]:
            best[answered] = answers
    return {answers: totals[answers] for answers in best.values()}
