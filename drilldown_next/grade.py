"""What a report is worth: parts of a root for nearby rows, minus the costs of wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

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
    candidates = [
        [None, *(row for row, credits in enumerate(table) if credits[root] > 0.0)]
        for root in range(len(roots))
    ]
    best: Grade | None = None
    for answers in product(*candidates):
        used = [row for row in answers if row is not None]
        if len(set(used)) == len(used):
            credits = tuple(
                0.0 if row is None else table[row][root] for root, row in enumerate(answers)
            )
            costs = sum(cost for row, cost in enumerate(cost_by_row) if row not in used)
            score = max(0.0, sum(credits) - costs) / len(roots)
            if best is None or (score, sum(credits)) > (best.score, sum(best.credits)):
                best = Grade(score, credits, costs)
    assert best is not None
    return best


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
