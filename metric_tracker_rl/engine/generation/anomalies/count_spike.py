"""Count spike: more people came, or one stage's events were recorded twice.

Cause: traffic rises and the whole funnel with it; or one stage records too many events while
the stages around it keep theirs, as far as the stage above leaves room.
Shows as: one event_count row, of app_opens or of the stage that doubled. For doubled events,
the rates into and out of the stage are echoes.
"""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import Cause, CleanDay, traffic_cause
from metric_tracker_rl.engine.generation.anomalies.count_drop import ROOM, stage_cause
from metric_tracker_rl.engine.vocabulary import COUNT_SPIKE
from openenv_kit.bitstream import BitStream

LARGEST = 0.70
"""Largest relative rise aimed at."""


class CountSpike:
    """Events rise."""

    anomaly_type = COUNT_SPIKE

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        threshold = day.level.count_threshold
        stage = stream.pick((0, *day.inner_stages))
        if stage == 0:
            size = day.separation(stream, threshold, LARGEST)
            return traffic_cause(day, size, COUNT_SPIKE)
        rate_in = day.values[day.rate_column(stage)] / 100.0
        size = day.separation(stream, threshold, min(LARGEST, ROOM / rate_in - 1.0))
        return stage_cause(day, stage, size, COUNT_SPIKE)
