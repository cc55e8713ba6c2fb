"""Baseline policies that submit all flagged rows, or the most upstream flagged row of each day.

Submitting the most upstream rows applies only part of the reporting policy, so a model should beat
this baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from metric_tracker_rl.policies.base import (
    ObservationJson,
    PolicySteps,
    RowFields,
    build_submit_action,
    register_policy,
    request_flagged_rows,
    request_unexplained_flagged_rows,
)
from metric_tracker_rl.policies.funnel_names import BUILT_IN_NAMES, FunnelNames, read_funnel_names


def order_steps_before_counts(names: FunnelNames) -> tuple[str, ...]:
    """Return all entity names of a funnel, ordered from the most upstream to the most downstream.

    The checks for impossible counts and the daytime share come first. They are followed by the
    first count, the steps, the composite rates and the later counts.
    """
    steps = zip(names.funnel_breaks, names.step_rates, strict=True)
    return (
        *_list_names_first_in_both_orders(names),
        *chain.from_iterable(steps),
        *names.composite_rates,
        *names.stages[1:],
    )


def order_counts_before_steps(names: FunnelNames) -> tuple[str, ...]:
    """Return all entity names of a funnel, with each later count before the step into its stage.

    Apart from this, the order is the same as in `order_steps_before_counts`.
    """
    stages = zip(names.stages[1:], names.funnel_breaks, names.step_rates, strict=True)
    return (
        *_list_names_first_in_both_orders(names),
        *chain.from_iterable(stages),
        *names.composite_rates,
    )


def _list_names_first_in_both_orders(names: FunnelNames) -> tuple[str, ...]:
    share = () if names.daytime_share is None else (names.daytime_share,)
    return (*names.quality_checks, *share, names.stages[0])


STEPS_BEFORE_COUNTS = order_steps_before_counts(BUILT_IN_NAMES)
"""Entity names of the built-in funnel, most upstream first."""
MAX_SUBMISSIONS = 5


@register_policy("report_all", is_baseline=True)
def submit_all_flagged_rows(_: ObservationJson) -> PolicySteps:
    """Submit every row that any row generator returns."""
    yield build_submit_action((yield from request_flagged_rows()))


@register_policy("upstream_first", is_baseline=True)
def submit_most_upstream_row_per_date(reset_observation: ObservationJson) -> PolicySteps:
    """Submit the most upstream row of each day, ignoring rows that the calendar explains."""
    rows = yield from request_unexplained_flagged_rows(reset_observation)
    order = order_steps_before_counts(read_funnel_names(reset_observation))
    yield build_submit_action(
        list(_select_first_row_per_date_by_entity_order(rows, order).values())
    )


@register_policy("upstream_first_practice", max_submissions=MAX_SUBMISSIONS)
def submit_upstream_rows_then_try_counts_in_practice_submissions(
    reset_observation: ObservationJson,
) -> PolicySteps:
    """Submit the most upstream rows; try counts instead of steps in practice submissions."""
    rows = yield from request_unexplained_flagged_rows(reset_observation)
    names = read_funnel_names(reset_observation)
    # A traffic-mix shift can occur on the same day as another anomaly, so both rows are submitted.
    mix_rows = [row for row in rows if row["entity_name"] == names.daytime_share]
    rows = [row for row in rows if row not in mix_rows]
    best_rows = _select_first_row_per_date_by_entity_order(rows, order_steps_before_counts(names))
    alternatives = _select_first_row_per_date_by_entity_order(
        rows, order_counts_before_steps(names)
    )
    flagged_counts = Counter(row["date"] for row in rows)
    # Fewer rows are flagged if events are lost or duplicated than if a step changes with all its
    # consequences, so dates with few flagged rows are tried first.
    doubtful_dates = sorted(
        (date for date in best_rows if best_rows[date] != alternatives[date]),
        key=lambda date: flagged_counts[date],
    )
    reply = yield build_submit_action([*mix_rows, *best_rows.values()])
    best_count = reply["correct_row_count"]
    while not reply["done"]:
        wrong_count = len(mix_rows) + len(best_rows) - best_count
        tried_dates = doubtful_dates[:wrong_count]
        doubtful_dates = doubtful_dates[wrong_count:]
        trial = {**best_rows, **{date: alternatives[date] for date in tried_dates}}
        reply = yield build_submit_action([*mix_rows, *trial.values()])
        if reply["correct_row_count"] > best_count:
            best_rows = trial
            best_count = reply["correct_row_count"]


def _select_first_row_per_date_by_entity_order(
    rows: Sequence[RowFields], entity_name_order: Sequence[str]
) -> dict[str, RowFields]:
    """Return the row of each date whose entity name comes first in the given order, by date."""
    first_rows: dict[str, RowFields] = {}
    for row in sorted(rows, key=lambda row: entity_name_order.index(row["entity_name"])):
        first_rows.setdefault(row["date"], row)
    return first_rows
