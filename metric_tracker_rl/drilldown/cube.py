"""Geometry of a product's cube: leaves, cells, and sums over cells in a fixed order.

A leaf is one value of each dimension; a cell fixes none, some or all of them. Cells are numbered
in the order of their values; "any" comes last. Of four dimensions every cell is in the table; of
five those of at most three values, which is all that a segment may be. All sums of floats are
taken slab by slab, in index order, so that every machine rounds alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.domains import Domain

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
MOST_FIXED = 3
"""Most values that a root's segment fixes."""
WHOLE_TABLE = 4
"""Most dimensions of which every cell is in the table."""


class Cube:
    """Index tables of one shape.

    Args:
        shape: number of values of each of the four or five dimensions.

    Attributes:
        leaves, cells: how many there are.
        values: fixed value of each cell and dimension, −1 for any; shape (cells, 4).
        fixed: how many values each cell fixes.
        member: which leaves each cell holds; shape (cells, leaves).
        meet: the cell of the people that two cells share, −1 for none; shape (cells, cells). Where
            that cell is not in the table, it is `cells`.
        within: whether the first cell lies inside the second; shape (cells, cells).
        places: where each cell stands in the table of all cells, of which five dimensions have more
            than are numbered here.
        everybody: the cell that fixes nothing.
        candidates: cells that a root's segment may be.
        pairs: cells of two of a cell's values, itself where it fixes no more; one row per cell.
        singles: cells of one of a cell's values, and everybody; one row per cell.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.leaves = int(np.prod(shape))
        self.whole = len(shape) <= WHOLE_TABLE
        most = len(shape) if self.whole else MOST_FIXED
        table = np.array(list(product(*(range(size + 1) for size in shape))))
        values = np.where(table == np.array(shape), -1, table)
        kept = (values >= 0).sum(axis=1) <= most
        self.values = values[kept]
        self.cells = len(self.values)
        self.cell_shape = tuple(size + 1 for size in shape)
        self.places = np.flatnonzero(kept)
        self._number = np.where(kept, np.cumsum(kept) - 1, self.cells)
        self.fixed = (self.values >= 0).sum(axis=1)
        leaf_values = np.array(list(product(*(range(size) for size in shape))))
        self.leaf_values = leaf_values
        self.member: Bools = np.all(
            (self.values[:, None, :] < 0) | (self.values[:, None, :] == leaf_values[None]), axis=2
        )
        self.everybody = self.cells - 1
        self.meet = self._meet()
        self.within: Bools = self.meet == np.arange(self.cells)[:, None]
        self.candidates = np.flatnonzero(self.fixed <= MOST_FIXED)
        self.pairs = self._ancestors(2, most * (most - 1) // 2)
        self.singles = self._ancestors(1, most + 1)
        self._beside: dict[int, tuple[Ints, Ints]] = {}

    def _meet(self) -> NDArray[np.int16]:
        axes = range(len(self.shape))
        strides = [int(np.prod(self.cell_shape[axis + 1 :])) for axis in axes]
        met = np.zeros((self.cells, self.cells), dtype=np.int64)
        empty = np.zeros((self.cells, self.cells), dtype=bool)
        for axis, stride in enumerate(strides):
            one, other = self.values[:, None, axis], self.values[None, :, axis]
            both = (one >= 0) & (other >= 0) & (one != other)
            value = np.where(one >= 0, one, other)
            met += np.where(value >= 0, value, self.shape[axis]) * stride
            empty |= both
        return np.where(empty, -1, self._number[met]).astype(np.int16)

    def sums(self, leaves: Floats) -> Floats:
        """Sums over every cell.

        Args:
            leaves: shape (rows, leaves, columns).

        Returns:
            Shape (rows, cells, columns).
        """
        return self.sums_of_all(leaves) if self.whole else self._sums_of_few(leaves)

    def sums_of_all(self, leaves: Floats) -> Floats:
        """Sums over every cell of whatever number of values.

        Args:
            leaves: shape (rows, leaves, columns).

        Returns:
            Shape (rows, all cells, columns); `places` tells where those that are numbered stand.
        """
        rows, _, columns = leaves.shape
        out = np.empty((rows, *self.cell_shape, columns), dtype=leaves.dtype)
        inner: tuple[slice | int, ...] = (slice(None), *(slice(0, size) for size in self.shape))
        out[inner] = leaves.reshape(rows, *self.shape, columns)
        for axis in range(len(self.shape), 0, -1):
            slabs = [out[(*inner[:axis], value)] for value in range(self.cell_shape[axis - 1])]
            total = slabs.pop()
            _add_up(slabs, total)
        return out.reshape(rows, -1, columns)

    def _sums_of_few(self, leaves: Floats) -> Floats:
        """Table by table: the sums that keep some dimensions, from those that keep one more."""
        rows, _, columns = leaves.shape
        axes = range(len(self.shape))
        tables = {tuple(axes): leaves.reshape(rows, *self.shape, columns)}
        out = np.empty((rows, self.cells, columns), dtype=leaves.dtype)
        for kept, wider in self._steps:
            place = next(at for at, axis in enumerate(wider) if axis not in kept)
            before: tuple[slice | int, ...] = (slice(None),) * (place + 1)
            table = tables[wider]
            slabs = [table[(*before, value)] for value in range(table.shape[place + 1])]
            total = np.empty_like(slabs[0], order="C")
            _add_up(slabs, total)
            tables[kept] = total
            if len(kept) <= MOST_FIXED:
                out[:, self._places[kept]] = total.reshape(rows, -1, columns)
        return out

    @cached_property
    def _steps(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Dimensions that a table keeps, and those of the table it is the sum of."""
        axes = range(len(self.shape))
        steps = []
        for size in range(len(axes) - 1, -1, -1):
            for kept in combinations(axes, size):
                missing = [axis for axis in axes if axis not in kept]
                if size > MOST_FIXED and missing == [axes[0]]:
                    continue  # no table of three dimensions is taken from this one
                steps.append((kept, tuple(sorted((*kept, missing[0])))))
        return steps

    @cached_property
    def _places(self) -> dict[tuple[int, ...], Ints]:
        """Numbers of the cells that fix exactly some dimensions, in the order of their values."""
        fixes = self.values >= 0
        return {
            kept: np.flatnonzero((fixes == np.isin(np.arange(len(self.shape)), kept)).all(axis=1))
            for kept, _ in self._steps
        }

    def beside(self, cell: int) -> tuple[Ints, Ints]:
        """Other candidates that hold people of a cell, and where the people stand that they share.

        Returns:
            Numbers of cells, and for each a place among `sums_of_all`.
        """
        if cell not in self._beside:
            own, others = self.values[cell], self.values[self.candidates]
            apart = ((own >= 0) & (others >= 0) & (own != others)).any(axis=1)
            kept = ~apart & (self.candidates != cell)
            found = self.candidates[kept]
            self._beside[cell] = found, self.shared(cell, found)
        return self._beside[cell]

    def shared(self, cell: int, others: Ints) -> Ints:
        """Where the people that a cell shares with others stand among `sums_of_all`.

        Args:
            cell: whose people.
            others: cells; of one that shares nobody the place means nothing.
        """
        own, beside = self.values[cell], self.values[others]
        both = np.where(beside >= 0, beside, own)
        both = np.where(both >= 0, both, self.shape)
        return np.ravel_multi_index(tuple(both.T), self.cell_shape)

    @cached_property
    def beside_triples(self) -> tuple[Ints, Ints, Ints]:
        """Cells of three values, and `beside` of each, filled up with its last.

        Returns:
            Shapes (triples,), (triples, others) and (triples, others).
        """
        triples = np.flatnonzero(self.fixed == MOST_FIXED)
        found = [self.beside(cell) for cell in triples.tolist()]
        most = max(len(others) for others, _ in found)
        filled = [
            [np.concatenate([row, np.repeat(row[-1:], most - len(row))]) for row in both]
            for both in found
        ]
        return triples, *np.stack(filled, axis=1)

    def cell_of(self, fixed: Mapping[int, int]) -> int:
        """Number of the cell that fixes these values, by dimension."""
        number = 0
        for axis, size in enumerate(self.shape):
            number = number * (size + 1) + fixed.get(axis, size)
        return int(self._number[number])

    def _ancestors(self, fixed: int, most: int) -> Ints:
        """Cells that fix so many of each cell's values, filled up with the first or `everybody`."""
        table = np.empty((self.cells, most), dtype=np.int64)
        for cell in range(self.cells):
            found = np.flatnonzero(self.within[cell] & (self.fixed == fixed))
            if self.fixed[cell] <= fixed and fixed > 1:
                found = np.array([cell])
            fill = self.everybody if fixed == 1 else int(found[0])
            table[cell] = fill
            table[cell, : len(found)] = found
        return table


def _add_up(slabs: list[Floats], total: Floats) -> None:
    """Write the sum of two or more slabs, in their order."""
    np.add(slabs[0], slabs[1], out=total)
    for slab in slabs[2:]:
        np.add(total, slab, out=total)


def in_order(rows: Sequence[Floats] | Floats) -> Floats:
    """Sum over rows of one shape, in their order."""
    total = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


@lru_cache(maxsize=16)
def cube_of(shape: tuple[int, ...]) -> Cube:
    """The cube of a shape, made once per process."""
    return Cube(shape)


def segment_of(domain: Domain, cell: int) -> dict[str, str]:
    """A cell as people write it: value by dimension."""
    values = cube_of(domain.shape).values[cell].tolist()
    return {
        dim.name: dim.names[value]
        for dim, value in zip(domain.dims, values, strict=True)
        if value >= 0
    }


def cell_of_segment(domain: Domain, segment: Mapping[str, str]) -> int:
    """Number of the cell of a segment whose names are known to be right."""
    dims = list(domain.dim_names)
    fixed = {
        dims.index(name): domain.dims[dims.index(name)].names.index(value)
        for name, value in segment.items()
    }
    return cube_of(domain.shape).cell_of(fixed)
