"""What reports are worth, and the laws that no report breaks."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from drilldown_next.episode import ReportRow
from drilldown_next.grade import grade_report
from drilldown_next.segments import DimensionValue

INDIA, IPHONE, FRANCE = DimensionValue(1, 4), DimensionValue(0, 0), DimensionValue(1, 3)
ROOT = ReportRow(1, (IPHONE, INDIA), 20, 24, "chg-03")
OTHER = ReportRow(0, (FRANCE,), 30, 35, "unattributed")


def score(*rows: ReportRow, roots=(ROOT,)) -> float:
    return grade_report(rows, roots).score


def test_exact_row_earns_one() -> None:
    assert score(ROOT) == 1.0
    assert score(ROOT, OTHER, roots=(ROOT, OTHER)) == 1.0


@pytest.mark.parametrize(
    ("row", "credit"),
    [
        (replace(ROOT, change="chg-04"), 0.7),
        (replace(ROOT, segment=(INDIA,)), 0.15),
        (replace(ROOT, last=29), 0.15),
        (replace(ROOT, segment=(INDIA,), last=29), 0.075),
        (replace(ROOT, step=0), 0.0),
        (replace(ROOT, segment=(FRANCE,)), 0.0),
        (replace(ROOT, first=25, last=29), 0.0),
    ],
)
def test_partly_right_row_earns_its_overlap(row: ReportRow, credit: float) -> None:
    assert score(row) == pytest.approx(credit)


def test_costs_of_further_rows() -> None:
    assert score(ROOT, OTHER, roots=(ROOT, replace(OTHER, step=2))) == 0.0
    assert score(ROOT, replace(ROOT, last=25), roots=(ROOT, OTHER)) == pytest.approx(0.25)


def test_without_root_only_the_empty_report_earns() -> None:
    assert score(roots=()) == 1.0
    assert score(ROOT, roots=()) == 0.0
    assert score() == 0.0


def test_rows_are_matched_for_the_largest_score() -> None:
    """The first row meets both roots, but the second meets only the first of them."""
    roots = (replace(OTHER, first=10, last=19), replace(OTHER, first=20, last=29))
    rows = (replace(OTHER, first=15, last=29), replace(OTHER, first=10, last=14))
    grade = grade_report(rows, roots)
    assert grade.credits == pytest.approx((0.15, 0.2))
    assert grade.costs == 0.0


def random_row(dice: random.Random) -> ReportRow:
    pool = [INDIA, FRANCE, IPHONE, DimensionValue(0, 1)]
    segment = tuple(sorted(dice.sample(pool, dice.randint(1, 2))))
    first = dice.randrange(15, 40)
    change = dice.choice(["chg-03", "chg-04", "unattributed"])
    return ReportRow(dice.randrange(2), segment, first, first + dice.randrange(8), change)


def test_laws_hold_for_2000_random_reports() -> None:
    dice = random.Random(7)
    for _ in range(2000):
        roots = dice.sample([ROOT, OTHER, replace(ROOT, first=40, last=45)], dice.randint(1, 3))
        rows = [dice.choice(roots) if dice.random() < 0.3 else random_row(dice) for _ in range(5)]
        rows = list({row.place: row for row in rows}.values())[: dice.randint(0, 5)]
        earned = score(*rows, roots=roots)
        assert 0.0 <= earned <= 1.0
        shuffled = dice.sample(rows, len(rows))
        assert score(*shuffled, roots=roots) == pytest.approx(earned)
        root = dice.choice(roots)
        if root.place not in {row.place for row in rows}:
            assert score(*rows, root, roots=roots) >= earned - 1e-12
        stray = ReportRow(2, (INDIA,), 0, 5, "unattributed")
        assert score(*rows, stray, roots=roots) <= earned
