"""Funnel break: a step all but stops working.

Cause: the rate of one step falls by at least the break threshold and every later stage has
fewer events.
Shows as: one funnel_step row for that step. Later counts and composites are echoes.
"""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import MARGIN, Cause, CleanDay, Root
from metric_tracker_rl.engine.generation.effects import StepRates
from metric_tracker_rl.engine.vocabulary import FUNNEL_BREAK, FUNNEL_STEP
from openenv_kit.bitstream import BitStream

LARGEST = 0.70
"""Largest relative fall aimed at."""


class FunnelBreak:
    """A step breaks."""

    anomaly_type = FUNNEL_BREAK

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        stage = stream.pick(day.step_stages)
        size = stream.uniform(day.level.break_threshold * MARGIN, LARGEST)
        factor = day.factor_to(day.rate_column(stage), -size)
        name = day.funnel.steps[stage - 1]
        return Cause(
            day.index, StepRates(((stage, factor),)), Root(FUNNEL_STEP, name, FUNNEL_BREAK)
        )
