"""The seven anomaly families: what causes each one, and the row that it must show as.

A family draws one cause for a day. That is a proposal: the generator keeps it only if the
reporting policy, applied to the changed day, answers with exactly the planned root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import (
    GUARD_BAND,
    FunnelLevel,
    SeverityBounds,
    is_clear_of_bounds,
)
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    COUNT_DROP,
    COUNT_SPIKE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_BREAK,
    FUNNEL_STEP,
    HOURLY_MIX,
    LONGEST,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.engine.generation.effects import (
    AddImpossibleCounts,
    CountEffect,
    ScaleStageCount,
    ScaleStepRates,
    ScaleTraffic,
    ShiftHours,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray
from openenv_kit.bitstream import BitStream

MIN_PLANNED_MULTIPLE = 1.0 + GUARD_BAND + 0.02
"""Smallest multiple of a threshold that a plan aims at: outside the guard band, with room
for rounding to whole events."""

LARGEST_RATE_SPIKE = 0.55
LARGEST_TRAFFIC_DROP = 0.65
LARGEST_COUNT_SPIKE = 0.70
LARGEST_BREAK = 0.70
"""Largest relative deviations aimed at."""

LEAK_PROBABILITY = 0.3
"""Share of rate anomalies that are slow leaks."""
LEAK_LOSS_PER_STEP = (0.55, 0.82)
"""What each leaking step loses, in multiples of the rate threshold: clear of the guard band."""
OTHER_STEPS_LOSS = (0.10, 0.25)
"""What the other steps lose beside a step that moves, and what the steps before the last lose
when a leak is to show only at the very end."""
MAX_DOWNSTREAM_SHARE = 0.93
"""A stage may fall so far that this share of it still reaches the next one, hour by hour."""
MAX_MIX_SHIFT_THRESHOLDS = 3.2
"""Largest shift aimed at, in multiples of the threshold, before the level's own limit."""
MIN_SHARE_MARGIN = 0.04
"""The daytime share stays at least this far from 0 and from 1."""
FAULT_HOURS_RANGE = (5, 8)
"""Fewest and most hours with the fault: one stretch of the daytime, when people come."""


@lru_cache
def list_clear_total_excesses(bounds: SeverityBounds) -> tuple[int, ...]:
    """Total excess of a faulty day, in events: every severity, and nothing close to a bound."""
    return tuple(n for n in range(8, 181) if is_clear_of_bounds(n, bounds))


class PlannedRoot(NamedTuple):
    """The row a cause is planned to bring into the report."""

    entity_type: str
    entity_name: str
    anomaly_type: str


class PlannedAnomaly(NamedTuple):
    """One planned anomaly: where, what it does, and the root it must show as."""

    day: int
    effect: CountEffect
    root: PlannedRoot


class CleanDay(NamedTuple):
    """A day before any cause, as the families see it.

    Attributes:
        day: index in the episode.
        hours: hourly counts, shape (24, stages).
        values: displayed daily values, in the column order of `DailySeries`.
        baselines: what they are held against, same order.
        funnel: names and stage indices.
        level: thresholds and separation.
    """

    day: int
    hours: IntArray
    values: Sequence[float]
    baselines: Sequence[float]
    funnel: Funnel
    level: FunnelLevel

    def step_rate(self, stage: int) -> float:
        """The step rate into a stage, as a fraction."""
        return self.values[len(self.funnel.count_names) + stage - 1] / 100.0

    def count_factor(self, stage: int, deviation: float) -> float:
        """Factor that moves a stage's count to a relative deviation from its baseline."""
        return self.baselines[stage] * (1.0 + deviation) / self.values[stage]

    def step_rate_factor(self, stage: int, deviation: float) -> float:
        """The same of the step rate into a stage."""
        return self.count_factor(len(self.funnel.count_names) + stage - 1, deviation)

    def draw_deviation(self, stream: BitStream, threshold: float, max_deviation: float) -> float:
        """A deviation past the threshold, as far as the level separates, at most `cap`."""
        nearest, farthest = self.level.separation
        low = max(threshold * nearest, threshold * MIN_PLANNED_MULTIPLE)
        return stream.uniform(min(low, max_deviation), min(threshold * farthest, max_deviation))


def plan_rate_drop(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Fewer people take a step, or a slow leak over several steps.

    Cause: the rate of one step falls by less than a funnel break, and every later stage has
    fewer events, while the other steps lose a trickle, so that the composites move further than
    the root; or several steps lose a little each, none of them flagged alone.
    Shows as: one conversion_rate row, of that adjacent pair or, for a leak, of the shortest
    composite that is flagged. Later counts and composites are echoes.
    """
    if stream.uniform() < LEAK_PROBABILITY:
        return _plan_slow_leak(
            stream, day, -1.0, stream.choose(day.funnel.composite_ends), RATE_DROP
        )
    stage = stream.choose(day.funnel.step_stage_indices)
    cap = day.level.break_threshold * (1.0 - GUARD_BAND) - 0.005
    size = day.draw_deviation(stream, day.level.rate_threshold, cap)
    return _plan_step_rate_change(stream, day, stage, -size, RATE_DROP)


def plan_rate_spike(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """More people take a step, or several steps each gain a little: a rate drop's mirror image.

    The last step (payment, near 91 %) has no room to rise, so it never spikes and no gain ends
    there.
    """
    if stream.uniform() < LEAK_PROBABILITY:
        return _plan_slow_leak(stream, day, 1.0, day.funnel.composite_ends[0], RATE_SPIKE)
    stage = stream.choose(day.funnel.step_stage_indices[:-1])
    size = day.draw_deviation(stream, day.level.rate_threshold, LARGEST_RATE_SPIKE)
    return _plan_step_rate_change(stream, day, stage, size, RATE_SPIKE)


def plan_count_drop(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """Fewer people came, or one stage's events were lost on the way.

    Cause: traffic falls and the whole funnel with it; or one stage records too few events while
    the stages around it keep theirs. Orders can lose none: they must stay at least as many as
    payments, so that plan does not exist.
    Shows as: one event_count row, of app_opens or of the stage that lost events. For lost
    events, the rates into and out of the stage are echoes.
    """
    threshold = day.level.count_threshold
    # The stage before the last step is left out: see above.
    stage = stream.choose((0, *day.funnel.step_stage_indices[:-2]))
    if stage == 0:
        return _plan_traffic_change(
            day, -day.draw_deviation(stream, threshold, LARGEST_TRAFFIC_DROP), COUNT_DROP
        )
    size = day.draw_deviation(
        stream, threshold, 1.0 - day.step_rate(stage + 1) / MAX_DOWNSTREAM_SHARE
    )
    return _plan_stage_count_change(day, stage, -size, COUNT_DROP)


def plan_count_spike(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """More people came, or one stage's events were recorded twice: a count drop's mirror image.

    A stage doubles only as far as the stage above leaves room.
    """
    threshold = day.level.count_threshold
    stage = stream.choose((0, *day.funnel.step_stage_indices[:-1]))
    if stage == 0:
        return _plan_traffic_change(
            day, day.draw_deviation(stream, threshold, LARGEST_COUNT_SPIKE), COUNT_SPIKE
        )
    cap = min(LARGEST_COUNT_SPIKE, MAX_DOWNSTREAM_SHARE / day.step_rate(stage) - 1.0)
    size = day.draw_deviation(stream, threshold, cap)
    return _plan_stage_count_change(day, stage, size, COUNT_SPIKE)


def plan_funnel_break(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """A step all but stops working.

    Cause: the rate of one step falls by at least the break threshold and every later stage has
    fewer events.
    Shows as: one funnel_step row for that step. Later counts and composites are echoes.
    """
    stage = stream.choose(day.funnel.step_stage_indices)
    size = stream.uniform(day.level.break_threshold * MIN_PLANNED_MULTIPLE, LARGEST_BREAK)
    effect = ScaleStepRates(((stage, day.step_rate_factor(stage, -size)),))
    root = PlannedRoot(FUNNEL_STEP, day.funnel.funnel_step_names[stage - 1], FUNNEL_BREAK)
    return PlannedAnomaly(day.day, effect, root)


def plan_traffic_mix_shift(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """People come at other hours than usual.

    Cause: part of the day's traffic moves from day to night or back; the day's total and the
    hourly conversion stay.
    Shows as: one hourly_mix row. It may share its day with another cause.
    """
    reach = min(MAX_MIX_SHIFT_THRESHOLDS, 2.0 * day.level.separation[1] - 1.0)
    lowest = max(MIN_PLANNED_MULTIPLE, day.level.separation[0])
    size = day.level.mix_threshold * stream.uniform(lowest, reach)
    base, share = day.baselines[-1], day.values[-1]
    target = base + size if stream.integer_below(2) else base - size
    target = min(max(target, MIN_SHARE_MARGIN), 1.0 - MIN_SHARE_MARGIN)
    effect = ShiftHours(day.funnel.daytime, target / share, (1.0 - target) / (1.0 - share))
    return PlannedAnomaly(
        day.day, effect, PlannedRoot(HOURLY_MIX, day.funnel.mix_entity_name, MIX_SHIFT)
    )


def plan_quality_issue(stream: BitStream, day: CleanDay) -> PlannedAnomaly:
    """A stage records more events than the stage above it can have sent.

    Cause: an instrumentation fault over some hours of one day; nobody's behaviour changes. The
    fault is wide enough to move the stage's count and the rates around it past their thresholds
    too, where the stage has room: those are decoys.
    Shows as: one data_quality row for that adjacent pair, and nothing else for the day.
    """
    stage = stream.choose(day.funnel.step_stage_indices)
    fewest, most = FAULT_HOURS_RANGE
    length = fewest + stream.integer_below(most - fewest + 1)
    begin, end = day.funnel.daytime
    first = begin + stream.integer_below(end - begin - length + 1)
    each, rest = divmod(
        stream.choose(list_clear_total_excesses(day.level.bounds_by_kind.excess)), length
    )
    excess = tuple((first + nth, each + (nth < rest)) for nth in range(length))
    root = PlannedRoot(DATA_QUALITY, day.funnel.quality_check_names[stage - 1], QUALITY_ISSUE)
    return PlannedAnomaly(day.day, AddImpossibleCounts(stage, excess), root)


PLANNERS_BY_ANOMALY_TYPE: dict[str, Callable[[BitStream, CleanDay], PlannedAnomaly]] = {
    RATE_DROP: plan_rate_drop,
    RATE_SPIKE: plan_rate_spike,
    COUNT_DROP: plan_count_drop,
    COUNT_SPIKE: plan_count_spike,
    FUNNEL_BREAK: plan_funnel_break,
    MIX_SHIFT: plan_traffic_mix_shift,
    QUALITY_ISSUE: plan_quality_issue,
}
"""Families by anomaly type, in the order of `ANOMALY_TYPES`: draws pick by position."""


def _plan_traffic_change(day: CleanDay, deviation: float, anomaly_type: str) -> PlannedAnomaly:
    """All of a day's traffic moved to a relative deviation of the first stage."""
    root = PlannedRoot(EVENT_COUNT, day.funnel.count_names[0], anomaly_type)
    return PlannedAnomaly(day.day, ScaleTraffic(day.count_factor(0, deviation)), root)


def _plan_stage_count_change(
    day: CleanDay, stage: int, deviation: float, anomaly_type: str
) -> PlannedAnomaly:
    """One stage's record moved to a relative deviation of its own count."""
    root = PlannedRoot(EVENT_COUNT, day.funnel.count_names[stage], anomaly_type)
    return PlannedAnomaly(day.day, ScaleStageCount(stage, day.count_factor(stage, deviation)), root)


def _plan_step_rate_change(
    stream: BitStream, day: CleanDay, stage: int, deviation: float, anomaly_type: str
) -> PlannedAnomaly:
    """One step's rate moved to a relative deviation, the others by a trickle the same way.

    The root is that adjacent pair; its composites deviate more than it does.
    """
    threshold = day.level.rate_threshold if deviation > 0 else -day.level.rate_threshold
    stages = day.funnel.step_stage_indices
    sizes = [threshold * stream.uniform(*OTHER_STEPS_LOSS) for _ in stages]
    sizes[stage - 1] = deviation
    factors = tuple((each, day.step_rate_factor(each, sizes[each - 1])) for each in stages)
    root = PlannedRoot(CONVERSION_RATE, day.funnel.step_rate_names[stage - 1], anomaly_type)
    return PlannedAnomaly(day.day, ScaleStepRates(factors), root)


def _plan_slow_leak(
    stream: BitStream, day: CleanDay, sign: float, end_stage: int, anomaly_type: str
) -> PlannedAnomaly:
    """Every step up to `end` moved a little; the root is the composite that ends there.

    A leak that shows in the shortest composite is spread evenly. One that must show in the
    longer composite alone trickles first and loses most at its last step. Where the policy reports
    the longest composite, that is the root of either: it moves with the shortest.
    """
    composites, threshold = day.funnel.composite_ends, sign * day.level.rate_threshold
    stages = range(1, end_stage + 1)
    evenly = end_stage == composites[0]
    shares = [
        LEAK_LOSS_PER_STEP if evenly or stage == end_stage else OTHER_STEPS_LOSS for stage in stages
    ]
    sizes = [threshold * stream.uniform(*share) for share in shares]
    factors = tuple((stage, day.step_rate_factor(stage, sizes[stage - 1])) for stage in stages)
    longest = day.level.leak_reports == LONGEST
    name = day.funnel.composite_rate_names[-1 if longest else composites.index(end_stage)]
    return PlannedAnomaly(
        day.day, ScaleStepRates(factors), PlannedRoot(CONVERSION_RATE, name, anomaly_type)
    )
