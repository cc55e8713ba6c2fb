"""Count drop: fewer people came, or one stage's events were lost on the way.

Cause: traffic falls and the whole funnel with it; or one stage records too few events while
the stages around it keep theirs. Orders can lose none: they must stay at least as many as
payments, so that plan does not exist.
Shows as: one event_count row, of app_opens or of the stage that lost events. For lost
events, the rates into and out of the stage are echoes.
"""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import Cause, CleanDay, Root, traffic_cause
from metric_tracker_rl.engine.generation.effects import StageEvents
from metric_tracker_rl.engine.vocabulary import COUNT_DROP, EVENT_COUNT
from openenv_kit.bitstream import BitStream

LARGEST_TRAFFIC = 0.65
"""Largest relative fall of traffic aimed at."""
ROOM = 0.93
"""A stage may fall so far that this share of it still reaches the next one, hour by hour."""


class CountDrop:
    """Events fall."""

    anomaly_type = COUNT_DROP

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        threshold = day.level.count_threshold
        # The stage before the last step is left out: see above.
        stage = stream.pick((0, *day.inner_stages[:-1]))
        if stage == 0:
            size = day.separation(stream, threshold, LARGEST_TRAFFIC)
            return traffic_cause(day, -size, COUNT_DROP)
        rate_out = day.values[day.rate_column(stage + 1)] / 100.0
        size = day.separation(stream, threshold, 1.0 - rate_out / ROOM)
        return stage_cause(day, stage, -size, COUNT_DROP)


def stage_cause(day: CleanDay, stage: int, deviation: float, anomaly_type: str) -> Cause:
    """One stage's record moved to a relative deviation of its own count."""
    return Cause(
        day.index,
        StageEvents(stage, day.factor_to(stage, deviation)),
        Root(EVENT_COUNT, day.funnel.counts[stage], anomaly_type),
    )
