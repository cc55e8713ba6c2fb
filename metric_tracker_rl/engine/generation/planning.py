"""Planning: which families fall on which days, and a cause that shows as its planned root.

A family proposes; the proposal is kept only if the public rule, applied to the changed day,
answers with exactly the planned roots and nothing comes near a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.config import MIXED, EpisodeConfig
from metric_tracker_rl.engine.funnel import Funnel
from metric_tracker_rl.engine.generation.anomalies import FAMILIES, Cause, CleanDay
from metric_tracker_rl.engine.generation.effects import Effect, apply_effects
from metric_tracker_rl.engine.generation.lockstep import Ask, Drawing, alike
from metric_tracker_rl.engine.levels import GUARD_BAND, Level
from metric_tracker_rl.engine.reporting_policy import findings
from metric_tracker_rl.engine.series import (
    Floats,
    Ints,
    daily_values,
    deviations,
    excess_counts,
    thresholds,
)
from metric_tracker_rl.engine.vocabulary import (
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from openenv_kit.bitstream import BitStream

PLAN_TRIES = 40
"""Proposals for one cause on one day before its draw is thrown away."""
PLAN_BAND = GUARD_BAND + 0.02
"""Guard band while planning: a little wider than the final one, because every anomaly moves
the medians that the others were planned against."""
SHARED_DAY = 0.3
"""How often a traffic-mix shift in a mixed episode shares its day with another cause."""
WITHOUT_ECHOES = (FUNNEL_BREAK, QUALITY_ISSUE, MIX_SHIFT)
"""Families whose own row generator returns their roots and hardly anything else."""
WITH_ECHOES = tuple(name for name in FAMILIES if name not in WITHOUT_ECHOES)
LARGEST_SHARE_WITHOUT_ECHOES = 1 / 3
"""Most of a mixed episode's anomalies that may come from them (a single anomaly may be of any
family): else submitting these three generators would score without any reading."""
COUNT_FAMILIES = (COUNT_DROP, COUNT_SPIKE)
RATE_FAMILIES = (RATE_DROP, RATE_SPIKE)
UNSHARED = (QUALITY_ISSUE, MIX_SHIFT)


def days_and_families(
    stream: BitStream, config: EpisodeConfig, free: list[int]
) -> dict[int, list[str]]:
    """Families by day: one cause a day, but for a traffic-mix shift that shares one.

    Days with impossible counts are never shared: the policy reports nothing else on them.
    """
    days: dict[int, list[str]] = {}
    for name in _family_names(stream, config):
        hosts = [day for day, names in days.items() if len(names) == 1 and names[0] not in UNSHARED]
        shares = name == MIX_SHIFT and config.scenario_family == MIXED and hosts
        if shares and stream.uniform() < SHARED_DAY:
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
    stream: BitStream, names: Sequence[str], view: CleanDay
) -> Drawing[PlannedDay | None]:
    """First proposal for the day's families that the rule answers with their roots."""
    for _ in range(PLAN_TRIES):
        causes = tuple(FAMILIES[name](stream, view) for name in names)
        [day] = yield Ask(changed_days, [(view, [cause.effect for cause in causes])])
        if day.near:
            continue
        found = findings(day.changes, day.flagged, day.excess, view.funnel, view.level)
        answered = {(f.entity_type, f.entity_name, f.anomaly_type) for f in found}
        if answered == {tuple(cause.root) for cause in causes}:
            return causes, day
    return None


class ChangedDay(NamedTuple):
    """A day after its effects.

    Attributes:
        hours: hourly counts, shape (24, stages).
        values: displayed daily values.
        excess: impossible events of each adjacent pair.
        changes: deviations from the baselines.
        flagged: which of them reach their threshold.
        near: whether any of them lies within `PLAN_BAND` of its threshold.
    """

    hours: Ints
    values: Floats
    excess: list[int]
    changes: list[float]
    flagged: list[bool]
    near: bool


PlannedDay = tuple[tuple[Cause, ...], ChangedDay]
"""Causes of a day, and the day after them."""


@alike(lambda case: case[0].funnel.drawn_as)
def changed_days(cases: Sequence[tuple[CleanDay, Sequence[Effect]]]) -> list[ChangedDay]:
    """Days after their effects."""
    views = [view for view, _ in cases]
    hours = apply_effects(np.array([view.hours for view in views]), [each for _, each in cases])
    values = daily_values(hours, views[0].funnel)
    changes = deviations(values, np.array([view.baselines for view in views]))
    excess = excess_counts(hours).tolist()
    limits = np.array([view.limits for view in views])
    near = np.logical_or.reduce(near_threshold(changes, limits, PLAN_BAND), axis=1).tolist()
    flagged = (np.abs(changes) >= limits[:, : changes.shape[1]]).tolist()
    return list(map(ChangedDay, hours, values, excess, changes.tolist(), flagged, near))


def limits_of(funnel: Funnel, level: Level) -> Floats:
    """Threshold of each column, then that of a funnel break for each step."""
    return np.array(thresholds(funnel, level) + [level.break_threshold] * len(funnel.steps))


def near_threshold(changes: Floats, limits: Floats, band: float) -> NDArray[np.bool_]:
    """Which deviations lie within the band of their threshold.

    Step rates have a second one, for breaks.

    Args:
        changes: shape (…, columns).
        limits: as `limits_of` tells them, of a shape that is broadcast to the answer's.
        band: relative.
    """
    steps = limits.shape[-1] - changes.shape[-1]
    # One stage more than steps comes before the rates of the steps.
    drops = -changes[..., steps + 1 : 2 * steps + 1]
    sizes = np.concatenate([np.abs(changes), drops], axis=-1) / limits
    return np.asarray((sizes >= 1.0 - band) & (sizes <= 1.0 + band))
