"""What acceptance and a certificate both ask: whether detectors agree and causes can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from metric_tracker_rl.drilldown.baselines import (
    Baseline,
    by_stage,
    median_of_others,
    median_of_weekday,
    running_median,
)
from metric_tracker_rl.drilldown.causes import Cause, counted
from metric_tracker_rl.drilldown.channel import Channel
from metric_tracker_rl.drilldown.clean import Clean
from metric_tracker_rl.drilldown.cube import Cube, Floats
from metric_tracker_rl.drilldown.definition import Root, answer_under, settle
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
    names: Sequence[str] = tuple(DETECTORS),
) -> Iterator[str]:
    """Detectors, of those named, whose full search finds other roots."""
    for name in names:
        baseline, noise = DETECTORS[name]
        answer = answer_under(cube, stages, people, baseline(stages), channel_type=noise)
        if answer is None or answer.roots != roots:
            yield name


def roots_with(cube: Cube, clean: Clean, causes: Sequence[Cause]) -> tuple[Root, ...] | None:
    """The definition's answer with only some of the causes, under the same noise."""
    settled = settle(cube, by_stage(counted(cube, clean, causes)))
    return None if settled is None else settled.last.roots


def is_undone(cube: Cube, clean: Clean, causes: Sequence[Cause], number: int) -> bool:
    """Whether taking back one cause leaves exactly the roots of the others."""
    others = [*causes[:number], *causes[number + 1 :]]
    planned = tuple(sorted(root for each in others for root in each.roots))
    return roots_with(cube, clean, others) == planned
