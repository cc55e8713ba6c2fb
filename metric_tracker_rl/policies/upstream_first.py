"""Policies that start from flagged rows: all of them, or the most upstream one of each day.

The latter is half of the reporting policy, and so the baseline that readers must beat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.policies.base import (
    Observed,
    Play,
    Row,
    flagged_rows,
    policy,
    submit,
    unexplained_rows,
)

_STEPS = tuple(zip(ORDERING_APP.steps, ORDERING_APP.step_rates, strict=True))
_FIRST, *_LATER = ORDERING_APP.counts
_AHEAD = (*ORDERING_APP.quality_checks, ORDERING_APP.mix, _FIRST)

STEPS_FIRST: tuple[str, ...] = (
    *_AHEAD,
    *chain.from_iterable(_STEPS),
    *ORDERING_APP.composite_rates,
    *_LATER,
)
"""Entities from the most upstream one: what a day is made of, then steps, then later counts."""
STAGES_FIRST: tuple[str, ...] = (
    *_AHEAD,
    *chain.from_iterable(
        (count, step, rate) for (step, rate), count in zip(_STEPS, _LATER, strict=True)
    ),
    *ORDERING_APP.composite_rates,
)
"""The same stage by stage: a count stands before the step into its stage."""
SUBMISSIONS = 5


@policy("report_all", panel=True)
def report_all(_: Observed) -> Play:
    """Submits every row that any generator flags."""
    yield submit((yield from flagged_rows()))


@policy("upstream_first", panel=True)
def upstream_first(_: Observed) -> Play:
    """Submits the most upstream flagged row of each day, leaving out what a calendar explains."""
    rows = yield from unexplained_rows()
    yield submit(list(_first_of_each_day(rows, STEPS_FIRST).values()))


@policy("upstream_first_practice", submissions=SUBMISSIONS)
def upstream_first_practice(_: Observed) -> Play:
    """The same with practice: days with few flagged rows are tried with a count for a rate."""
    rows = yield from unexplained_rows()
    # A traffic-mix shift may share its day, so it takes no place from the day's other rows.
    shifts = [row for row in rows if row["entity_name"] == ORDERING_APP.mix]
    rows = [row for row in rows if row not in shifts]
    choice = _first_of_each_day(rows, STEPS_FIRST)
    other = _first_of_each_day(rows, STAGES_FIRST)
    flagged = Counter(row["date"] for row in rows)
    # Lost or doubled events flag fewer rows than a step that moved and all that follows it.
    doubtful = sorted((d for d in choice if choice[d] != other[d]), key=lambda d: flagged[d])
    reply = yield submit([*shifts, *choice.values()])
    best = reply["correct_row_count"]
    while not reply["done"]:
        wrong = len(shifts) + len(choice) - best
        dates, doubtful = doubtful[:wrong], doubtful[wrong:]
        trial = {**choice, **{date: other[date] for date in dates}}
        reply = yield submit([*shifts, *trial.values()])
        if reply["correct_row_count"] > best:
            choice, best = trial, reply["correct_row_count"]


def _first_of_each_day(rows: Sequence[Row], order: Sequence[str]) -> dict[str, Row]:
    """By date, the row whose entity stands first in an order."""
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda each: order.index(each["entity_name"])):
        first.setdefault(row["date"], row)
    return first
