"""The grader: a report and the right rows in, a score in [0, 1] out.

    place = D·S    D = 1 if both dates are right, else ½·Jaccard(days)
                   S = 1 if the segment is right, else ½·Jaccard(leaves)
    row   = place × (0.50 + 0.30·[kind right] + 0.20·[change right])
            0 unless stage and side agree and some day and some people are common
    score = max(0, matched − cost) / roots; without roots 1 for the empty report, else 0

Rows are matched one-to-one for the largest total. It costs 1 for a row that meets no root, ½ for
one that meets only roots already answered, 1 for a repeated place and 1 for a row that cannot be
read. Of two rows of one place the worse counts. So the order of rows never matters; an added true
row never lowers the score; a row that meets no root, or repeats a place, never raises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.report import Report, ReportRow

PLACE, KIND, CHANGE = 0.5, 0.3, 0.2
"""Worth of a right place alone, and of the two fields beside it."""
LOOSE = 0.5
"""Factor on an overlap that is not exact."""
UNMET, SPENT, REPEATED, UNREADABLE = 1.0, 0.5, 1.0, 1.0
"""Costs of a row."""
DECIMALS = 6


@dataclass(frozen=True)
class RootCredit:
    """What one root was worth.

    Attributes:
        root: the right row.
        credit: in [0, 1].
        row: the submitted row that earned it, if any.
    """

    root: ReportRow
    credit: float
    row: ReportRow | None


@dataclass(frozen=True)
class Grade:
    """A graded report.

    Attributes:
        score: in [0, 1], six decimals.
        matched: sum of the credits.
        cost: what surplus rows cost.
        credits: one for each root, in the order of the right report.
    """

    score: float
    matched: float
    cost: float
    credits: tuple[RootCredit, ...]


def grade(
    report: Report, expected: Sequence[ReportRow], dates: Sequence[str], domain: Domain
) -> Grade:
    """Grade a report.

    Args:
        report: what was submitted.
        expected: the right rows.
        dates: ISO dates of the episode, in order.
        domain: the product, for the sizes of segments.
    """
    ordered = sorted(report.rows, key=_by_place)
    places = [list(same) for _, same in groupby(ordered, key=lambda row: row.place)]
    repeated = sum(len(same) - 1 for same in places)
    cost = REPEATED * repeated + UNREADABLE * len(report.invalid)
    values = [
        [min(row_credit(row, root, dates, domain) for row in same) for root in expected]
        for same in places
    ]
    owner = _matching(values, len(expected))
    matched = 0.0
    credits = []
    for root_number, root in enumerate(expected):
        place = owner[root_number]
        credit = values[place][root_number] if place is not None else 0.0
        matched += credit
        row = places[place][0] if place is not None and credit > 0.0 else None
        credits.append(RootCredit(root, round(credit, DECIMALS), row))
    used = {place for place in owner if place is not None}
    for number, row_values in enumerate(values):
        if number not in used or not any(row_values):
            cost += SPENT if any(row_values) else UNMET
    if not expected:
        score = 0.0 if report.submitted else 1.0
    else:
        score = max(0.0, matched - cost) / len(expected)
    return Grade(round(score, DECIMALS), round(matched, DECIMALS), cost, tuple(credits))


def row_credit(row: ReportRow, root: ReportRow, dates: Sequence[str], domain: Domain) -> float:
    """Worth of a row as the answer to a root, in [0, 1]."""
    if row.stage != root.stage or row.is_traffic != root.is_traffic:
        return 0.0
    days = _days_in_common(row, root, dates)
    people = _people_in_common(row, root, domain)
    place = (1.0 if days == 1.0 else LOOSE * days) * (1.0 if people == 1.0 else LOOSE * people)
    if row.kind == root.kind and row.change == root.change:
        return place  # so that a perfect row is exactly 1
    return place * (PLACE + KIND * (row.kind == root.kind) + CHANGE * (row.change == root.change))


def _days_in_common(row: ReportRow, root: ReportRow, dates: Sequence[str]) -> float:
    """Jaccard index of two runs of days."""
    (a, b), (c, d) = (
        (dates.index(each.date_from), dates.index(each.date_to)) for each in (row, root)
    )
    common = min(b, d) - max(a, c) + 1
    return 0.0 if common <= 0 else common / (max(b, d) - min(a, c) + 1)


def _people_in_common(row: ReportRow, root: ReportRow, domain: Domain) -> float:
    """Jaccard index of two segments' leaves."""
    one, other = dict(row.segment), dict(root.segment)
    first = second = common = 1
    for dim in domain.dims:
        size = len(dim.values)
        first *= 1 if dim.name in one else size
        second *= 1 if dim.name in other else size
        if dim.name in one and dim.name in other:
            common *= one[dim.name] == other[dim.name]
        elif dim.name not in one and dim.name not in other:
            common *= size
    return common / (first + second - common)


def _by_place(row: ReportRow) -> tuple[str, ...]:
    pairs = ",".join(f"{name}={value}" for name, value in row.segment)
    return row.stage, str(row.is_traffic), pairs, row.date_from, row.date_to, row.kind, row.change


def _matching(values: list[list[float]], roots: int) -> list[int | None]:
    """The place that answers each root, for the largest total.

    Exhaustive over subsets of roots: place by place, the best total for each set of answered
    roots. Ties go to the earlier place, so that the result does not depend on the order of rows.
    """
    best: dict[int, tuple[float, tuple[int | None, ...]]] = {0: (0.0, (None,) * roots)}
    for place, row_values in enumerate(values):
        if not any(row_values):
            continue
        following = dict(best)
        for answered, (total, owner) in best.items():
            for root, value in enumerate(row_values):
                bit = 1 << root
                if value <= 0.0 or answered & bit:
                    continue
                candidate = total + value
                known = following.get(answered | bit)
                if known is None or candidate > known[0]:
                    taken = (*owner[:root], place, *owner[root + 1 :])
                    following[answered | bit] = (candidate, taken)
        best = following
    return list(max(best.values(), key=lambda each: each[0])[1])
