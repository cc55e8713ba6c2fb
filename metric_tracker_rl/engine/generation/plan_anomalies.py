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
from metric_tracker_rl.engine.generation.families import FAMILIES, Cause, CleanDay
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    Ints,
    daily_values,
    deviations,
    excess_counts,
    near_threshold,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import findings_of_day, types_of
from openenv_kit.bitstream import BitStream

PLAN_TRIES = 40
"""Proposals for one cause on one day before its draw is thrown away."""
PLAN_BAND = GUARD_BAND + 0.02
"""Guard band while planning: a little wider than the final one, because every anomaly moves
the medians that the others were planned against."""
SHARED_DAY = 0.3
"""How often a traffic-mix shift in a mixed episode shares its day with another cause."""
UNSHARED = (*types_of(DATA_QUALITY), *types_of(HOURLY_MIX))
WITHOUT_ECHOES = (*types_of(FUNNEL_STEP), *UNSHARED)
"""Families whose own row generator returns their roots and hardly anything else."""
WITH_ECHOES = tuple(name for name in FAMILIES if name not in WITHOUT_ECHOES)
LARGEST_SHARE_WITHOUT_ECHOES = 1 / 3
"""Most of a mixed episode's anomalies that may come from them (a single anomaly may be of any
family): else submitting these three generators would score without any reading."""
COUNT_FAMILIES = types_of(EVENT_COUNT)
RATE_FAMILIES = types_of(CONVERSION_RATE)


def days_and_families(
    stream: BitStream, config: EpisodeConfig, free: list[int]
) -> dict[int, list[str]]:
    """Families by day: one cause a day, but for a traffic-mix shift that shares one.

    Days with impossible counts are never shared: the policy reports nothing else on them.
    """
    days: dict[int, list[str]] = {}
    for name in _family_names(stream, config):
        hosts = []
        if name == MIX_SHIFT and config.scenario_family == MIXED:
            hosts = [d for d, names in days.items() if len(names) == 1 and names[0] not in UNSHARED]
        if hosts and stream.uniform() < SHARED_DAY:
            days[stream.pick(hosts)].append(name)
        else:
            days[free.pop()] = [name]
    return days


def _family_names(stream: BitStream, config: EpisodeConfig) -> list[str]:
    """Family of each anomaly; a mixed episode draws them, as its level wants it."""
    count = config.anomaly_count
    if config.scenario_family != MIXED:
        return [config.scenario_family] * count
    names: list[str] = []
    if config.level.mixed_needs_both and count >= 2:
        names = [stream.pick(COUNT_FAMILIES), stream.pick(RATE_FAMILIES)]
    elif count >= 2:
        # One anomaly that surely has echoes, so that reporting whatever is flagged is wrong.
        names = [stream.pick([name for name in FAMILIES if name not in UNSHARED])]
    while len(names) < count:
        plain = sum(name in WITHOUT_ECHOES for name in names)
        full = count > 1 and plain >= int(count * LARGEST_SHARE_WITHOUT_ECHOES)
        allowed = WITH_ECHOES if full else tuple(FAMILIES)
        # No family twice before all are there: a report by kind alone must not do.
        names.append(stream.pick([name for name in allowed if name not in names] or allowed))
    # Mix shifts last, so that a day to share exists by then.
    return sorted(names, key=lambda name: name == MIX_SHIFT)


def plan_of_day(
    stream: BitStream, names: Sequence[str], day: CleanDay
) -> tuple[tuple[Cause, ...], Ints] | None:
    """Causes of the day's families that the rule answers with their roots, and the day after them.

    None where no proposal of `PLAN_TRIES` is one.
    """
    for _ in range(PLAN_TRIES):
        causes = tuple([FAMILIES[name](stream, day) for name in names])
        hours = day.hours
        for cause in causes:
            hours = cause.effect.apply(hours)
        values = daily_values(hours, day.funnel)
        changes = deviations(values, np.array(day.baselines))
        if near_threshold(changes, day.funnel, day.level, PLAN_BAND).any():
            continue
        excess = excess_counts(hours).tolist()
        found = findings_of_day(changes.tolist(), excess, day.funnel, day.level)
        answered = {(each.entity_type, each.entity_name, each.anomaly_type) for each in found}
        if answered == {cause.root for cause in causes}:
            return causes, hours
    return None
