"""Planning: which families fall on which days, and a cause that shows as its planned root.

A family proposes; the proposal is kept only if the public rule, applied to the changed day,
answers with exactly the planned roots and nothing comes near a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import MIXED, EpisodeConfig
from metric_tracker_rl.engine.definitions.levels import GUARD_BAND
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    MIX_SHIFT,
)
from metric_tracker_rl.engine.generation.families import (
    PLANNERS_BY_ANOMALY_TYPE,
    CleanDay,
    PlannedAnomaly,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    IntArray,
    build_near_threshold_mask,
    compute_daily_values,
    compute_deviations,
    compute_excess_counts,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import anomaly_types_of, find_roots_of_day
from openenv_kit.bitstream import BitStream

MAX_PLAN_ATTEMPTS = 40
"""Proposals for one cause on one day before its draw is thrown away."""
PLANNING_GUARD_BAND = GUARD_BAND + 0.02
"""Guard band while planning: a little wider than the final one, because every anomaly moves
the medians that the others were planned against."""
SHARED_DAY_PROBABILITY = 0.3
"""How often a traffic-mix shift in a mixed episode shares its day with another cause."""
NEVER_SHARE_A_DAY = (*anomaly_types_of(DATA_QUALITY), *anomaly_types_of(HOURLY_MIX))
FAMILIES_WITHOUT_CONSEQUENCES = (*anomaly_types_of(FUNNEL_STEP), *NEVER_SHARE_A_DAY)
"""Families whose own row generator returns their roots and hardly anything else."""
FAMILIES_WITH_CONSEQUENCES = tuple(
    name for name in PLANNERS_BY_ANOMALY_TYPE if name not in FAMILIES_WITHOUT_CONSEQUENCES
)
MAX_SHARE_WITHOUT_CONSEQUENCES = 1 / 3
"""Most of a mixed episode's anomalies that may come from them (a single anomaly may be of any
family): else submitting these three generators would score without any reading."""
COUNT_FAMILIES = anomaly_types_of(EVENT_COUNT)
RATE_FAMILIES = anomaly_types_of(CONVERSION_RATE)


def assign_families_to_days(
    stream: BitStream, config: EpisodeConfig, free_days: list[int]
) -> dict[int, list[str]]:
    """Families by day: one cause a day, but for a traffic-mix shift that shares one.

    Days with impossible counts are never shared: the policy reports nothing else on them.
    """
    days: dict[int, list[str]] = {}
    for name in _draw_family_names(stream, config):
        hosts = []
        if name == MIX_SHIFT and config.scenario_family == MIXED:
            hosts = [
                d
                for d, names in days.items()
                if len(names) == 1 and names[0] not in NEVER_SHARE_A_DAY
            ]
        if hosts and stream.uniform() < SHARED_DAY_PROBABILITY:
            days[stream.choose(hosts)].append(name)
        else:
            days[free_days.pop()] = [name]
    return days


def _draw_family_names(stream: BitStream, config: EpisodeConfig) -> list[str]:
    """Family of each anomaly; a mixed episode draws them, as its level wants it."""
    count = config.anomaly_count
    if config.scenario_family != MIXED:
        return [config.scenario_family] * count
    names: list[str] = []
    if config.level.mixed_needs_both and count >= 2:
        names = [stream.choose(COUNT_FAMILIES), stream.choose(RATE_FAMILIES)]
    elif count >= 2:
        # One anomaly that surely has echoes, so that reporting whatever is flagged is wrong.
        names = [
            stream.choose(
                [name for name in PLANNERS_BY_ANOMALY_TYPE if name not in NEVER_SHARE_A_DAY]
            )
        ]
    while len(names) < count:
        plain = sum(name in FAMILIES_WITHOUT_CONSEQUENCES for name in names)
        full = count > 1 and plain >= int(count * MAX_SHARE_WITHOUT_CONSEQUENCES)
        allowed = FAMILIES_WITH_CONSEQUENCES if full else tuple(PLANNERS_BY_ANOMALY_TYPE)
        # No family twice before all are there: a report by kind alone must not do.
        names.append(stream.choose([name for name in allowed if name not in names] or allowed))
    # Mix shifts last, so that a day to share exists by then.
    return sorted(names, key=lambda name: name == MIX_SHIFT)


def plan_anomalies_of_day(
    stream: BitStream, families: Sequence[str], clean_day: CleanDay
) -> tuple[tuple[PlannedAnomaly, ...], IntArray] | None:
    """Causes of the day's families that the rule answers with their roots, and the day after them.

    None where no proposal of `MAX_PLAN_ATTEMPTS` is one.
    """
    for _ in range(MAX_PLAN_ATTEMPTS):
        causes = tuple([PLANNERS_BY_ANOMALY_TYPE[name](stream, clean_day) for name in families])
        hours = clean_day.hours
        for cause in causes:
            hours = cause.effect.apply(hours)
        values = compute_daily_values(hours, clean_day.funnel)
        changes = compute_deviations(values, np.array(clean_day.baselines))
        if build_near_threshold_mask(
            changes, clean_day.funnel, clean_day.level, PLANNING_GUARD_BAND
        ).any():
            continue
        excess = compute_excess_counts(hours).tolist()
        found = find_roots_of_day(changes.tolist(), excess, clean_day.funnel, clean_day.level)
        answered = {(each.entity_type, each.entity_name, each.anomaly_type) for each in found}
        if answered == {cause.root for cause in causes}:
            return causes, hours
    return None
