"""From a configuration to counts that the definition answers in one way.

A draw makes a clean model, plans causes, samples the counts and asks the definition, which sees
the counts alone. It is accepted only if the answer is the plan under medians, under the pooled
baselines of the second round and to every other sound detector, if each cause taken back takes its
own roots with it and no others, if no segment of nearly as much gain explains a run as well, and if
every number keeps clear of what decides it. Labels come from the definition, never from the plan.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.agreement import can_be_undone, dissent, roots_of_causes
from metric_tracker_rl.drilldown.baselines import by_stage, median_of_weekday, pooled
from metric_tracker_rl.drilldown.causes import Cause, Planner, counted
from metric_tracker_rl.drilldown.change_log import Entry, draw_log
from metric_tracker_rl.drilldown.channel import Explained
from metric_tracker_rl.drilldown.clean import Clean, draw_clean
from metric_tracker_rl.drilldown.config import DAYS, DrillConfig
from metric_tracker_rl.drilldown.cube import cube_of
from metric_tracker_rl.drilldown.definition import (
    Answer,
    Known,
    Root,
    answer_under,
    people_of,
    touched_by,
)
from metric_tracker_rl.drilldown.faint_causes import FaintPlanner
from metric_tracker_rl.drilldown.levels import MIX
from metric_tracker_rl.drilldown.rivals import has_rivals
from openenv_kit.bitstream import BitStream

FIRST_DATE = dt.date(2023, 1, 1)
DATE_SPAN = 700
"""Episodes start within this many days of `FIRST_DATE`; no clock is ever read."""
QUIET = 5.25
"""Largest |z| that may be left unexplained."""
CLEAR = 8.3
"""Least |z| of a root in its segment, each day."""
CLEAR_TAU = 2.05
"""Least |x| of a root in its segment, each day, in units of tau."""
MARGIN = 64.0
"""Least lead in gain over the next explanation."""
FEWEST_PEOPLE = 1030.0
"""People who enter the step in a root's segment, each day; the promise is 400."""
HIDDEN = 3.0
"""A hidden root stays below this |z| in every single-value slice and in the total."""


@dataclass(frozen=True)
class Draw:
    """One accepted draw.

    Attributes:
        dates: ISO date of each day.
        counts: shape (leaves, stages, days), read-only.
        roots: the definition's answer.
        log: the change log.
        causes: what was planned.
        clean: the model behind it, for certificates.
        runs: the explanations of the answer.
        draws: how many draws this took.
    """

    dates: tuple[str, ...]
    counts: NDArray[np.int32]
    roots: tuple[Root, ...]
    log: tuple[Entry, ...]
    causes: tuple[Cause, ...]
    clean: Clean
    runs: tuple[Explained, ...]
    draws: int


def attempt_draw(config: DrillConfig, attempt: int, *, admitted: bool = False) -> Draw | str:
    """One draw, or why it was rejected; whether it can be solved is asked in `building`.

    Args:
        config: what is drawn.
        attempt: number of the draw, from 0.
        admitted: whether it is known to be accepted. The definition then has its last round only,
            which the labels come from.
    """
    cube = cube_of(config.domain.shape)
    stream = BitStream(config.identity, attempt)
    first = FIRST_DATE + dt.timedelta(days=stream.below(DATE_SPAN))
    clean = draw_clean(stream, config.domain, config.level.noise, first.weekday())
    planner_type = FaintPlanner if config.level.faint else Planner
    planner = planner_type(cube, clean, config.level, stream)
    causes = planner.plan(config.causes)
    if causes is None:
        return "no room for a cause"
    counts = counted(cube, clean, causes)
    stages = by_stage(counts)
    people = people_of(cube, stages)
    planned, known = roots_of_causes(causes), Known()
    answer, reason = None, None
    if not admitted:
        answer = answer_under(cube, stages, people, median_of_weekday(stages))
        known[None] = list(answer.channels) if answer else []
        reason = rejected(answer, planned, causes)
    if reason is None:  # the definition's second round, which must be its last
        baseline = pooled(stages, touched_by(cube, planned))
        answer = answer_under(cube, stages, people, baseline)
        reason = rejected(answer, planned, causes, admitted=admitted)
    if answer is None or reason is not None:
        return reason or ""
    if not admitted:
        if any(dissent(cube, stages, people, planned, ("median_of_others", "robust_z"))):
            return "baselines disagree"
        if any(has_rivals(answer.channels[run.channel], run) for run in answer.runs):
            return "another explanation"
        known[planned] = list(answer.channels)
        each_and_all = *([cause] for cause in causes), causes
        if not all(can_be_undone(cube, clean, causes, taken, known) for taken in each_and_all):
            return "a cause cannot be taken back"
        if any(dissent(cube, stages, people, planned, ("running_median",))):  # the dearest one
            return "baselines disagree"
    log = draw_log(config.domain, planner, planned, stream)
    counts.setflags(write=False)
    return Draw(
        dates=tuple((first + dt.timedelta(days=day)).isoformat() for day in range(DAYS)),
        counts=counts,
        roots=answer.roots,
        log=log,
        causes=tuple(causes),
        clean=clean,
        runs=answer.runs,
        draws=attempt + 1,
    )


def rejected(
    answer: Answer | None,
    planned: tuple[Root, ...],
    causes: Sequence[Cause],
    *,
    admitted: bool = False,
) -> str | None:
    """Why an answer under one baseline is not accepted, or None where it is.

    Of a draw that is known to be accepted only the labels are compared with the plan.
    """
    if answer is None:
        return "no explanation"
    if answer.roots != planned:
        return "not the plan"
    if admitted:
        return None
    if max([answer.quiet, *(run.left for run in answer.runs)]) > QUIET:
        return "something nearly moved"
    for run in answer.runs:
        if run.weakest[0] < CLEAR or run.weakest[1] < CLEAR_TAU:
            return "a root is faint"
        if run.people < FEWEST_PEOPLE:
            return "few people"
        if run.margin < MARGIN:
            return "a near tie"
        if not run.clear:
            return "traffic or mix"
    if _shows(answer, causes):
        return "a hidden root shows"
    return None


def _shows(answer: Answer, causes: Sequence[Cause]) -> bool:
    """Whether a run of a hidden cause shows in single-value slices."""
    hidden = {
        (effect.channel, effect.first)
        for cause in causes
        if cause.family != MIX
        for effect in cause.effects
    }
    return any((run.channel, run.first) in hidden and run.shown >= HIDDEN for run in answer.runs)
