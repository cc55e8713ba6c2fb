"""What a report is worth, field by field.

A row *meets* a root where they share a day, people, and a fixed value (or both fix none).

    place = (stage + days + values in common) / (2 + values that either fixes)
    stage = 1 for the right step and direction, else 0
    days  = 1 if both dates are right, else half the Jaccard index of the days
    row   = ½ · place, and where place = 1 also .3 for the kind and .2 for the change
    score = max(0, sum of the rows − costs) / roots; without roots 1 for the empty report, else 0

Rows are matched one-to-one with roots. A row that meets no root, or is longer than seven days,
costs 1; one that meets only answered roots costs ½. So the order of rows never matters, an added
true row never lowers the score and an added row that meets no root never raises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drilldown_env.definition import LONGEST_RUN
from drilldown_env.report import ReportRow

PLACE, KIND, CHANGE = 0.5, 0.3, 0.2
"""Worth of a place, and of the two fields beside a right one."""
LOOSE = 0.5
"""Factor on days in common that are not all."""
UNMET, SPENT = 1.0, 0.5
"""Costs of a row."""
DECIMALS = 6


@dataclass(frozen=True)
class Grade:
    """A graded report.

    Attributes:
        score: in [0, 1], six decimals.
        matched: sum of the credits.
        cost: what surplus rows cost.
        credits: of each root, in [0, 1], in the order of the right report.
    """

    score: float
    matched: float
    cost: float
    credits: tuple[float, ...]


def grade(rows: Sequence[ReportRow], expected: Sequence[ReportRow], dates: Sequence[str]) -> Grade:
    """Grade a report.

    Args:
        rows: what was submitted.
        expected: the right rows.
        dates: ISO dates of the episode, in order.
    """
    ordered = sorted(rows)
    values = [[credit_of(row, root, dates) for root in expected] for row in ordered]
    owner = _matching(values, len(expected))
    matched, credits = 0.0, []
    for number, place in enumerate(owner):
        credit = 0.0 if place is None else values[place][number]
        matched += credit
        credits.append(round(credit, DECIMALS))
    cost = 0.0
    for place, earned in enumerate(values):
        if place not in owner:
            cost += SPENT if any(earned) else UNMET
    score = max(0.0, matched - cost) / len(expected) if expected else float(not rows)
    return Grade(round(score, DECIMALS), round(matched, DECIMALS), cost, tuple(credits))


def credit_of(row: ReportRow, root: ReportRow, dates: Sequence[str]) -> float:
    """Worth of a row as the answer to a root, in [0, 1]; 0 where they do not meet."""
    place = place_of(row, root, dates)
    if place < 1.0:
        return PLACE * place
    return PLACE + KIND * (row.kind == root.kind) + CHANGE * (row.change == root.change)


def place_of(row: ReportRow, root: ReportRow, dates: Sequence[str]) -> float:
    """How near a row is to a root, in [0, 1]; 0 where they do not meet."""
    one, other = dict(row.segment), dict(root.segment)
    common = len(set(one.items()) & set(other.items()))
    either = len({**one, **other})
    if any(other.get(name, value) != value for name, value in one.items()):
        return 0.0  # they share no people
    if not common and either:
        return 0.0
    first, last = dates.index(row.date_from), dates.index(row.date_to)
    start, end = dates.index(root.date_from), dates.index(root.date_to)
    shared = min(last, end) - max(first, start) + 1
    if shared <= 0 or last - first >= LONGEST_RUN:
        return 0.0
    days = 1.0 if (first, last) == (start, end) else 0.0
    if not days:
        days = LOOSE * shared / (max(last, end) - min(first, start) + 1)
    stage = (row.stage, row.direction) == (root.stage, root.direction)
    return (stage + days + common) / (2 + either)


def _matching(values: list[list[float]], roots: int) -> list[int | None]:
    """The row that answers each root, for the largest sum.

    Exhaustive over subsets of roots: row by row, the best sum for each set of answered roots. A row
    that answers a root is spared its cost. Ties go to the earlier row.
    """
    best: dict[int, tuple[float, tuple[int | None, ...]]] = {0: (0.0, (None,) * roots)}
    for place, earned in enumerate(values):
        following = dict(best)
        for answered, (total, owner) in best.items():
            for root, value in enumerate(earned):
                bit = 1 << root
                if value <= 0.0 or answered & bit:
                    continue
                candidate = total + value + SPENT
                known = following.get(answered | bit)
                if known is None or candidate > known[0]:
                    taken = (*owner[:root], place, *owner[root + 1 :])
                    following[answered | bit] = (candidate, taken)
        best = following
    return list(max(best.values(), key=lambda each: each[0])[1])
