"""What acceptance and a certificate both ask: whether detectors agree and causes can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from metric_tracker_rl.drilldown.baselines import (
    Baseline,
    by_stage,
    median_of_others,
    median_of_weekday,
    pooled,
    running_median,
)
from metric_tracker_rl.drilldown.causes import Cause, applied, counted
from metric_tracker_rl.drilldown.channel import STANDARD, Channel
from metric_tracker_rl.drilldown.clean import Clean, sample
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import Cube, Floats, Ints
from metric_tracker_rl.drilldown.definition import (
    CHANNELS,
    Known,
    Root,
    answer_under,
    people_of,
    roots_of,
    runs_of,
    settle,
    touched_by,
)
from metric_tracker_rl.drilldown.robust_channel import RobustChannel

DETECTORS: dict[str, tuple[Callable[[Floats], Baseline], type[Channel]]] = {
    "median_of_weekday": (median_of_weekday, Channel),
    "median_of_others": (median_of_others, Channel),
    "robust_z": (median_of_weekday, RobustChannel),
    "running_median": (running_median, Channel),
}
"""Baselines that need no answer first, and what is taken for noise; the definition is the fifth."""


def dissent(
    cube: Cube,
    stages: Floats,
    people: Sequence[Floats | None],
    roots: tuple[Root, ...],
    names: Iterable[str] = DETECTORS,
) -> Iterator[str]:
    """Detectors, of those named, whose full search finds other roots."""
    for name in names:
        baseline, noise = DETECTORS[name]
        answer = answer_under(cube, stages, people, baseline(stages), channel_type=noise)
        if answer is None or answer.roots != roots:
            yield name


def can_be_undone(
    cube: Cube, clean: Clean, causes: Sequence[Cause], taken: Sequence[Cause], known: Known
) -> bool:
    """Whether the counts without some causes, under the same noise, have exactly the others' roots.

    Args:
        cube: geometry.
        clean: the draw's clean model.
        causes: all that was planned.
        taken: those that are taken back.
        known: channels of the counts with all causes; see `settle`.
    """
    others = [cause for cause in causes if cause not in taken]
    left = roots_of_causes(others)
    if _quickly_undone(cube, clean, causes, taken, known):
        return True
    settled = settle(cube, by_stage(counted(cube, clean, others)))
    return settled is not None and settled.last.roots == left


def _quickly_undone(
    cube: Cube, clean: Clean, causes: Sequence[Cause], taken: Sequence[Cause], known: Known
) -> bool:
    """The same where every change lasts one day; False says nothing.

    What is usual on a weekday depends on that weekday alone. So the weekdays of what is taken back
    are looked at anew, and of the others what is known still holds.
    """
    planned = roots_of_causes(causes)
    effects = [effect for cause in causes for effect in cause.effects]
    lasting = any(effect.stop > effect.first + 1 for effect in effects)
    if lasting or not taken or None not in known or planned not in known:
        return False
    others = [cause for cause in causes if cause not in taken]
    left = roots_of_causes(others)
    weekdays = {effect.first % 7 for cause in taken for effect in cause.effects}
    days = np.flatnonzero(np.isin(np.arange(DAYS) % 7, sorted(weekdays)))
    traffic, rates = applied(cube, clean, others)
    same = replace(clean, noise=clean.noise[:, :, days])
    stages = by_stage(sample(same, traffic[:, days], rates[:, :, days]))
    people = people_of(cube, stages)
    touched = touched_by(cube, left)[:, :, days]
    rounds = (known[None], median_of_weekday(stages)), (known[planned], pooled(stages, touched))
    return all(
        _roots_with(
            channels,
            [Channel(cube, k, stages, baseline, people[k], STANDARD) for k in range(CHANNELS)],
            days,
        )
        == left
        for channels, baseline in rounds
    )


def _roots_with(
    channels: Sequence[Channel], changed: Sequence[Channel], days: Ints
) -> tuple[Root, ...] | None:
    """Roots of channels some of whose days are changed, or None where they cannot be told so.

    Args:
        channels: every day.
        changed: the days that are changed, alone.
        days: which these are.
    """
    runs = []
    for known, fresh in zip(channels, changed, strict=True):
        moved = known.moved_on().copy()
        moved[days] = fresh.moved_on()
        for first, stop in runs_of(moved):
            place = int(np.searchsorted(days, first))
            if not np.isin(np.arange(first, stop), days).any():
                found = known.explain(first, stop)
            else:
                found = fresh.explain(place, place + 1) if stop == first + 1 else None
            if found is None:
                return None
            runs.append(replace(found, first=first, stop=stop))
    return roots_of(runs)


def roots_of_causes(causes: Sequence[Cause]) -> tuple[Root, ...]:
    """Roots that are planned, sorted."""
    return tuple(sorted(root for cause in causes for root in cause.roots))
