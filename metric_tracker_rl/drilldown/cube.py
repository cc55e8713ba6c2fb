"""Geometry of a product's cube: leaves, cells, and sums over cells in a fixed order.

A leaf is one value of each of the four dimensions; a cell fixes none to four of them. Cells are
numbered; an index equal to a dimension's size stands for "any". All sums of floats are taken slab
by slab, in index order, so that every machine rounds alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.domains import Domain

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
MOST_FIXED = 3
"""Most values that a root's segment fixes."""


class Cube:
    """Index tables of one shape.

    Args:
        shape: number of values of each of the four dimensions.

    Attributes:
        leaves, cells: how many there are.
        values: fixed value of each cell and dimension, −1 for any; shape (cells, 4).
        fixed: how many values each cell fixes.
        member: which leaves each cell holds; shape (cells, leaves).
        meet: the cell of the people that two cells share, −1 for none; shape (cells, cells).
        within: whether the first cell lies inside the second; shape (cells, cells).
        everybody: the cell that fixes nothing.
        candidates: cells that a root's segment may be.
        pairs: cells of two of a cell's values, itself where it fixes no more; shape (cells, 6).
        singles: cells of one of a cell's values, and everybody; shape (cells, 5).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.leaves = int(np.prod(shape))
        self.cell_shape = tuple(size + 1 for size in shape)
        self.cells = int(np.prod(self.cell_shape))
        rows = list(product(*(range(size + 1) for size in shape)))
        table = np.array(rows)
        self.values = np.where(table == np.array(shape), -1, table)
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
        self.pairs = self._ancestors(2, 6)
        self.singles = self._ancestors(1, 5)

    def _meet(self) -> NDArray[np.int16]:
        strides = [int(np.prod(self.cell_shape[axis + 1 :])) for axis in range(4)]
        met = np.zeros((self.cells, self.cells), dtype=np.int64)
        empty = np.zeros((self.cells, self.cells), dtype=bool)
        for axis, stride in enumerate(strides):
            one, other = self.values[:, None, axis], self.values[None, :, axis]
            both = (one >= 0) & (other >= 0) & (one != other)
            value = np.where(one >= 0, one, other)
            met += np.where(value >= 0, value, self.shape[axis]) * stride
            empty |= both
        return np.where(empty, -1, met).astype(np.int16)

    def sums(self, leaves: Floats) -> Floats:
        """Sums over every cell.

        Args:
            leaves: shape (rows, leaves, columns).

        Returns:
            Shape (rows, cells, columns).
        """
        rows, _, columns = leaves.shape
        out = np.empty((rows, *self.cell_shape, columns), dtype=leaves.dtype)
        inner: tuple[slice | int, ...] = (slice(None), *(slice(0, size) for size in self.shape))
        out[inner] = leaves.reshape(rows, *self.shape, columns)
        for axis in (4, 3, 2, 1):
            slabs = [out[(*inner[:axis], value)] for value in range(self.cell_shape[axis - 1])]
            total = slabs.pop()
            np.add(slabs[0], slabs[1], out=total)
            for slab in slabs[2:]:
                np.add(total, slab, out=total)
        return out.reshape(rows, self.cells, columns)

    def cell_of(self, fixed: Mapping[int, int]) -> int:
        """Number of the cell that fixes these values, by dimension."""
        number = 0
        for axis, size in enumerate(self.shape):
            number = number * (size + 1) + fixed.get(axis, size)
        return number

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
