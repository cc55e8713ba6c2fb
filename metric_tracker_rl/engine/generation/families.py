"""The seven anomaly families: what causes each one, and the row that it must show as.

A family draws one cause for a day. That is a proposal: the generator keeps it only if the
reporting policy, applied to the changed day, answers with exactly the planned root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import GUARD_BAND, Bounds, Level, clear_of
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
    DayShape,
    Effect,
    OverCount,
    StageEvents,
    StepRates,
    Traffic,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import Ints
from openenv_kit.bitstream import BitStream

MARGIN = 1.0 + GUARD_BAND + 0.02
"""Smallest multiple of a threshold that a plan aims at: outside the guard band, with room
for rounding to whole events."""

LARGEST_RATE_SPIKE = 0.55
LARGEST_TRAFFIC_DROP = 0.65
LARGEST_COUNT_SPIKE = 0.70
LARGEST_BREAK = 0.70
"""Largest relative deviations aimed at."""

LEAK_SHARE = 0.3
"""Share of rate anomalies that are slow leaks."""
LEAK_STEP = (0.55, 0.82)
"""What each leaking step loses, in multiples of the rate threshold: clear of the guard band."""
TRICKLE = (0.10, 0.25)
"""What the other steps lose beside a step that moves, and what the steps before the last lose
when a leak is to show only at the very end."""
ROOM = 0.93
"""A stage may fall so far that this share of it still reaches the next one, hour by hour."""
MIX_REACH = 3.2
"""Largest shift aimed at, in multiples of the threshold, before the level's own limit."""
MIX_EDGE = 0.04
"""The daytime share stays at least this far from 0 and from 1."""
FAULTY_HOURS = (5, 8)
"""Fewest and most hours with the fault: one stretch of the daytime, when people come."""


@lru_cache
def total_excesses(bounds: Bounds) -> tuple[int, ...]:
    """Total excess of a faulty day, in events: every severity, and nothing close to a bound."""
    return tuple(n for n in range(8, 181) if clear_of(n, bounds))


class Root(NamedTuple):
    """The row a cause is planned to bring into the report."""

    entity_type: str
    entity_name: str
    anomaly_type: str


class Cause(NamedTuple):
    """One planned anomaly: where, what it does, and the root it must show as."""

    day: int
    effect: Effect
    root: Root


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
    hours: Ints
    values: Sequence[float]
    baselines: Sequence[float]
    funnel: Funnel
    level: Level

    def rate(self, stage: int) -> float:
        """The step rate into a stage, as a fraction."""
        return self.values[len(self.funnel.counts) + stage - 1] / 100.0

    def count_factor(self, stage: int, deviation: float) -> float:
        """Factor that moves a stage's count to a relative deviation from its baseline."""
        return self.baselines[stage] * (1.0 + deviation) / self.values[stage]

    def rate_factor(self, stage: int, deviation: float) -> float:
        """The same of the step rate into a stage."""
        return self.count_factor(len(self.funnel.counts) + stage - 1, deviation)

    def beyond(self, stream: BitStream, threshold: float, cap: float) -> float:
        """A deviation past the threshold, as far as the level separates, at most `cap`."""
        nearest, farthest = self.level.separation
        low = max(threshold * nearest, threshold * MARGIN)
        return stream.uniform(min(low, cap), min(threshold * farthest, cap))


def rate_drop(stream: BitStream, day: CleanDay) -> Cause:
    """Fewer people take a step, or a slow leak over several steps.

    Cause: the rate of one step falls by less than a funnel break, and every later stage has
    fewer events, while the other steps lose a trickle, so that the composites move further than
    the root; or several steps lose a little each, none of them flagged alone.
    Shows as: one conversion_rate row, of that adjacent pair or, for a leak, of the shortest
    composite that is flagged. Later counts and composites are echoes.
    """
    if stream.uniform() < LEAK_SHARE:
        return _leak(stream, day, -1.0, stream.pick(day.funnel.composite_ends), RATE_DROP)
    stage = stream.pick(day.funnel.step_stages)
    cap = day.level.break_threshold * (1.0 - GUARD_BAND) - 0.005
    size = day.beyond(stream, day.level.rate_threshold, cap)
    return _moved_step(stream, day, stage, -size, RATE_DROP)


def rate_spike(stream: BitStream, day: CleanDay) -> Cause:
    """More people take a step, or several steps each gain a little: a rate drop's mirror image.

    The last step (payment, near 91 %) has no room to rise, so it never spikes and no gain ends
    there.
    """
    if stream.uniform() < LEAK_SHARE:
        return _leak(stream, day, 1.0, day.funnel.composite_ends[0], RATE_SPIKE)
    stage = stream.pick(day.funnel.step_stages[:-1])
    size = day.beyond(stream, day.level.rate_threshold, LARGEST_RATE_SPIKE)
    return _moved_step(stream, day, stage, size, RATE_SPIKE)


def count_drop(stream: BitStream, day: CleanDay) -> Cause:
    """Fewer people came, or one stage's events were lost on the way.

    Cause: traffic falls and the whole funnel with it; or one stage records too few events while
    the stages around it keep theirs. Orders can lose none: they must stay at least as many as
    payments, so that plan does not exist.
    Shows as: one event_count row, of app_opens or of the stage that lost events. For lost
    events, the rates into and out of the stage are echoes.
    """
    threshold = day.level.count_threshold
    # The stage before the last step is left out: see above.
    stage = stream.pick((0, *day.funnel.step_stages[:-2]))
    if stage == 0:
        return _traffic(day, -day.beyond(stream, threshold, LARGEST_TRAFFIC_DROP), COUNT_DROP)
    size = day.beyond(stream, threshold, 1.0 - day.rate(stage + 1) / ROOM)
    return _stage_events(day, stage, -size, COUNT_DROP)


def count_spike(stream: BitStream, day: CleanDay) -> Cause:
    """More people came, or one stage's events were recorded twice: a count drop's mirror image.

    A stage doubles only as far as the stage above leaves room.
    """
    threshold = day.level.count_threshold
    stage = stream.pick((0, *day.funnel.step_stages[:-1]))
    if stage == 0:
        return _traffic(day, day.beyond(stream, threshold, LARGEST_COUNT_SPIKE), COUNT_SPIKE)
    cap = min(LARGEST_COUNT_SPIKE, ROOM / day.rate(stage) - 1.0)
    size = day.beyond(stream, threshold, cap)
    return _stage_events(day, stage, size, COUNT_SPIKE)


def funnel_break(stream: BitStream, day: CleanDay) -> Cause:
    """A step all but stops working.

    Cause: the rate of one step falls by at least the break threshold and every later stage has
    fewer events.
    Shows as: one funnel_step row for that step. Later counts and composites are echoes.
    """
    stage = stream.pick(day.funnel.step_stages)
    size = stream.uniform(day.level.break_threshold * MARGIN, LARGEST_BREAK)
    effect = StepRates(((stage, day.rate_factor(stage, -size)),))
    root = Root(FUNNEL_STEP, day.funnel.steps[stage - 1], FUNNEL_BREAK)
    return Cause(day.day, effect, root)


def traffic_mix(stream: BitStream, day: CleanDay) -> Cause:
    """People come at other hours than usual.

    Cause: part of the day's traffic moves from day to night or back; the day's total and the
    hourly conversion stay.
    Shows as: one hourly_mix row. It may share its day with another cause.
    """
    reach = min(MIX_REACH, 2.0 * day.level.separation[1] - 1.0)
    lowest = max(MARGIN, day.level.separation[0])
    size = day.level.mix_threshold * stream.uniform(lowest, reach)
    base, share = day.baselines[-1], day.values[-1]
    target = base + size if stream.below(2) else base - size
    target = min(max(target, MIX_EDGE), 1.0 - MIX_EDGE)
    effect = DayShape(day.funnel.daytime, target / share, (1.0 - target) / (1.0 - share))
    return Cause(day.day, effect, Root(HOURLY_MIX, day.funnel.mix, MIX_SHIFT))


def quality_issue(stream: BitStream, day: CleanDay) -> Cause:
    """A stage records more events than the stage above it can have sent.

    Cause: an instrumentation fault over some hours of one day; nobody's behaviour changes. The
    fault is wide enough to move the stage's count and the rates around it past their thresholds
    too, where the stage has room: those are decoys.
    Shows as: one data_quality row for that adjacent pair, and nothing else for the day.
    """
    stage = stream.pick(day.funnel.step_stages)
    fewest, most = FAULTY_HOURS
    length = fewest + stream.below(most - fewest + 1)
    begin, end = day.funnel.daytime
    first = begin + stream.below(end - begin - length + 1)
    each, rest = divmod(stream.pick(total_excesses(day.level.bands.excess)), length)
    excess = tuple((first + nth, each + (nth < rest)) for nth in range(length))
    root = Root(DATA_QUALITY, day.funnel.quality_checks[stage - 1], QUALITY_ISSUE)
    return Cause(day.day, OverCount(stage, excess), root)


FAMILIES: dict[str, Callable[[BitStream, CleanDay], Cause]] = {
    RATE_DROP: rate_drop,
    RATE_SPIKE: rate_spike,
    COUNT_DROP: count_drop,
    COUNT_SPIKE: count_spike,
    FUNNEL_BREAK: funnel_break,
    MIX_SHIFT: traffic_mix,
    QUALITY_ISSUE: quality_issue,
}
"""Families by anomaly type, in the order of `ANOMALY_TYPES`: draws pick by position."""


def _traffic(day: CleanDay, deviation: float, anomaly_type: str) -> Cause:
    """All of a day's traffic moved to a relative deviation of the first stage."""
    root = Root(EVENT_COUNT, day.funnel.counts[0], anomaly_type)
    return Cause(day.day, Traffic(day.count_factor(0, deviation)), root)


def _stage_events(day: CleanDay, stage: int, deviation: float, anomaly_type: str) -> Cause:
    """One stage's record moved to a relative deviation of its own count."""
    root = Root(EVENT_COUNT, day.funnel.counts[stage], anomaly_type)
    return Cause(day.day, StageEvents(stage, day.count_factor(stage, deviation)), root)


def _moved_step(
    stream: BitStream, day: CleanDay, stage: int, deviation: float, anomaly_type: str
) -> Cause:
    """One step's rate moved to a relative deviation, the others by a trickle the same way.

    The root is that adjacent pair; its composites deviate more than it does.
    """
    threshold = day.level.rate_threshold if deviation > 0 else -day.level.rate_threshold
    stages = day.funnel.step_stages
    sizes = [threshold * stream.uniform(*TRICKLE) for _ in stages]
    sizes[stage - 1] = deviation
    factors = tuple((each, day.rate_factor(each, sizes[each - 1])) for each in stages)
    root = Root(CONVERSION_RATE, day.funnel.step_rates[stage - 1], anomaly_type)
    return Cause(day.day, StepRates(factors), root)


def _leak(stream: BitStream, day: CleanDay, sign: float, end: int, anomaly_type: str) -> Cause:
    """Every step up to `end` moved a little; the root is the composite that ends there.

    A leak that shows in the shortest composite is spread evenly. One that must show in the
    longer composite alone trickles first and loses most at its last step. Where the policy reports
    the longest composite, that is the root of either: it moves with the shortest.
    """
    composites, threshold = day.funnel.composite_ends, sign * day.level.rate_threshold
    stages = range(1, end + 1)
    evenly = end == composites[0]
    shares = [LEAK_STEP if evenly or stage == end else TRICKLE for stage in stages]
    sizes = [threshold * stream.uniform(*share) for share in shares]
    factors = tuple((stage, day.rate_factor(stage, sizes[stage - 1])) for stage in stages)
    longest = day.level.leak_reports == LONGEST
    name = day.funnel.composite_rates[-1 if longest else composites.index(end)]
    return Cause(day.day, StepRates(factors), Root(CONVERSION_RATE, name, anomaly_type))
