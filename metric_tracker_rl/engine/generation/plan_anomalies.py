"""Plans the anomalies of an episode, with their families (anomaly types), days and effects.

A proposal is accepted only if the reporting policy, applied to the changed day, finds exactly the
planned roots and no deviation is near a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import (
    ANOMALY_TYPES,
    MIX_SHIFT,
    MIXED,
    list_anomaly_types_of_entity_type,
)
from metric_tracker_rl.engine.definitions.entity_types import CONVERSION_RATE, EVENT_COUNT
from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.generation.families import PLANNERS_BY_ANOMALY_TYPE
from metric_tracker_rl.engine.generation.planned_anomaly import (
    CleanDay,
    PlannedAnomaly,
    PlannedRoot,
)
from metric_tracker_rl.engine.generation.product_planners import PRODUCT_PLANNERS
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    IntArray,
    build_near_threshold_mask,
    compute_deviations,
    compute_rounded_daily_values,
    sum_excess_over_previous_stage,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import find_roots_of_day
from openenv_kit.bitstream import BitStream

FamiliesByDay = dict[int, list[str]]

MAX_PLAN_ATTEMPTS = 40
"""Maximum number of proposals for one day. If all are rejected, the whole attempt fails."""
PLANNING_GUARD_BAND = GUARD_BAND + 0.02
"""Guard band during planning. It is wider than the final guard band, because every anomaly changes
the medians that were used to plan the other anomalies.
"""
SHARED_DAY_PROBABILITY = 0.3
"""Probability that a traffic-mix shift in a mixed episode is put on the day of another anomaly."""
FAMILIES_WITH_CONSEQUENCE_ROWS = tuple(
    name
    for name, anomaly_type in ANOMALY_TYPES.items()
    if anomaly_type.generator_returns_consequences
)
MAX_SHARE_WITHOUT_CONSEQUENCE_ROWS = 1 / 3
"""Largest share of anomalies with no consequence rows in a mixed episode. With a larger share, a
player could score well by submitting all rows of those families' row generators. The limit does not
apply to an episode with a single anomaly.
"""
COUNT_FAMILIES = list_anomaly_types_of_entity_type(EVENT_COUNT)
RATE_FAMILIES = list_anomaly_types_of_entity_type(CONVERSION_RATE)


class DayPlan(NamedTuple):
    """Planned anomalies of one day, and the day's hourly counts with these anomalies."""

    anomalies: tuple[PlannedAnomaly, ...]
    hours: IntArray


def draw_families_and_take_free_days(
    stream: BitStream, config: EpisodeConfig, free_days: list[int]
) -> FamiliesByDay:
    """Draw a family (anomaly type) and a day for each anomaly; return the families by day.

    A traffic-mix shift may share the day of another anomaly.

    Args:
        stream: random stream.
        config: configuration that determines the scenario family and the number of anomalies.
        free_days: indices of the available days. Days are removed from the end of the list.
    """
    families_by_day: FamiliesByDay = {}
    for family in _draw_families_with_mix_shifts_last(stream, config):
        sharable_days = []
        if family == MIX_SHIFT and config.scenario_family == MIXED:
            sharable_days = [
                day
                for day, families in families_by_day.items()
                if len(families) == 1 and ANOMALY_TYPES[families[0]].may_share_day
            ]
        if sharable_days and stream.uniform() < SHARED_DAY_PROBABILITY:
            families_by_day[stream.choose(sharable_days)].append(family)
        else:
            families_by_day[free_days.pop()] = [family]
    return families_by_day


def _draw_families_with_mix_shifts_last(stream: BitStream, config: EpisodeConfig) -> list[str]:
    """Draw a family (anomaly type) for each anomaly of an episode.

    Traffic-mix shifts come last, so that they can share the day of another anomaly.
    """
    count = config.anomaly_count
    if config.scenario_family != MIXED:
        return [config.scenario_family] * count
    possible = config.possible_families
    count_families = [name for name in COUNT_FAMILIES if name in possible]
    rate_families = [name for name in RATE_FAMILIES if name in possible]
    sharable = [name for name in possible if ANOMALY_TYPES[name].may_share_day]
    with_consequences = [name for name in FAMILIES_WITH_CONSEQUENCE_ROWS if name in possible]
    needs_both = config.level_with_policy_parameters.mixed_needs_both
    families: list[str] = []
    if needs_both and count >= 2 and count_families and rate_families:
        families = [stream.choose(count_families), stream.choose(rate_families)]
    elif count >= 2 and sharable:
        # At least one anomaly must have consequences, so that reporting every flagged series is
        # wrong.
        families = [stream.choose(sharable)]
    while len(families) < count:
        without_consequences = sum(
            not ANOMALY_TYPES[name].generator_returns_consequences for name in families
        )
        limit = int(count * MAX_SHARE_WITHOUT_CONSEQUENCE_ROWS)
        is_limit_reached = count > 1 and without_consequences >= limit
        allowed = (is_limit_reached and with_consequences) or possible
        # No family repeats until all have been used, so that the types alone reveal little.
        unused = [name for name in allowed if name not in families]
        families.append(stream.choose(unused or allowed))
    return sorted(families, key=lambda name: name == MIX_SHIFT)


def plan_anomalies_of_day(
    stream: BitStream, families: Sequence[str], clean_day: CleanDay
) -> DayPlan | None:
    """Plan one anomaly of each given family (anomaly type) for a day.

    Together, they make the policy find exactly the planned roots. Return None if
    `MAX_PLAN_ATTEMPTS` proposals have been rejected, or if a product's data do not allow a large
    enough change on the day.
    """
    funnel, level = clean_day.funnel, clean_day.level
    baselines = np.array(clean_day.baselines)
    for _ in range(MAX_PLAN_ATTEMPTS):
        proposals = _propose_anomalies(stream, families, clean_day)
        anomalies = tuple(proposal for proposal in proposals if proposal is not None)
        if len(anomalies) < len(proposals):
            return None
        hours = clean_day.hours
        for anomaly in anomalies:
            hours = anomaly.effect.apply_to_copy(hours)
        deviations = compute_deviations(
            compute_rounded_daily_values(hours, funnel),
            baselines,
            has_daytime_share=funnel.columns.has_daytime_share,
            is_zero_baseline_flagged=level.is_zero_baseline_flagged,
        )
        if build_near_threshold_mask(deviations, funnel, level, PLANNING_GUARD_BAND).any():
            continue
        excess = sum_excess_over_previous_stage(
            hours, compares_daily_totals=funnel.compares_daily_totals
        ).tolist()
        findings = find_roots_of_day(deviations.tolist(), excess, funnel, level)
        found_roots = {
            PlannedRoot(finding.entity_type, finding.entity_name, finding.anomaly_type)
            for finding in findings
        }
        if found_roots == {anomaly.root for anomaly in anomalies}:
            return DayPlan(anomalies, hours)
    return None


def _propose_anomalies(
    stream: BitStream, families: Sequence[str], clean_day: CleanDay
) -> list[PlannedAnomaly | None]:
    """Propose one anomaly of each given family (anomaly type) for a day.

    The result contains None for a family if a product's data do not allow a large enough change.
    """
    if clean_day.level.series_thresholds is None:
        return [PLANNERS_BY_ANOMALY_TYPE[name](stream, clean_day) for name in families]
    return [PRODUCT_PLANNERS[name](stream, clean_day) for name in families]
