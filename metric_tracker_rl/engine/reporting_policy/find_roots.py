"""Rules of the reporting policy as code.

The rules find the roots of a day, which are the series that the policy wants reported. Other series
that deviate because a root has changed are its consequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.anomaly_types import (
    QUALITY_ISSUE,
    find_anomaly_type_of_deviation,
)
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import LeakReport
from metric_tracker_rl.engine.definitions.thresholds import get_policy_limits


class RootFinding(NamedTuple):
    """A series that the policy's rules report on one day.

    Attributes:
        entity_type, entity_name, anomaly_type: fields of the root's report row.
        column: column of the root in the daily series.
    """

    entity_type: str
    entity_name: str
    anomaly_type: str
    column: int


def find_roots_of_day(
    deviations: Sequence[float],
    excess_by_stage_pair: Sequence[float],
    funnel: Funnel,
    level: FunnelLevel,
) -> list[RootFinding]:
    """Apply the reporting policy to one day and return the series to report, in rule order.

    Args:
        deviations: the day's deviations by column; 0 where the calendar explains them.
        excess_by_stage_pair: for each pair of adjacent stages, the number of events by which the
            later stage exceeds the earlier one.
        funnel: funnel that provides names and columns.
        level: level that provides the thresholds and the rules about slow leaks and suspension.
    """
    columns = funnel.columns
    if any(excess_by_stage_pair):
        return [
            RootFinding(DATA_QUALITY, name, QUALITY_ISSUE, columns.excess_column_of_pair(pair))
            for pair, name in enumerate(funnel.quality_check_names)
            if excess_by_stage_pair[pair] > 0
        ]

    limits = get_policy_limits(funnel, level)
    flagged = [
        abs(deviation) >= threshold
        for deviation, threshold in zip(deviations, limits.thresholds, strict=True)
    ]
    roots: list[RootFinding] = []

    def add_root_if_reported(rule: int, entity_type: str, name: str, column: int) -> None:
        anomaly_type = find_anomaly_type_of_deviation(entity_type, deviations[column])
        if anomaly_type is not None and rule != level.suspended_rule:
            roots.append(RootFinding(entity_type, name, anomaly_type, column))

    if columns.has_daytime_share and flagged[columns.daytime_share]:
        add_root_if_reported(2, HOURLY_MIX, funnel.daytime_share_name, columns.daytime_share)

    consequences: set[int] = set()  # columns of step rates
    for stage in funnel.inner_stage_indices:
        if flagged[stage] and not flagged[stage - 1] and not flagged[stage + 1]:
            into, out_of = (
                columns.column_of_step_rate_into(stage),
                columns.column_of_step_rate_out_of(stage),
            )
            is_opposite = deviations[into] * deviations[out_of] < 0
            if is_opposite and flagged[into] and flagged[out_of]:
                add_root_if_reported(3, EVENT_COUNT, funnel.event_count_names[stage], stage)
                consequences.update((into, out_of))

    flagged_steps = [column for column in columns.step_rate_columns if flagged[column]]
    for column in flagged_steps:
        if column in consequences:
            continue
        step = columns.step_index_of_column(column)
        if deviations[column] <= -limits.break_thresholds[step]:
            add_root_if_reported(4, FUNNEL_STEP, funnel.funnel_step_names[step], column)
        else:
            add_root_if_reported(4, CONVERSION_RATE, funnel.step_rate_names[step], column)

    if not flagged_steps:
        leaks = [column for column in columns.composite_rate_columns if flagged[column]]
        if leaks:
            column = leaks[-1] if level.leak_reports == LeakReport.LONGEST else leaks[0]
            add_root_if_reported(
                5,
                CONVERSION_RATE,
                funnel.conversion_rate_names[columns.rate_index_of_column(column)],
                column,
            )

    if flagged[0]:
        add_root_if_reported(6, EVENT_COUNT, funnel.event_count_names[0], 0)
    return roots
