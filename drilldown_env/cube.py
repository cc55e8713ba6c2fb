"""Geometry of a product's cube: leaves, cells, and sums over cells in a fixed order.

A leaf is one value of every dimension. A cell fixes at most three values, which is all that a
segment may; cells are numbered by the dimensions that they fix, everybody first. Sums of floats
are taken slab by slab, in index order, so that every machine rounds alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, pairwise, product

import numpy as np
from numpy.typing import NDArray

from drilldown_env.domain import Domain

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Slab = tuple[slice | int, ...]
MOST_FIXED = 3
"""Most values that a segment fixes."""
EVERYBODY = 0
"""The cell that fixes nothing."""


class Cube:
    """Index tables of one shape.

    Args:
        shape: number of values of each of the four or five dimensions.

    Attributes:
        leaves, cells: how many there are.
        leaf_values: value of each leaf and dimension; shape (leaves, dimensions).
        values: fixed value of each cell and dimension, −1 for any; shape (cells, dimensions).
        singles: each value that a cell fixes, as a cell, else everybody; shape (cells, dimensions).
        fixed: how many values each cell fixes, in rising order.
        tables: cells that fix these dimensions, in the order of their values.
        fixing: the cells that fix 0, 1, 2 and 3 values.
        simple: how many cells fix at most one value; they come first.
        member: which leaves each cell holds; shape (cells, leaves).
        disjoint: whether two cells hold no leaf in common; shape (cells, cells).
        within: whether the first cell lies inside the second; shape (cells, cells).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        axes = range(len(shape))
        self.leaf_values = np.array(list(product(*map(range, shape))))
        self.leaves = len(self.leaf_values)
        self.tables: dict[tuple[int, ...], slice] = {}
        rows: list[list[int]] = []
        for size in range(MOST_FIXED + 1):
            for kept in combinations(axes, size):
                start = len(rows)
                for chosen in product(*(range(shape[axis]) for axis in kept)):
                    fixed = dict(zip(kept, chosen, strict=True))
                    rows.append([fixed.get(axis, -1) for axis in axes])
                self.tables[kept] = slice(start, len(rows))
        self._steps = _steps(shape)
        self.values = np.array(rows)
        self.cells = len(rows)
        self._numbers = {tuple(row): number for number, row in enumerate(rows)}
        starts = np.array([self.tables[axis,].start for axis in axes])
        self.singles = np.where(self.values >= 0, self.values + starts, EVERYBODY)
        self.fixed = (self.values >= 0).sum(axis=1)
        self.simple = int((self.fixed <= 1).sum())
        ends = np.searchsorted(self.fixed, range(MOST_FIXED + 2)).tolist()
        self.fixing = [range(*each) for each in pairwise(ends)]
        own = self.values[:, None, :]
        self.member: Bools = np.all((own < 0) | (own == self.leaf_values[None]), axis=2)
        other = self.values[None, :, :]
        self.disjoint: Bools = np.any((own >= 0) & (other >= 0) & (own != other), axis=2)
        self.within: Bools = np.all((other < 0) | (own == other), axis=2)

    def sums(self, leaves: Floats) -> Floats:
        """Sums over every cell.

        Args:
            leaves: shape (rows, leaves, columns).

        Returns:
            Shape (rows, cells, columns).
        """
        rows, _, columns = leaves.shape
        tables = {tuple(range(len(self.shape))): leaves.reshape(rows, *self.shape, columns)}
        out = np.empty((rows, self.cells, columns), dtype=leaves.dtype)
        for kept, wider, slabs in self._steps:
            table = tables[wider]
            total = np.add(table[slabs[0]], table[slabs[1]])
            for slab in slabs[2:]:
                total += table[slab]
            tables[kept] = total
            if len(kept) <= MOST_FIXED:
                out[:, self.tables[kept]] = total.reshape(rows, -1, columns)
        return out

    def cell_of(self, fixed: Mapping[int, int]) -> int:
        """Number of the cell that fixes these values, by dimension."""
        return self._numbers[tuple(fixed.get(axis, -1) for axis in range(len(self.shape)))]

    def fixed_by(self, cell: int) -> dict[int, int]:
        """Values that a cell fixes, by dimension; inverse of `cell_of`."""
        return {axis: value for axis, value in enumerate(self.values[cell].tolist()) if value >= 0}


def slabs_of(axis: int, length: int) -> list[Slab]:
    """The slabs of a table along an axis, in order."""
    before: Slab = (slice(None),) * axis
    return [(*before, place) for place in range(length)]


def _steps(shape: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...], list[Slab]]]:
    """Dimensions that a table keeps, those of the smallest table it is a sum of, and its slabs."""
    axes, steps = range(len(shape)), []
    for size in range(len(shape) - 1, -1, -1):
        for kept in combinations(axes, size):
            missing = min((axis for axis in axes if axis not in kept), key=lambda a: shape[a])
            wider = tuple(sorted((*kept, missing)))
            slabs = slabs_of(wider.index(missing) + 1, shape[missing])
            steps.append((kept, wider, slabs))
    return steps


def over_days(values: Floats) -> Floats:
    """Sum over the last axis, in order."""
    total = values[..., 0].copy()
    for day in range(1, values.shape[-1]):
        total += values[..., day]
    return total


@lru_cache(maxsize=16)
def cube_of(shape: tuple[int, ...]) -> Cube:
    """The cube of a shape, made once per process."""
    return Cube(shape)


def roles_of(domain: Domain, cell: int) -> list[str]:
    """What the attributes that a cell fixes are about."""
    return [domain.dims[axis].role for axis in cube_of(domain.shape).fixed_by(cell)]


def limited_to(domain: Domain, roles: Collection[str]) -> Bools:
    """Which cells fix only attributes that are about these."""
    others = np.array([dim.role not in roles for dim in domain.dims])
    return ~np.any((cube_of(domain.shape).values >= 0) & others, axis=1)


def segment_of(domain: Domain, cell: int) -> dict[str, str]:
    """A cell as people write it: value by dimension."""
    return {
        domain.dims[axis].name: domain.dims[axis].names[value]
        for axis, value in cube_of(domain.shape).fixed_by(cell).items()
    }
