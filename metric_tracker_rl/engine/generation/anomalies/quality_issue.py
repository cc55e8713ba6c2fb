"""Data quality: a stage records more events than the stage above it can have sent.

Cause: an instrumentation fault over some hours of one day; nobody's behaviour changes. The
fault is wide enough to move the stage's count and the rates around it past their thresholds
too, where the stage has room: those are decoys.
Shows as: one data_quality row for that adjacent pair, and nothing else for the day.
"""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import Cause, CleanDay, Root
from metric_tracker_rl.engine.generation.effects import OverCount
from metric_tracker_rl.engine.levels import SEVERITY_BOUNDS, clear_of
from metric_tracker_rl.engine.vocabulary import DATA_QUALITY, QUALITY_ISSUE
from openenv_kit.bitstream import BitStream

TOTAL_EXCESS = tuple(n for n in range(8, 181) if clear_of(n, SEVERITY_BOUNDS[DATA_QUALITY]))
"""Total excess of the day, in events: every severity, and nothing close to a bound."""
FAULTY_HOURS = (5, 8)
"""Fewest and most hours with the fault: one stretch of the daytime, when people come."""


class QualityIssue:
    """Counts become impossible."""

    anomaly_type = QUALITY_ISSUE

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        stage = stream.pick(day.step_stages)
        fewest, most = FAULTY_HOURS
        length = fewest + stream.below(most - fewest + 1)
        begin, end = day.funnel.daytime
        first = begin + stream.below(end - begin - length + 1)
        each, rest = divmod(stream.pick(TOTAL_EXCESS), length)
        excess = tuple((first + nth, each + (nth < rest)) for nth in range(length))
        name = day.funnel.quality_checks[stage - 1]
        return Cause(day.index, OverCount(stage, excess), Root(DATA_QUALITY, name, QUALITY_ISSUE))
