"""The definition of the answer: a pure function of the counts that reads no plan.

Days on which some cell of a channel moved form runs. A run is explained by the fewest disjoint
segments (one, else two) whose own changes, taken out, leave nothing that moved; see `channel`. The
answer under weekday medians is refined until it repeats: baselines are pooled over the other same
weekdays that no root of the answer touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drilldown_env.baselines import (
    Baseline,
    Weekdays,
    pooled,
)
from drilldown_env.channel import CHANNELS, Channel, Explained, channels_of
from drilldown_env.config import DAYS
from drilldown_env.cube import Bools, Cube, Floats, over_days
from drilldown_env.levels import LOSS, MIX, RATE, TRAFFIC

LONGEST_RUN = 7
MOST_ROUNDS = 5
FOUND_AGAIN = 0.12
"""How far from 1 the product of the two factors of a tracking loss may be."""


@dataclass(frozen=True, order=True)
class Root:
    """One root.

    Attributes:
        stage: index of the stage that the step leads into; 0 for traffic.
        first, last: days of the run.
        cell: number of the segment's cell.
        kind: one of `KINDS`.
        rises: whether the segment's traffic or rate rose.
    """

    stage: int
    first: int
    last: int
    cell: int
    kind: str
    rises: bool


@dataclass(frozen=True)
class Answer:
    """What the definition says.

    Attributes:
        roots: sorted.
        runs: the explanations behind them.
        channels: every channel under its baseline.
    """

    roots: tuple[Root, ...]
    runs: tuple[Explained, ...]
    channels: tuple[Channel, ...]


Detector = Callable[[Cube, Floats, Floats], "Answer | None"]


def answer_under(
    cube: Cube, stages: Floats, people: Floats, baseline: Baseline, *, robust: bool = False
) -> Answer | None:
    """The answer under one baseline, or None where some run has no explanation."""
    return answer_of(channels_of(cube, stages, people, baseline, robust=robust))


def answer_of(channels: Sequence[Channel]) -> Answer | None:
    """The answer that all channels of some counts give, or None as above."""
    runs = []
    for channel in channels:
        for first, stop in runs_of(channel.moved_on()):
            found = channel.explain(first, stop) if stop - first <= LONGEST_RUN else None
            if found is None:
                return None
            runs.append(found)
    return Answer(roots_of(runs), tuple(runs), tuple(channels))


def runs_of(moved: Bools) -> list[tuple[int, int]]:
    """Rows of consecutive days: first day and the day after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], moved.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def roots_of(runs: Sequence[Explained]) -> tuple[Root, ...]:
    """Roots of explained runs; inverse changes of two steps in a row are one tracking loss."""
    rates: dict[tuple[int, int, int, int], float] = {}
    roots = []
    for run in runs:
        for cell, factor in zip(run.cells, run.factors, strict=True):
            if run.channel == 0:
                kind = MIX if run.mix else TRAFFIC
                roots.append(Root(0, run.first, run.stop - 1, cell, kind, factor > 1.0))
            else:
                rates[run.channel, run.first, run.stop - 1, cell] = factor
    for (step, first, last, cell), factor in sorted(rates.items()):
        if (step, first, last, cell) not in rates:
            continue
        following = rates.get((step + 1, first, last, cell))
        lost = following is not None and abs(factor * following - 1.0) < FOUND_AGAIN
        if lost:
            del rates[step + 1, first, last, cell]
        roots.append(Root(step, first, last, cell, LOSS if lost else RATE, factor > 1.0))
    return tuple(sorted(roots))


def touched_by(cube: Cube, roots: Sequence[Root]) -> Bools:
    """Which (channel, leaf, day) some root touches; a mix shift touches everybody."""
    touched = np.zeros((CHANNELS, cube.leaves, DAYS), dtype=bool)
    for root in roots:
        members = slice(None) if root.kind == MIX else cube.member[root.cell]
        channels = (root.stage, root.stage + 1) if root.kind == LOSS else (root.stage,)
        for channel in channels:
            touched[channel, members, root.first : root.last + 1] = True
    return touched


def people_of(cube: Cube, stages: Floats) -> Floats:
    """People in each stage but the last by cell and day, shape (stages − 1, cells, days)."""
    return cube.sums(stages[:-1])


def settle(cube: Cube, stages: Floats, people: Floats) -> Answer | None:
    """The definition, exhaustively: None where some run has no explanation or nothing settles.

    Args:
        cube: geometry.
        stages: counts as floats, shape (stages, leaves, days).
        people: from `people_of`.
    """
    current = answer_under(cube, stages, people, Weekdays(stages).median())
    for _ in range(MOST_ROUNDS):
        if current is None:
            return None
        baseline = pooled(stages, touched_by(cube, current.roots))
        following = answer_under(cube, stages, people, baseline)
        if following is not None and following.roots == current.roots:
            return following
        current = following
    return None


DETECTORS: dict[str, Detector] = {
    "median_of_weekday": lambda c, s, p: answer_under(c, s, p, Weekdays(s).median()),
    "definition": settle,
    "median_of_others": lambda c, s, p: answer_under(c, s, p, Weekdays(s).median_of_others()),
    "midmean_of_weekday": lambda c, s, p: answer_under(c, s, p, Weekdays(s).midmean()),
    "seen_noise": lambda c, s, p: answer_under(c, s, p, Weekdays(s).median(), robust=True),
}
"""Five sound ways to find the roots of given counts; `certify` asks all of them."""


def dissent(cube: Cube, stages: Floats, roots: tuple[Root, ...]) -> Iterator[str]:
    """Detectors that find other roots."""
    people = people_of(cube, stages)
    for name, detect in DETECTORS.items():
        answer = detect(cube, stages, people)
        if answer is None or answer.roots != roots:
            yield name


def explaining(channel: Channel, run: Explained) -> list[int]:
    """Every single segment that explains a run, as the kind that the rule makes it."""
    days = slice(run.first, run.stop)
    total, extra = over_days(channel.weight[:, days]), over_days(channel.surplus[:, days])
    mixed, _ = channel.mixes(total, extra)
    found = []
    for cell, mix in enumerate(mixed.tolist()):
        others = (own for own in run.cells if own != cell)
        if any(channel.still_moves(own, days, cell, mix) for own in others):
            continue
        if channel.left(days, [cell], mix) is not None:
            found.append(cell)
    return found
