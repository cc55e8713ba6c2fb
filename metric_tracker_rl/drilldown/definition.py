"""The definition of the answer: a pure function of the counts that reads no plan.

Days on which some cell of a channel moved form runs. A run is explained by the fewest disjoint
segments (one, else two) whose own changes, taken out, leave nothing that moved; see `channel`. The
answer under weekday medians is refined until it repeats: baselines are pooled over the other same
weekdays that no root of the answer touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.drilldown.baselines import Baseline, median_of_weekday, pooled
from metric_tracker_rl.drilldown.channel import (
    STANDARD,
    Channel,
    Constants,
    Explained,
)
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import Bools, Cube, Floats
from metric_tracker_rl.drilldown.levels import LOSS, MIX, RATE, TRAFFIC

CHANNELS = 5
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
    """

    stage: int
    first: int
    last: int
    cell: int
    kind: str

    @property
    def is_traffic(self) -> bool:
        """Whether it is on the traffic side."""
        return self.kind in (TRAFFIC, MIX)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels that it moves."""
        return (self.stage, self.stage + 1) if self.kind == LOSS else (self.stage,)


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

    @property
    def quiet(self) -> float:
        """Largest |z| outside all runs."""
        found = 0.0
        for channel in self.channels:
            calm = np.ones(DAYS, dtype=bool)
            for run in self.runs:
                if run.channel == channel.number:
                    calm[run.first : run.stop] = False
            sums = channel.weight[:, calm], channel.surplus[:, calm], channel.people[:, calm]
            found = max(found, channel.largest(*sums))
        return found


def people_of(cube: Cube, stages: Floats) -> list[Floats | None]:
    """People who enter the step of each channel by cell and day; None for traffic."""
    sums = cube.sums(stages[:-1])
    return [None, *sums]


def answer_under(
    cube: Cube,
    stages: Floats,
    people: Sequence[Floats | None],
    baseline: Baseline,
    constants: Constants = STANDARD,
    channel_type: type[Channel] = Channel,
) -> Answer | None:
    """The answer under one baseline, or None where some run has no explanation.

    `channel_type` decides how noisy cells are taken to be.
    """
    return answer_of(
        channel_type(cube, number, stages, baseline, people[number], constants)
        for number in range(CHANNELS)
    )


def answer_of(given: Iterable[Channel]) -> Answer | None:
    """The answer that channels give, or None at the first run that has no explanation."""
    runs, channels = [], []
    for channel in given:
        channels.append(channel)
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
                roots.append(Root(0, run.first, run.stop - 1, cell, kind))
            else:
                rates[run.channel, run.first, run.stop - 1, cell] = factor
    for (step, first, last, cell), factor in sorted(rates.items()):
        if (step, first, last, cell) not in rates:
            continue
        following = rates.get((step + 1, first, last, cell))
        lost = following is not None and abs(factor * following - 1.0) < FOUND_AGAIN
        if lost:
            del rates[step + 1, first, last, cell]
        roots.append(Root(step, first, last, cell, LOSS if lost else RATE))
    return tuple(sorted(roots))


def touched_by(cube: Cube, roots: Sequence[Root]) -> Bools:
    """Which (channel, leaf, day) some root touches; a mix shift touches everybody."""
    touched = np.zeros((CHANNELS, cube.leaves, DAYS), dtype=bool)
    for root in roots:
        members = slice(None) if root.kind == MIX else cube.member[root.cell]
        for channel in root.channels:
            touched[channel, members, root.first : root.last + 1] = True
    return touched


@dataclass(frozen=True)
class Settled:
    """The definition's answer: the first one under medians and the one that repeats."""

    first: Answer
    last: Answer


Known = dict[tuple[Root, ...] | None, list[Channel]]
"""Channels of some counts by the roots that their baseline leaves out; None for the first."""


def settle(
    cube: Cube,
    stages: Floats,
    constants: Constants = STANDARD,
    people: Sequence[Floats | None] | None = None,
    start: Callable[[Floats], Baseline] = median_of_weekday,
    known: Known | None = None,
) -> Settled | None:
    """The definition, exhaustively: None where some run has no explanation or nothing settles.

    Args:
        cube: geometry.
        stages: counts as floats, shape (stages, leaves, days).
        constants: of the definition.
        people: from `people_of`, where it is known already.
        start: the first baseline.
        known: channels of earlier calls with the same counts and `start`; new ones are added.
    """
    entering = people_of(cube, stages) if people is None else people
    channels: Known = {} if known is None else known

    def answer(roots: tuple[Root, ...] | None) -> Answer | None:
        if roots not in channels:
            baseline = start(stages) if roots is None else pooled(stages, touched_by(cube, roots))
            channels[roots] = [
                Channel(cube, number, stages, baseline, entering[number], constants)
                for number in range(CHANNELS)
            ]
        return answer_of(each.judged_by(constants) for each in channels[roots])

    first = current = answer(None)
    for _ in range(MOST_ROUNDS):
        if current is None or first is None:
            return None
        following = answer(current.roots)
        if following is not None and following.roots == current.roots:
            return Settled(first, following)
        current = following
    return None
