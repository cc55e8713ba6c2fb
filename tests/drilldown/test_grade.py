"""Laws of the drill-down grade, by property."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.domains import ORDERING_APP
from metric_tracker_rl.drilldown.grade import grade, row_credit
from metric_tracker_rl.drilldown.levels import KINDS
from metric_tracker_rl.drilldown.report import InvalidRow, Report, ReportRow, stages_of

EPISODE = build_episode(DrillConfig(41, "drill_hard", "ordering_app", 3))
DATES, RIGHT = EPISODE.dates, EPISODE.expected_rows


@st.composite
def some_rows(draw: st.DrawFn) -> ReportRow:
    """A row near a right one, or anywhere."""
    if draw(st.booleans()):
        row = draw(st.sampled_from(RIGHT))
        kind = draw(st.sampled_from([row.kind, draw(st.sampled_from(KINDS))]))
        stage, segment = row.stage, dict(row.segment)
        first, last = DATES.index(row.date_from), DATES.index(row.date_to)
        if draw(st.booleans()) and segment:
            segment.pop(draw(st.sampled_from(sorted(segment))))
        if draw(st.booleans()):
            first, last = max(first - 1, 0), min(last + draw(st.integers(0, 2)), 55)
    else:
        kind = draw(st.sampled_from(KINDS))
        stage = ""
        segment = {
            dim.name: draw(st.sampled_from(dim.names))
            for dim in ORDERING_APP.dims
            if draw(st.booleans())
        }
        segment = dict(list(segment.items())[:3])
        first = draw(st.integers(0, 55))
        last = draw(st.integers(first, 55))
    if stage not in stages_of(kind, ORDERING_APP):
        stage = draw(st.sampled_from(list(stages_of(kind, ORDERING_APP))))
    change = draw(st.sampled_from(["unattributed", EPISODE.log[0].id]))
    pairs = tuple(sorted(segment.items()))
    return ReportRow(kind, stage, pairs, DATES[first], DATES[last], change)


reports = st.lists(some_rows(), max_size=7)


def score(rows: list[ReportRow], invalid: int = 0) -> float:
    report = Report(tuple(rows), (InvalidRow("", {}),) * invalid)
    return grade(report, RIGHT, DATES, ORDERING_APP).score


def meets(row: ReportRow) -> bool:
    return any(row_credit(row, root, DATES, ORDERING_APP) > 0.0 for root in RIGHT)


def test_the_right_report_is_exactly_one() -> None:
    assert len(RIGHT) >= 3
    assert score(list(RIGHT)) == 1.0
    assert score(list(RIGHT[:-1])) < 1.0


def test_without_roots_only_the_empty_report_is_right() -> None:
    assert grade(Report(), (), DATES, ORDERING_APP).score == 1.0
    assert grade(Report((RIGHT[0],)), (), DATES, ORDERING_APP).score == 0.0
    assert grade(Report((), (InvalidRow("", 1),)), (), DATES, ORDERING_APP).score == 0.0


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(reports, st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(rows: list[ReportRow], rng: random.Random) -> None:
    mixed = rows.copy()
    rng.shuffle(mixed)
    assert score(mixed) == score(rows)
    assert 0.0 <= score(rows) <= 1.0


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(reports, st.sampled_from(RIGHT))
def test_a_true_row_whose_place_is_new_never_lowers(rows: list[ReportRow], row: ReportRow) -> None:
    if all(each.place != row.place for each in rows):
        assert score([*rows, row]) >= score(rows)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(reports, some_rows())
def test_a_row_that_meets_no_root_never_raises(rows: list[ReportRow], row: ReportRow) -> None:
    if not meets(row):
        assert score([*rows, row]) <= score(rows)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(some_rows(), min_size=1, max_size=6), st.data())
def test_a_repeated_place_never_raises(rows: list[ReportRow], data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(rows))
    same_side = [kind for kind in KINDS if row.stage in stages_of(kind, ORDERING_APP)]
    kind = data.draw(st.sampled_from([row.kind, *same_side]))
    again = ReportRow(kind, row.stage, row.segment, row.date_from, row.date_to, "unattributed")
    if again.place == row.place:
        assert score([*rows, again]) <= score(rows)


@settings(max_examples=80, deadline=None)
@given(reports)
def test_an_unreadable_row_never_raises(rows: list[ReportRow]) -> None:
    assert score(rows, invalid=1) <= score(rows)


def test_flaws_cost_what_the_formula_says() -> None:
    row = RIGHT[0]
    others = list(RIGHT[1:])
    lost = 1.0 / len(RIGHT)

    def with_(**changes: str) -> float:
        fields = {**row.as_dict(), **changes}
        fields["segment"] = row.segment
        return score([ReportRow(**fields), *others])

    change = "unattributed" if row.change != "unattributed" else EPISODE.log[0].id
    assert abs(1.0 - with_(change=change) - 0.2 * lost) < 1e-6
    wider = ReportRow(row.kind, row.stage, row.segment[1:], row.date_from, row.date_to, row.change)
    dim = next(d for d in ORDERING_APP.dims if d.name == row.segment[0][0])
    jaccard = 1.0 / len(dim.values)
    assert abs(score([wider, *others]) - (1.0 - lost * (1.0 - 0.5 * jaccard))) < 1e-6


def test_surplus_rows_cost_what_the_formula_says() -> None:
    root = 1.0 / len(RIGHT)
    row = RIGHT[0]
    free = next(date for date in DATES if not any(date >= r.date_from for r in RIGHT))
    nowhere = ReportRow(row.kind, row.stage, row.segment, free, free, row.change)
    wider = ReportRow(row.kind, row.stage, (), row.date_from, row.date_to, row.change)
    for surplus, cost in ((nowhere, 1.0), (wider, 0.5), (row, 1.0)):
        assert abs(score([*RIGHT, surplus]) - (1.0 - cost * root)) < 1e-6
    assert abs(score(list(RIGHT), invalid=1) - (1.0 - root)) < 1e-6
