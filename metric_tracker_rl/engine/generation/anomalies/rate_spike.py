"""Rate spike: more people take a step, or several steps each gain a little.

Cause: the rate of one step rises and every later stage has more events, while the other
steps gain a trickle; or several steps gain a little each, none of them flagged alone. The last
step (payment, near 91 %) has no room to rise, so it never spikes and no gain ends there.
Shows as: one conversion_rate row, of that adjacent pair or, for a slow gain, of the shortest
composite. Later counts and composites are echoes.
"""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import Cause, CleanDay
from metric_tracker_rl.engine.generation.anomalies.rate_drop import LEAK_SHARE, leak, step_cause
from metric_tracker_rl.engine.vocabulary import RATE_SPIKE
from openenv_kit.bitstream import BitStream

LARGEST = 0.55
"""Largest relative rise aimed at."""


class RateSpike:
    """Conversion rises."""

    anomaly_type = RATE_SPIKE

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        if stream.uniform() < LEAK_SHARE:
            return leak(stream, day, 1.0, day.funnel.composite_ends[0], RATE_SPIKE)
        stage = stream.pick(day.inner_stages)
        size = day.separation(stream, day.level.rate_threshold, LARGEST)
        return step_cause(stream, day, stage, size, RATE_SPIKE)
