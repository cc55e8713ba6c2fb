"""From a configuration to counts that the definition answers in one way.

A draw makes a clean model, plans causes, samples the counts and asks the definition, which sees
the counts alone. It is accepted only if the answer is the plan under four sound baselines, if
every root shows as its level wants, and if every number keeps clear of what decides it. Labels come
from the definition, never from the plan.

Each draw is made twice, with its roots and with them taken back, and accepted only if both are: so
an episode without a root takes the work of any other, and the time of a reset does not tell it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilldown_env.alert import draw_alert
from drilldown_env.baselines import Weekdays, by_stage, pooled
from drilldown_env.causes import Cause, counted, roots_of_causes
from drilldown_env.change_log import Entry, Event, draw_log
from drilldown_env.channel import PEOPLE, Channel, Explained, channels_of
from drilldown_env.clean import Clean, draw_clean
from drilldown_env.config import DAYS, DrillConfig
from drilldown_env.cube import Bools, Cube, cube_of
from drilldown_env.definition import Answer, Root, answer_of, people_of, settle, touched_by
from drilldown_env.levels import MIX
from drilldown_env.planner import Planner, draw_wanted
from openenv_kit.bitstream import BitStream

FIRST_MONDAY = dt.date(2023, 1, 2)
WEEKS_SPAN = 100
"""Episodes start within this many weeks of `FIRST_MONDAY`; no clock is ever read."""
CALM = 5.25
"""Largest |z| that may be left unexplained."""
SURE = 7.5
"""Least |z| of a root in its segment, each day."""
SURE_TAU = 1.8
"""Least |x| of a root in its segment, each day, in units of tau."""
OWN_NOISE = 6.6
"""The same of its noise as it was seen to be."""
MARGIN = 64.0
"""Least lead in gain over the next explanation."""
CLEAR, FAINT, IN_PAIRS = 5.0, 3.0, 6.0
"""|z| by week: least of a clear root in some single value; of a faint one, most in any single value
and total, and least in some pair of values."""


@dataclass(frozen=True)
class Draw:
    """One accepted draw.

    Attributes:
        dates: ISO date of each day.
        counts: shape (leaves, stages, days), read-only.
        roots: the definition's answer, without what the calendar announces.
        events: the calendar.
        log: the change log.
        alert: what it begins with.
        causes: what was planned.
        clean: the model behind it, for certificates.
        answer: the definition's last round.
    """

    dates: tuple[str, ...]
    counts: NDArray[np.int32]
    roots: tuple[Root, ...]
    events: tuple[Event, ...]
    log: tuple[Entry, ...]
    alert: str
    causes: tuple[Cause, ...]
    clean: Clean
    answer: Answer


def attempt_draw(config: DrillConfig, attempt: int) -> tuple[Draw, Draw] | str:
    """One draw, with its roots and with them taken back, or why it was rejected.

    A configuration without roots plans as many as another of its level has.

    Args:
        config: what is drawn.
        attempt: number of the draw, from 0.
    """
    domain = config.domain
    cube = cube_of(domain.shape)
    stream = BitStream(config.identity, attempt)
    first = FIRST_MONDAY + dt.timedelta(weeks=stream.integer_below(WEEKS_SPAN))
    clean = draw_clean(stream, domain, config.level.noise)
    sizes = BitStream(f"{config.identity}/sizes")
    number = config.roots or sizes.choose([each for each in config.level.roots if each])
    wanted = draw_wanted(config.level, number, sizes)
    causes = Planner(domain, clean, config.level, stream).plan(wanted)
    if causes is None:
        return "no room for a cause"
    found = []
    for kept in (causes, [cause for cause in causes if cause.announced]):
        counts = counted(cube, clean, kept)
        counts.setflags(write=False)
        answers = answers_to(cube, counts, kept)
        if isinstance(answers, str):
            return answers
        usual, last = answers
        mixes = (cause for cause in kept if cause.kind == MIX and len(kept) > 1)
        if not all(taken_back(cube, clean, kept, [mix]) for mix in mixes):  # it touches everybody
            return "a cause hides another root"
        events = events_of(kept)
        roots = tuple(r for r in last.roots if not any(event.explains(r) for event in events))
        log = draw_log(domain, roots, stream)
        alert = draw_alert(domain, first, usual.channels, events, stream)
        dates = tuple((first + dt.timedelta(days=day)).isoformat() for day in range(DAYS))
        found.append(Draw(dates, counts, roots, events, log, alert, tuple(kept), clean, last))
    return found[0], found[1]


def answers_to(
    cube: Cube, counts: NDArray[np.int32], causes: Sequence[Cause]
) -> tuple[Answer, Answer] | str:
    """The answers under weekday medians and of the definition, or why they are not accepted."""
    stages = by_stage(counts)
    people, weekdays = people_of(cube, stages), Weekdays(stages)
    planned = roots_of_causes(causes)
    touched = touched_by(cube, planned)
    calm: Bools = ~np.any(touched, axis=1)
    baselines = [weekdays.median, weekdays.median_of_others]
    if any(not cause.announced for cause in causes):  # else the others see less than these
        baselines += [weekdays.midmean, lambda: pooled(stages, touched)]
    answers: list[Answer] = []
    for baseline in baselines:  # what is soonest known comes first: most draws fail on it
        channels = channels_of(cube, stages, people, baseline())
        if max(each.near.largest(calm[each.number]) for each in channels) > CALM:
            return "something nearly moved"
        if not answers and not all(shows(channels, cause) for cause in causes):
            return "a root shows too much or too little"
        answer = answer_of(channels)
        if answer is None or answer.roots != planned:
            return "not the plan"
        if reason := rejected(answer):
            return reason
        answers.append(answer)
    usual, last = answers[0], answers[-1]
    if not all(seen(usual.channels[run.channel], run) for run in usual.runs):
        return "a root is hardly sure"
    return usual, last


def taken_back(cube: Cube, clean: Clean, causes: Sequence[Cause], taken: Sequence[Cause]) -> bool:
    """Whether the counts without some causes have exactly the roots of the others."""
    others = [cause for cause in causes if cause not in taken]
    stages = by_stage(counted(cube, clean, others))
    answer = settle(cube, stages, people_of(cube, stages))
    return answer is not None and answer.roots == roots_of_causes(others)


def events_of(causes: Sequence[Cause]) -> tuple[Event, ...]:
    """The calendar of what was planned, by date."""
    found = [e for cause in causes if cause.announced for e in cause.effects]
    return tuple(
        Event(e.first, e.stop - 1, e.cell, e.factor > 1.0)
        for e in sorted(found, key=lambda each: each.first)
    )


def rejected(answer: Answer) -> str | None:
    """Why an answer under one baseline is not accepted, or None where it is."""
    if max((run.left for run in answer.runs), default=0.0) > CALM:
        return "something nearly moved"
    for run in answer.runs:
        if run.weakest[0] < SURE or run.weakest[1] < SURE_TAU:
            return "a root is hardly sure"
        if run.people < 1.2 * PEOPLE:
            return "few people"
        if run.margin < MARGIN:
            return "a near tie"
        if not run.clear:
            return "traffic or mix"
    return None


def seen(channel: Channel, run: Explained) -> bool:
    """Whether a run stands out of its segments' noise as it was seen to be on other days."""
    cells, days = list(run.cells), slice(run.first, run.stop)
    found = np.sqrt(channel.seen_noise2(cells)) * channel.weight[cells, days]
    return bool(np.all(np.abs(channel.surplus[cells, days]) >= OWN_NOISE * found))


def shows(channels: Sequence[Channel], cause: Cause) -> bool:
    """Whether a cause shows by week as it should: in a single value if clear, else not."""
    if cause.kind == MIX:
        return True
    for effect in cause.effects:
        channel, cube = channels[effect.channel], channels[effect.channel].cube
        weeks = range(effect.first // 7, (effect.stop - 1) // 7 + 1)
        small = slice(0, cube.fixing[2].stop if cause.faint else cube.simple)
        z = np.stack([np.abs(channel.shown(slice(7 * w, 7 * w + 7), small)) for w in weeks])
        held = cube.within[effect.cell][small]
        if not cause.faint:
            if float(np.max(z[:, held])) < CLEAR:
                return False
            continue
        pairs = held & (cube.fixed[small] == 2)
        if float(np.max(z[:, pairs])) < IN_PAIRS or float(np.max(z[:, : cube.simple])) >= FAINT:
            return False
    return True
