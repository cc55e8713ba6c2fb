"""Plans anomalies in the data of a product if the data allow large enough changes.

The types of anomalies are the same as in the built-in funnel. Sizes depend on the threshold of each
series, and the effects set the totals of the day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from metric_tracker_rl.engine.definitions.anomaly_types import (
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.severity import (
    SeverityBounds,
    is_clear_of_severity_bounds,
)
from metric_tracker_rl.engine.generation.effects import (
    AddImpossibleCounts,
    CountEffect,
    spread_excess_over_hours,
)
from metric_tracker_rl.engine.generation.planned_anomaly import (
    MIN_PLANNED_MULTIPLE,
    CleanDay,
    PlannedAnomaly,
    PlannedRoot,
)
from metric_tracker_rl.engine.generation.room_of_day import (
    LEAK_STEP_MULTIPLE,
    MAX_RATE_FRACTION,
    RoomOfDay,
    SizeRange,
)
from metric_tracker_rl.engine.generation.total_effects import (
    AddDailyExcess,
    SetDaytimeShare,
    SetTotals,
)
from openenv_kit.bitstream import BitStream

LEAK_PROBABILITY = 0.3
"""Probability that a rate anomaly is a slow leak, if a leak is possible."""
OTHER_STEPS_SHARE = (0.10, 0.25)
"""Range of the deviation of the other steps, in multiples of their thresholds."""
MIN_SHARE_MARGIN = 0.04
"""Smallest planned distance of the daytime share from 0 and from 1."""
FAULT_HOURS_RANGE = (5, 8)
"""Minimum and maximum number of hours of an instrumentation fault, limited by the daytime hours."""
MAX_FAULT_MULTIPLE = 1.5
"""Largest number of excess events, in multiples of the bound of critical severity."""

ProductPlanFunction = Callable[[BitStream, CleanDay], PlannedAnomaly | None]


def plan_rate_drop(stream: BitStream, day: CleanDay) -> PlannedAnomaly | None:
    """Plan a drop of one step rate or a slow leak; return None if neither is possible."""
    return _plan_rate_change(stream, day, -1.0, RATE_DROP)


def plan_rate_spike(stream: BitStream, day: CleanDay) -> PlannedAnomaly | None:
    """Plan a rise of one step rate or a slow gain; return None if neither is possible."""
    return _plan_rate_change(stream, day, 1.0, RATE_SPIKE)


def plan_count_drop(stream: BitStream, day: CleanDay) -> PlannedAnomaly | None:
    """Plan a drop of traffic or a loss of one stage's events.

    Return None if neither is possible.
    """
    return _plan_count_change(stream, day, -1.0, COUNT_DROP)


def plan_count_spike(stream: BitStream, day: CleanDay) -> PlannedAnomaly | None:
    """Plan a rise of traffic or a duplication of one stage's events.

    Return None if neither is possible.
    """
    return _plan_count_change(stream, day, 1.0, COUNT_SPIKE)


def plan_funnel_break(stream: BitStream, day: CleanDay) -> PlannedAnomaly | None:
    """Plan a break, in which one step almost stops working; return None if it is impossible."""
    room = RoomOfDay(day)
    stages = [s for s in day.funnel.step_stage_indices if room.get_break_sizes(s).is_possible]
    if not stages:
        return None
    stage = stream.choose(stages)
    size = stream.uniform(*room.get_break_sizes(stage))
    root = PlannedRoot(FUNNEL_STEP, day.funnel.funnel_step_names[stage - 1], FUNNEL_BREAK)
    return PlannedAnomaly(day.day, _build_step_rate_effect(day, {stage: -size}), root)


def plan_mix_shift(stream: BitStream, day: CleanDay) -> PlannedAnomaly | None:
    """Plan a shift of traffic between daytime and night; return None if it is impossible."""
    if day.funnel.daytime is None:
        return None
    column = day.funnel.columns.daytime_share
    baseline, threshold = day.baselines[column], day.limits.thresholds[column]
    smallest = MIN_PLANNED_MULTIPLE * threshold
    ranges = {
        1.0: SizeRange(smallest, 1.0 - MIN_SHARE_MARGIN - baseline),
        -1.0: SizeRange(smallest, baseline - MIN_SHARE_MARGIN),
    }
    signs = [sign for sign, sizes in ranges.items() if sizes.is_possible]
    if not signs:
        return None
    sign = stream.choose(signs)
    size = _draw_size(stream, day, ranges[sign])
    root = PlannedRoot(HOURLY_MIX, day.funnel.daytime_share_name, MIX_SHIFT)
    effect = SetDaytimeShare(day.funnel.daytime, baseline + sign * size)
    return PlannedAnomaly(day.day, effect, root)


def plan_impossible_counts(stream: BitStream, day: CleanDay) -> PlannedAnomaly | None:
    """Plan impossible counts, in which a stage records more events than the previous stage.

    Return None on a day without events.
    """
    if not day.values[0]:
        return None
    stage = stream.choose(day.funnel.step_stage_indices)
    total_events = stream.choose(_list_excess_totals(day.level.bounds_by_kind.excess))
    root = PlannedRoot(DATA_QUALITY, day.funnel.quality_check_names[stage - 1], QUALITY_ISSUE)
    effect = _build_excess_effect(stream, day, stage, total_events)
    return PlannedAnomaly(day.day, effect, root)


PRODUCT_PLANNERS: dict[str, ProductPlanFunction] = {
    RATE_DROP: plan_rate_drop,
    RATE_SPIKE: plan_rate_spike,
    COUNT_DROP: plan_count_drop,
    COUNT_SPIKE: plan_count_spike,
    FUNNEL_BREAK: plan_funnel_break,
    MIX_SHIFT: plan_mix_shift,
    QUALITY_ISSUE: plan_impossible_counts,
}
"""Planners by anomaly type. They return None if the anomaly is impossible on the day."""


@lru_cache
def _list_excess_totals(bounds: SeverityBounds) -> tuple[int, ...]:
    """Return the possible numbers of excess events, none of which is close to a severity bound."""
    totals = range(1, int(MAX_FAULT_MULTIPLE * bounds.critical) + 1)
    return tuple(events for events in totals if is_clear_of_severity_bounds(events, bounds))


def _build_excess_effect(
    stream: BitStream, day: CleanDay, stage: int, total_events: int
) -> CountEffect:
    """Return an effect that gives a stage more events than the previous stage.

    The excess is added to some daytime hours. If the funnel compares the totals of the day or has
    no daytime hours, it is added to the total.
    """
    if day.funnel.compares_daily_totals or day.funnel.daytime is None:
        return AddDailyExcess(stage, total_events)
    daytime = day.funnel.daytime
    daytime_hours = daytime.stop - daytime.start
    fewest, most = (min(hours, daytime_hours, total_events) for hours in FAULT_HOURS_RANGE)
    hours = fewest + stream.integer_below(most - fewest + 1)
    first_hour = daytime.start + stream.integer_below(daytime_hours - hours + 1)
    excess = spread_excess_over_hours(total_events, first_hour, hours)
    return AddImpossibleCounts(stage, excess)


def _draw_size(stream: BitStream, day: CleanDay, sizes: SizeRange) -> float:
    """Draw the size of a deviation at the distance from the threshold that the level prescribes.

    If no possible size has this distance, the size is drawn from all possible sizes.
    """
    threshold = sizes.smallest / MIN_PLANNED_MULTIPLE
    nearest = max(threshold * day.level.separation.nearest, sizes.smallest)
    if nearest >= sizes.largest:
        return stream.uniform(*sizes)
    return stream.uniform(nearest, min(threshold * day.level.separation.farthest, sizes.largest))


def _plan_rate_change(
    stream: BitStream, day: CleanDay, direction: float, anomaly_type: str
) -> PlannedAnomaly | None:
    """Plan a change of one step rate, or a slow leak or gain; return None if neither is possible.

    If one step rate changes, the others change slightly in the same direction, so that the
    composite rates deviate more than the root.
    """
    room = RoomOfDay(day)
    sizes_by_stage = {
        stage: room.get_rate_drop_sizes(stage) if direction < 0 else room.get_rate_rise_sizes(stage)
        for stage in day.funnel.step_stage_indices
    }
    stages = [stage for stage, sizes in sizes_by_stage.items() if sizes.is_possible]
    leak_ends = room.list_leak_ends(direction)
    if not stages and not leak_ends:
        return None
    if leak_ends and (not stages or stream.uniform() < LEAK_PROBABILITY):
        return _plan_leak(stream, room, direction, stream.choose(leak_ends), anomaly_type)
    stage = stream.choose(stages)
    size = _draw_size(stream, day, sizes_by_stage[stage])
    deviations = {
        each: direction * stream.uniform(*OTHER_STEPS_SHARE) * room.step_thresholds[each - 1]
        for each in day.funnel.step_stage_indices
    }
    deviations[stage] = direction * size
    root = PlannedRoot(CONVERSION_RATE, day.funnel.step_rate_names[stage - 1], anomaly_type)
    return PlannedAnomaly(day.day, _build_step_rate_effect(day, deviations), root)


def _plan_leak(
    stream: BitStream, room: RoomOfDay, direction: float, end_stage: int, anomaly_type: str
) -> PlannedAnomaly:
    """Plan small deviations of all step rates up to a stage so that a composite rate is flagged.

    For the shortest composite rate, all step rates deviate equally. For a longer one, the last step
    rate deviates most, so that no shorter composite rate is flagged.
    """
    day = room.day
    position = day.funnel.composite_ends.index(end_stage)
    shares = room.get_leak_shares(position, direction)
    share = stream.uniform(*shares)
    deviations = {}
    for stage in range(1, end_stage + 1):
        strength = 1.0 if position and stage == end_stage else share
        deviations[stage] = (
            direction * strength * LEAK_STEP_MULTIPLE * room.step_thresholds[stage - 1]
        )
    name = day.funnel.composite_rate_names[position]
    root = PlannedRoot(CONVERSION_RATE, name, anomaly_type)
    return PlannedAnomaly(day.day, _build_step_rate_effect(day, deviations), root)


def _plan_count_change(
    stream: BitStream, day: CleanDay, direction: float, anomaly_type: str
) -> PlannedAnomaly | None:
    """Plan a change of traffic or of the count of one inner stage.

    Return None if neither is possible.
    """
    room = RoomOfDay(day)
    get_sizes = room.get_count_drop_sizes if direction < 0 else room.get_count_rise_sizes
    sizes_by_stage = {stage: get_sizes(stage) for stage in (0, *day.funnel.inner_stage_indices)}
    stages = [stage for stage, sizes in sizes_by_stage.items() if sizes.is_possible]
    if not stages or not day.values[0]:
        return None
    stage = stream.choose(stages)
    size = _draw_size(stream, day, sizes_by_stage[stage])
    target = round(day.baselines[stage] * (1.0 + direction * size))
    totals = [round(value) for value in day.values[: day.funnel.columns.count_total]]
    if stage == 0:
        scale = target / totals[0]
        totals = [target, *(round(total * scale) for total in totals[1:])]
    else:
        totals[stage] = min(max(target, totals[stage + 1]), totals[stage - 1])
    root = PlannedRoot(EVENT_COUNT, day.funnel.event_count_names[stage], anomaly_type)
    return PlannedAnomaly(day.day, _build_totals_effect(day, totals), root)


def _build_step_rate_effect(day: CleanDay, deviations: Mapping[int, float]) -> CountEffect:
    """Return an effect that gives some step rates of a day the given deviations.

    The other steps keep their rate of the day.

    Args:
        day: the day without anomalies.
        deviations: relative deviation from the baseline by the index of the step's second stage.
    """
    values, columns = day.values, day.funnel.columns
    totals = [round(values[0])]
    for stage in day.funnel.step_stage_indices:
        rate = values[stage] / max(values[stage - 1], 1.0)
        if stage in deviations:
            baseline = day.baselines[columns.column_of_step_rate_into(stage)] / 100.0
            rate = baseline * (1.0 + deviations[stage])
            if deviations[stage] > 0.0:
                rate = min(rate, max(MAX_RATE_FRACTION, baseline))
        totals.append(round(totals[-1] * rate))
    return _build_totals_effect(day, totals)


def _build_totals_effect(day: CleanDay, totals: list[int]) -> SetTotals:
    possible = [totals[0]]
    for total in totals[1:]:
        possible.append(min(total, possible[-1]))
    return SetTotals(tuple(possible), day.funnel.daytime)
