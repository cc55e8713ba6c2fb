"""Draws the calendar of a product's episode.

Its entries are of the same kinds as in the built-in funnel, and their effects fit the product's
series and hours. Closed days, on which the product has no events, have neither entries nor
anomalies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metric_tracker_rl.engine.definitions.funnel import Funnel, HourRange
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.thresholds import get_policy_limits
from metric_tracker_rl.engine.generation.calendar import (
    DECOY_THRESHOLD_MULTIPLES,
    HOLIDAY,
    LATE_DATA,
    LATE_DATA_FIRST_HOURS,
    LATE_DATA_SHARE_RANGE,
    PROMOTION,
    RELEASE,
    CalendarEntry,
    CalendarPlan,
)
from metric_tracker_rl.engine.generation.room_of_day import MAX_DROP, MAX_RATE_FRACTION
from metric_tracker_rl.engine.generation.total_effects import ScaleTotals
from metric_tracker_rl.engine.reporting_policy.baselines import (
    reorder_so_last_days_differ_in_weekday,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray
from openenv_kit.bitstream import BitStream

DAILY_LATE_DATA_SHARE_RANGE = (0.40, 0.70)
"""Range of the share of a day's events that have arrived, for products with daily counts."""


def list_open_days(clean: IntArray) -> list[int]:
    """Return the indices of the open days, which are those with events in the first stage."""
    has_events: list[int] = np.flatnonzero(clean[..., 0].sum(axis=-1)).tolist()
    return has_events


def draw_product_calendar(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, clean: IntArray
) -> CalendarPlan:
    """Draw the calendar of an episode of a product.

    The last day gets a late-data entry if it is open, that is, if it has events. Randomly chosen
    other open days get holidays, promotions and release notes in turn.

    Args:
        stream: random stream.
        funnel: funnel of the product.
        level: level with the thresholds and the number of entries.
        clean: hourly counts without the effects of the entries, shape (days, hours, stages).
    """
    open_days = list_open_days(clean)
    last_day = level.days - 1
    is_last_day_open = last_day in open_days
    days = open_days[:-1] if is_last_day_open else open_days
    free_days = reorder_so_last_days_differ_in_weekday(stream.shuffled_copy(days), level.baseline)
    entries = [_draw_late_data(stream, funnel, last_day)] if is_last_day_open else []
    draw_functions = (_draw_holiday, _draw_promotion, _draw_release)
    for number in range(min(level.decoys - len(entries), len(free_days))):
        day = free_days.pop()
        draw_entry = draw_functions[number % len(draw_functions)]
        entries.append(draw_entry(stream, funnel, level, day, clean[day].sum(axis=0).tolist()))
    return CalendarPlan(tuple(entries), free_days)


def _draw_holiday(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int, totals: Sequence[int]
) -> CalendarEntry:
    """Create a calendar entry for a public holiday, which lowers traffic by a random amount."""
    threshold = get_policy_limits(funnel, level).thresholds[0]
    drop = min(MAX_DROP, threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES))
    return CalendarEntry(
        day=day,
        kind=HOLIDAY,
        title="Public holiday",
        explains=funnel.event_count_names,
        effects=(_scale_totals(funnel, totals, 1.0 - drop),),
    )


def _draw_promotion(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int, totals: Sequence[int]
) -> CalendarEntry:
    """Create a calendar entry for a promotion, which raises traffic.

    If possible, it also raises the rate of one step, chosen at random.
    """
    limits = get_policy_limits(funnel, level)
    traffic_gain = limits.thresholds[0] * stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    rate_multiple = stream.uniform(*DECOY_THRESHOLD_MULTIPLES)
    gains_by_stage = {
        stage: rate_multiple * limits.thresholds[funnel.columns.column_of_step_rate_into(stage)]
        for stage in funnel.step_stage_indices
    }
    stages = [
        stage
        for stage, gain in gains_by_stage.items()
        if totals[stage] * (1.0 + gain) <= MAX_RATE_FRACTION * totals[stage - 1]
    ]
    explains = [*funnel.event_count_names]
    factors = [1.0 + traffic_gain] * len(totals)
    if stages:
        raised = stream.choose(stages)
        explains += [funnel.step_rate_names[raised - 1], *funnel.composite_rate_names]
        for stage in range(raised, len(totals)):
            factors[stage] *= 1.0 + gains_by_stage[raised]
    return CalendarEntry(
        day=day,
        kind=PROMOTION,
        title="One-day promotion",
        explains=tuple(explains),
        effects=(ScaleTotals(tuple(factors), funnel.daytime),),
    )


def _draw_release(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, day: int, totals: Sequence[int]
) -> CalendarEntry:
    """Create a release note about the trial of a new page, which lowers a random step rate."""
    stage = stream.choose(funnel.step_stage_indices)
    column = funnel.columns.column_of_step_rate_into(stage)
    threshold = get_policy_limits(funnel, level).thresholds[column]
    loss = min(MAX_DROP, threshold * stream.uniform(*DECOY_THRESHOLD_MULTIPLES))
    factors = tuple(1.0 - loss if each >= stage else 1.0 for each in range(len(totals)))
    return CalendarEntry(
        day=day,
        kind=RELEASE,
        title=f"Release: trial of a new {funnel.stages[stage].event.replace('_', ' ')} page",
        explains=(
            *funnel.event_count_names[stage:],
            *funnel.step_rate_names[stage - 1 :],
            *funnel.composite_rate_names,
        ),
        effects=(ScaleTotals(factors, funnel.daytime),),
    )


def _draw_late_data(stream: BitStream, funnel: Funnel, day: int) -> CalendarEntry:
    """Create a calendar entry for a day on which some events have not arrived yet.

    The entry explains all series, because rates computed from few events are uncertain.
    """
    if funnel.daytime is None:
        share = stream.uniform(*DAILY_LATE_DATA_SHARE_RANGE)
        title = "Events of this day are still arriving"
        effect = ScaleTotals((share,) * len(funnel.stages), None)
    else:
        earliest, latest = LATE_DATA_FIRST_HOURS
        first_hour = earliest + stream.integer_below(latest - earliest + 1)
        share = stream.uniform(*LATE_DATA_SHARE_RANGE)
        title = f"Events from hour {first_hour} on are still arriving"
        effect = ScaleTotals(
            (share,) * len(funnel.stages), None, HourRange(first_hour, funnel.hours_per_day)
        )
    return CalendarEntry(
        day=day,
        kind=LATE_DATA,
        title=title,
        explains=funnel.daily_series_names,
        effects=(effect,),
    )


def _scale_totals(funnel: Funnel, totals: Sequence[int], factor: float) -> ScaleTotals:
    return ScaleTotals((factor,) * len(totals), funnel.daytime)
