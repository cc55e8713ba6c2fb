"""Traffic mix: people come at other hours than usual.

Cause: part of the day's traffic moves from day to night or back; the day's total and the
hourly conversion stay.
Shows as: one hourly_mix row. It may share its day with another cause.
"""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import MARGIN, Cause, CleanDay, Root
from metric_tracker_rl.engine.generation.effects import DayShape
from metric_tracker_rl.engine.vocabulary import HOURLY_MIX, MIX_SHIFT
from openenv_kit.bitstream import BitStream

REACH = 3.2
"""Largest shift aimed at, in multiples of the threshold, before the level's own limit."""
EDGE = 0.04
"""The daytime share stays at least this far from 0 and from 1."""


class TrafficMix:
    """The day's shape shifts."""

    anomaly_type = MIX_SHIFT

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        threshold = day.level.mix_threshold
        reach = min(REACH, 2.0 * day.level.separation[1] - 1.0)
        size = threshold * stream.uniform(max(MARGIN, day.level.separation[0]), reach)
        base, share = day.baselines[-1], day.values[-1]
        target = base + size if stream.below(2) else base - size
        target = min(max(target, EDGE), 1.0 - EDGE)
        effect = DayShape(day.funnel.daytime, target / share, (1.0 - target) / (1.0 - share))
        return Cause(day.index, effect, Root(HOURLY_MIX, day.funnel.mix, MIX_SHIFT))
