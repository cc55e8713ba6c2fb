"""Policies that start from flagged rows: all of them, or the most upstream one of each day.

The latter is half of the reporting policy, and so the baseline that readers must beat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.policies.base import (
    ObservationJson,
    PolicySteps,
    RowFields,
    build_submit_action,
    register_policy,
    request_flagged_rows,
    request_unexplained_rows,
)

_STEP_RATE_PAIRS = tuple(
    zip(ORDERING_APP.funnel_step_names, ORDERING_APP.step_rate_names, strict=True)
)
_FIRST_COUNT, *_LATER_COUNTS = ORDERING_APP.count_names
_FIRST_IN_BOTH_ORDERS = (
    *ORDERING_APP.quality_check_names,
    ORDERING_APP.mix_entity_name,
    _FIRST_COUNT,
)

STEPS_BEFORE_COUNTS: tuple[str, ...] = (
    *_FIRST_IN_BOTH_ORDERS,
    *chain.from_iterable(_STEP_RATE_PAIRS),
    *ORDERING_APP.composite_rate_names,
    *_LATER_COUNTS,
)
"""Entities from the most upstream one: what a day is made of, then steps, then later counts."""
COUNTS_BEFORE_STEPS: tuple[str, ...] = (
    *_FIRST_IN_BOTH_ORDERS,
    *chain.from_iterable(
        (count, step, rate)
        for (step, rate), count in zip(_STEP_RATE_PAIRS, _LATER_COUNTS, strict=True)
    ),
    *ORDERING_APP.composite_rate_names,
)
"""The same stage by stage: a count stands before the step into its stage."""
MAX_SUBMISSIONS = 5


@register_policy("report_all", is_baseline=True)
def submit_all_flagged_rows(_: ObservationJson) -> PolicySteps:
    """Submits every row that any generator flags."""
    yield build_submit_action((yield from request_flagged_rows()))


@register_policy("upstream_first", is_baseline=True)
def submit_most_upstream_rows(_: ObservationJson) -> PolicySteps:
    """Submits the most upstream flagged row of each day, leaving out what a calendar explains."""
    rows = yield from request_unexplained_rows()
    yield build_submit_action(list(_first_row_of_each_date(rows, STEPS_BEFORE_COUNTS).values()))


@register_policy("upstream_first_practice", max_submissions=MAX_SUBMISSIONS)
def improve_upstream_rows(_: ObservationJson) -> PolicySteps:
    """The same with practice: days with few flagged rows are tried with a count for a rate."""
    rows = yield from request_unexplained_rows()
    # A traffic-mix shift may share its day, so it takes no place from the day's other rows.
    shifts = [row for row in rows if row["entity_name"] == ORDERING_APP.mix_entity_name]
    rows = [row for row in rows if row not in shifts]
    choice = _first_row_of_each_date(rows, STEPS_BEFORE_COUNTS)
    other = _first_row_of_each_date(rows, COUNTS_BEFORE_STEPS)
    flagged = Counter(row["date"] for row in rows)
    # Lost or doubled events flag fewer rows than a step that moved and all that follows it.
    doubtful = sorted((d for d in choice if choice[d] != other[d]), key=lambda d: flagged[d])
    reply = yield build_submit_action([*shifts, *choice.values()])
    best = reply["correct_row_count"]
    while not reply["done"]:
        wrong = len(shifts) + len(choice) - best
        dates, doubtful = doubtful[:wrong], doubtful[wrong:]
        trial = {**choice, **{date: other[date] for date in dates}}
        reply = yield build_submit_action([*shifts, *trial.values()])
        if reply["correct_row_count"] > best:
            choice, best = trial, reply["correct_row_count"]


def _first_row_of_each_date(
    rows: Sequence[RowFields], order: Sequence[str]
) -> dict[str, RowFields]:
    """By date, the row whose entity stands first in an order."""
    first: dict[str, RowFields] = {}
    for row in sorted(rows, key=lambda each: order.index(each["entity_name"])):
        first.setdefault(row["date"], row)
    return first
