"""Planners, which are functions that propose an anomaly of one type for a given day.

A planner proposes an effect and the expected report row. The generator accepts the proposal only if
the reporting policy, applied to the changed day, finds exactly the planned roots.
"""

from __future__ import annotations

from collections.abc import Callable
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
from metric_tracker_rl.engine.definitions.names import LeakReport
from metric_tracker_rl.engine.definitions.severity import (
    SeverityBounds,
    is_clear_of_severity_bounds,
)
from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.generation.effects import (
    AddImpossibleCounts,
    ScaleStageCount,
    ScaleStepRates,
    ScaleTraffic,
    ShiftHours,
    StepFactor,
    spread_excess_over_hours,
)
from metric_tracker_rl.engine.generation.planned_anomaly import (
    MIN_PLANNED_MULTIPLE,
    CleanDay,
    PlannedAnomaly,
    PlannedRoot,
)
from openenv_kit.bitstream import BitStream

MAX_RATE_SPIKE = 0.55
MAX_TRAFFIC_DROP = 0.65
MAX_COUNT_SPIKE = 0.70
MAX_BREAK = 0.70
"""Largest planned relative deviations."""

LEAK_PROBABILITY = 0.3
"""Probability that a rate anomaly is a slow leak."""
LEAK_LOSS_PER_STEP = (0.55, 0.82)
"""Range of each leaking step's loss, in multiples of the rate threshold. It is below the guard
band.
"""
OTHER_STEPS_LOSS = (0.10, 0.25)
"""Range of the loss of secondary steps, in multiples of the rate threshold. In a step-rate change,
these are all steps except the root. In a longer leak, these are all steps except the last one.
"""
MAX_DOWNSTREAM_SHARE = 0.93
"""Largest allowed ratio of the next stage's count to this stage's count, after a stage lost
events."""
MAX_MIX_SHIFT_THRESHOLDS = 3.2
"""Largest planned shift of the daytime share, in multiples of its threshold."""
MIN_SHARE_MARGIN = 0.04
"""Smallest planned distance of the daytime share from 0 and from 1."""
FAULT_HOURS_RANGE = (5, 8)
"""Minimum and maximum number of hours of an instrumentation fault. The hours are consecutive and in
the daytime, when there is traffic.
"""
FAULT_EVENTS = range(8, 181)
"""Possible totals of excess events of an instrumentation fault."""


@lru_cache
def list_excess_totals_clear_of_bounds(bounds: SeverityBounds) -> tuple[int, ...]:
    """Return the numbers in `FAULT_EVENTS` that are not too close to a severity bound."""
    return tuple(events for events in FAULT_EVENTS if is_clear_of_severity_bounds(events, bounds))


PlanFunction = Callable[[BitStream, CleanDay], PlannedAnomaly]

PLANNERS_BY_ANOMALY_TYPE: dict[str, PlanFunction] = {}
"""Planners by anomaly type, in the order of `ANOMALY_TYPES`, which determines the random draws."""


def register_planner(anomaly_type: str) -> Callable[[PlanFunction], PlanFunction]:
    """Return a decorator that registers a function as the planner of an anomaly type."""

    def register(plan: PlanFunction) -> PlanFunction:
        PLANNERS_BY_ANOMALY_TYPE[anomaly_type] = plan
        return plan

    return register


@register_planner(RATE_DROP)
def plan_step_rate_drop_or_leak(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Plan a drop of one step rate, or a slow leak that is spread over several steps.

    Effect: the rate of one step falls by less than a funnel break, and the other step rates fall
    slightly, so that composite rates deviate more than the root. In a slow leak, several step rates
    fall slightly and none of them is flagged.

    Root: a conversion_rate row for the step rate or, in a slow leak, for a flagged composite rate.
    Later counts and composite rates are consequences.
    """
    if stream.uniform() < LEAK_PROBABILITY:
        return _plan_leak_or_gain_up_to_stage(
            stream, day, -1.0, stream.choose(day.funnel.composite_ends), RATE_DROP
        )
    stage = stream.choose(day.funnel.step_stage_indices)
    max_deviation = day.level.break_threshold * (1.0 - GUARD_BAND) - 0.005
    size = day.draw_deviation_size_past_threshold(stream, day.level.rate_threshold, max_deviation)
    return _plan_dominant_step_rate_change(stream, day, stage, -size, RATE_DROP)


@register_planner(RATE_SPIKE)
def plan_step_rate_spike_or_gain(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Plan a rise of one step rate, or a slow gain that is spread over several steps.

    The rate of the last step (payment, about 91 %) is too high to rise by a reportable amount, so
    the last step is neither the root of a spike nor the end of a gain over several steps.
    """
    if stream.uniform() < LEAK_PROBABILITY:
        return _plan_leak_or_gain_up_to_stage(
            stream, day, 1.0, day.funnel.composite_ends[0], RATE_SPIKE
        )
    stage = stream.choose(day.funnel.step_stage_indices[:-1])
    size = day.draw_deviation_size_past_threshold(stream, day.level.rate_threshold, MAX_RATE_SPIKE)
    return _plan_dominant_step_rate_change(stream, day, stage, size, RATE_SPIKE)


@register_planner(COUNT_DROP)
def plan_traffic_or_stage_count_drop(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Plan a drop of all traffic, or a loss of events in one stage.

    Effect: either traffic falls, which reduces the counts of all stages, or one stage loses events
    while the other stages do not change.

    Root: an event_count row for the first stage or for the stage that lost events. The step rates
    into and out of that stage are consequences.
    """
    threshold = day.level.count_threshold
    # The second-to-last stage cannot lose events, because nearly all of them reach the last stage.
    stage = stream.choose((0, *day.funnel.step_stage_indices[:-2]))
    if stage == 0:
        size = day.draw_deviation_size_past_threshold(stream, threshold, MAX_TRAFFIC_DROP)
        return _plan_traffic_change(day, -size, COUNT_DROP)
    max_deviation = 1.0 - day.get_step_rate_fraction_into(stage + 1) / MAX_DOWNSTREAM_SHARE
    size = day.draw_deviation_size_past_threshold(stream, threshold, max_deviation)
    return _plan_stage_count_change(day, stage, -size, COUNT_DROP)


@register_planner(COUNT_SPIKE)
def plan_traffic_or_stage_count_spike(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Plan a rise of all traffic, or a duplication of events in one stage.

    A stage with duplicated events still has fewer events than the previous stage.
    """
    threshold = day.level.count_threshold
    stage = stream.choose((0, *day.funnel.step_stage_indices[:-1]))
    if stage == 0:
        size = day.draw_deviation_size_past_threshold(stream, threshold, MAX_COUNT_SPIKE)
        return _plan_traffic_change(day, size, COUNT_SPIKE)
    max_deviation = min(
        MAX_COUNT_SPIKE, MAX_DOWNSTREAM_SHARE / day.get_step_rate_fraction_into(stage) - 1.0
    )
    size = day.draw_deviation_size_past_threshold(stream, threshold, max_deviation)
    return _plan_stage_count_change(day, stage, size, COUNT_SPIKE)


@register_planner(FUNNEL_BREAK)
def plan_funnel_break(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Plan a funnel break, in which one step almost stops working.

    Effect: the rate of one step falls by at least the break threshold.

    Root: a funnel_step row for that step. Later counts and composite rates are consequences.
    """
    stage = stream.choose(day.funnel.step_stage_indices)
    size = stream.uniform(day.level.break_threshold * MIN_PLANNED_MULTIPLE, MAX_BREAK)
    effect = ScaleStepRates(
        (StepFactor(stage, day.compute_factor_for_step_rate_deviation(stage, -size)),)
    )
    root = PlannedRoot(FUNNEL_STEP, day.funnel.funnel_step_names[stage - 1], FUNNEL_BREAK)
    return PlannedAnomaly(day.day, effect, root)


@register_planner(MIX_SHIFT)
def plan_traffic_mix_shift(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Plan a shift of traffic between daytime and night.

    Effect: part of the day's traffic moves from daytime to night or vice versa. The day's total and
    the step rates of each hour do not change.

    Root: an hourly_mix row, possibly on the same day as another anomaly.
    """
    largest = min(MAX_MIX_SHIFT_THRESHOLDS, 2.0 * day.level.separation.farthest - 1.0)
    smallest = max(MIN_PLANNED_MULTIPLE, day.level.separation.nearest)
    size = day.level.mix_threshold * stream.uniform(smallest, largest)
    column = day.funnel.columns.daytime_share
    baseline, share = day.baselines[column], day.values[column]
    target = baseline + size if stream.integer_below(2) else baseline - size
    target = min(max(target, MIN_SHARE_MARGIN), 1.0 - MIN_SHARE_MARGIN)
    effect = ShiftHours(day.funnel.daytime_hours, target / share, (1.0 - target) / (1.0 - share))
    root = PlannedRoot(HOURLY_MIX, day.funnel.daytime_share_name, MIX_SHIFT)
    return PlannedAnomaly(day.day, effect, root)


@register_planner(QUALITY_ISSUE)
def plan_impossible_counts(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Plan impossible counts, in which a stage records more events than the stage before it.

    Effect: during several hours, an instrumentation fault makes a stage record more events than the
    previous stage. The stage's count and adjacent step rates usually also pass their thresholds.

    Root: a data_quality row for that pair of stages, which is the only row of the day.
    """
    stage = stream.choose(day.funnel.step_stage_indices)
    fewest_hours, most_hours = FAULT_HOURS_RANGE
    hours = fewest_hours + stream.integer_below(most_hours - fewest_hours + 1)
    daytime = day.funnel.daytime_hours
    first_hour = daytime.start + stream.integer_below(daytime.stop - daytime.start - hours + 1)
    total_events = stream.choose(
        list_excess_totals_clear_of_bounds(day.level.bounds_by_kind.excess)
    )
    excess = spread_excess_over_hours(total_events, first_hour, hours)
    root = PlannedRoot(DATA_QUALITY, day.funnel.quality_check_names[stage - 1], QUALITY_ISSUE)
    return PlannedAnomaly(day.day, AddImpossibleCounts(stage, excess), root)


def _plan_traffic_change(day: CleanDay, deviation: float, anomaly_type: str) -> PlannedAnomaly:
    """Plan a change of all traffic so that the first stage's count has a given deviation.

    The deviation is relative to the baseline.
    """
    root = PlannedRoot(EVENT_COUNT, day.funnel.event_count_names[0], anomaly_type)
    return PlannedAnomaly(
        day.day, ScaleTraffic(day.compute_factor_for_count_deviation(0, deviation)), root
    )


def _plan_stage_count_change(
    day: CleanDay, stage: int, deviation: float, anomaly_type: str
) -> PlannedAnomaly:
    """Plan a change of a single stage's count so that it has a given deviation.

    The deviation is relative to the baseline.
    """
    root = PlannedRoot(EVENT_COUNT, day.funnel.event_count_names[stage], anomaly_type)
    return PlannedAnomaly(
        day.day,
        ScaleStageCount(stage, day.compute_factor_for_count_deviation(stage, deviation)),
        root,
    )


def _plan_dominant_step_rate_change(
    stream: BitStream, day: CleanDay, stage: int, deviation: float, anomaly_type: str
) -> PlannedAnomaly:
    """Plan a large change of one step rate and small changes of the others in the same direction.

    The composite rates therefore deviate more than the step rate, although it is the root.
    """
    rate_threshold = day.level.rate_threshold
    signed_threshold = rate_threshold if deviation > 0 else -rate_threshold
    stages = day.funnel.step_stage_indices
    deviations = {each: signed_threshold * stream.uniform(*OTHER_STEPS_LOSS) for each in stages}
    deviations[stage] = deviation
    factors = tuple(
        StepFactor(each, day.compute_factor_for_step_rate_deviation(each, deviations[each]))
        for each in stages
    )
    root = PlannedRoot(CONVERSION_RATE, day.funnel.step_rate_names[stage - 1], anomaly_type)
    return PlannedAnomaly(day.day, ScaleStepRates(factors), root)


def _plan_leak_or_gain_up_to_stage(
    stream: BitStream, day: CleanDay, direction_sign: float, end_stage: int, anomaly_type: str
) -> PlannedAnomaly:
    """Plan a slow leak or gain, in which all step rates up to a stage deviate slightly.

    If the shortest composite rate leaks, all of its steps lose similar amounts. In a longer leak,
    the last step loses most, so that no shorter composite rate is flagged.

    Args:
        stream: random stream.
        day: data of the day before anomalies are applied.
        direction_sign: 1.0 for a gain, -1.0 for a loss.
        end_stage: index of the stage at which the leaking composite rate ends.
        anomaly_type: anomaly type of the root.
    """
    composite_ends = day.funnel.composite_ends
    signed_threshold = direction_sign * day.level.rate_threshold
    is_shortest = end_stage == composite_ends[0]
    factors = []
    for stage in range(1, end_stage + 1):
        is_leaking = is_shortest or stage == end_stage
        loss_range = LEAK_LOSS_PER_STEP if is_leaking else OTHER_STEPS_LOSS
        deviation = signed_threshold * stream.uniform(*loss_range)
        factors.append(
            StepFactor(stage, day.compute_factor_for_step_rate_deviation(stage, deviation))
        )
    # Every leak flags the longest composite rate, which some policies require as the root.
    is_longest_reported = day.level.leak_reports == LeakReport.LONGEST
    reported = -1 if is_longest_reported else composite_ends.index(end_stage)
    root = PlannedRoot(CONVERSION_RATE, day.funnel.composite_rate_names[reported], anomaly_type)
    return PlannedAnomaly(day.day, ScaleStepRates(tuple(factors)), root)
