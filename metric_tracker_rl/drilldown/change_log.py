"""The change log: public entries, most of which have nothing to do with any root.

Roots and phantoms (things that could have been planned but were not) get entries by one and the
same pattern, at least four phantoms for each root, and the log always has the same length: neither
its dates nor its scopes nor its size tell where a root is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import Cube, cube_of
from metric_tracker_rl.drilldown.definition import Root
from metric_tracker_rl.drilldown.domains import TRACKING, Domain
from metric_tracker_rl.drilldown.levels import LOSS
from openenv_kit.bitstream import BitStream

if TYPE_CHECKING:
    from metric_tracker_rl.drilldown.causes import Planner

ENTRIES = 56
"""Length of every log."""
LAG = 2
"""An answering entry is at most so many days older than the root."""
DOCUMENTED = 0.35
"""Chance that a root or phantom has the right entry."""
NEAR = 7
"""Days around an undocumented root in which no entry shares two of its values."""
UNATTRIBUTED = "unattributed"


@dataclass(frozen=True, order=True)
class Entry:
    """One entry.

    Attributes:
        day: index of its date.
        component: what was changed.
        cell: its scope.
        number: place in the log, from 1; decides its id.
    """

    day: int
    component: str
    cell: int
    number: int = 0

    @property
    def id(self) -> str:
        """What a report row names."""
        return f"chg-{self.number:02d}"


def change_of(cube: Cube, domain: Domain, root: Root, log: Sequence[Entry]) -> str:
    """The entry that a root is due to, by the public rule, or `unattributed`.

    Of the root's component, with a scope that holds the whole segment, 0 to 2 days before the
    first day; of several the latest, and of one day the first in the log.
    """
    component = TRACKING if root.kind == LOSS else domain.components[root.stage]
    fitting = [
        entry
        for entry in log
        if entry.component == component
        and cube.within[root.cell, entry.cell]
        and 0 <= root.first - entry.day <= LAG
    ]
    return (
        max(fitting, key=lambda entry: (entry.day, -entry.number)).id if fitting else UNATTRIBUTED
    )


def draw_log(
    domain: Domain, planner: Planner, roots: Sequence[Root], stream: BitStream
) -> tuple[Entry, ...]:
    """The log of a draw, ordered by date."""
    cube = cube_of(domain.shape)
    real: list[Entry] = []
    undocumented = []
    for root in roots:
        component = TRACKING if root.kind == LOSS else domain.components[root.stage]
        if stream.uniform() < DOCUMENTED:
            real += _entries(cube, domain, component, root.cell, root.first, stream)
        else:
            undocumented.append(root)
    others: list[Entry] = []
    phantoms = planner.phantoms()
    while len(real) + len(others) < ENTRIES:
        channel, cells = stream.pick(phantoms) if phantoms else (0, [cube.everybody])
        cell, first = stream.pick(cells), stream.below(DAYS)
        component = domain.components[channel]
        if channel and stream.uniform() < 0.25:
            component = TRACKING
        if stream.uniform() < DOCUMENTED:
            made = _entries(cube, domain, component, cell, first, stream)
        else:
            other = _other(domain, component, stream)
            scope = _widened(cube, cell, stream)
            made = [Entry(first, other, scope)]
        others += [
            each
            for each in made
            if not _answers_some(cube, domain, each, roots)
            and not _near_some(cube, each, undocumented)
        ]
    mixed = sorted(
        enumerate(stream.shuffled([*real, *others][:ENTRIES])),
        key=lambda each: (each[1].day, each[0]),
    )
    return tuple(
        Entry(entry.day, entry.component, entry.cell, number)
        for number, (_, entry) in enumerate(mixed, start=1)
    )


def _entries(
    cube: Cube, domain: Domain, component: str, cell: int, first: int, stream: BitStream
) -> list[Entry]:
    """The right entry of a root or phantom, and a near miss."""
    scope = _widened(cube, cell, stream)
    right = Entry(max(first - stream.below(LAG + 1), 0), component, scope)
    turn = stream.below(4)
    if turn == 0:
        near = Entry(right.day, _other(domain, component, stream), scope)
    elif turn == 1:
        near = Entry(max(first - 3 - stream.below(6), 0), component, scope)
        if near.day >= first - LAG:
            return [right]
    elif turn == 2:
        near = Entry(min(first + 1 + stream.below(3), DAYS - 1), component, scope)
        if near.day <= first:
            return [right]
    else:
        near = Entry(right.day, component, _sibling(cube, scope, stream))
    return [right, near]


def _other(domain: Domain, component: str, stream: BitStream) -> str:
    names = [each for each in (*domain.components, TRACKING) if each != component]
    return stream.pick(names)


def _fixed(cube: Cube, cell: int) -> dict[int, int]:
    return {axis: v for axis, v in enumerate(cube.values[cell].tolist()) if v >= 0}


def _widened(cube: Cube, cell: int, stream: BitStream) -> int:
    """A scope that keeps some of a segment's values, never all: changes reach more than break."""
    fixed = _fixed(cube, cell)
    kept = stream.below(max(len(fixed), 1))
    names = stream.shuffled(sorted(fixed))[:kept]
    return cube.cell_of({axis: fixed[axis] for axis in names})


def _sibling(cube: Cube, cell: int, stream: BitStream) -> int:
    """The scope with one value exchanged."""
    fixed = _fixed(cube, cell)
    axis = stream.pick(sorted(fixed) or [0])
    step = 1 + stream.below(cube.shape[axis] - 1)
    fixed[axis] = (fixed.get(axis, 0) + step) % cube.shape[axis]
    return cube.cell_of(fixed)


def _answers_some(cube: Cube, domain: Domain, entry: Entry, roots: Sequence[Root]) -> bool:
    """Whether an entry would answer a root by accident."""
    return any(change_of(cube, domain, root, [entry]) != UNATTRIBUTED for root in roots)


def _near_some(cube: Cube, entry: Entry, roots: Sequence[Root]) -> bool:
    """Whether an entry shares two values with an undocumented root within a week."""
    return any(
        root.first - NEAR <= entry.day <= root.last + NEAR
        and int(
            (
                (cube.values[entry.cell] == cube.values[root.cell]) & (cube.values[root.cell] >= 0)
            ).sum()
        )
        >= 2
        for root in roots
    )
