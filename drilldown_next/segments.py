"""The segments of a product: single values and pairs of values of two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int32]
Counts = NDArray[np.uint16]
"""People by leaf, stage and day, shape (leaves, stages, days)."""
Mask = NDArray[np.bool_]

MAX_SHARE = 0.85
"""Largest share of everybody that a segment may contain, and of each of its values a pair."""


class DimensionValue(NamedTuple):
    """One value of one dimension, as their indices."""

    dimension: int
    value: int


Segment = tuple[DimensionValue, ...]
"""One value, or two values of different dimensions in the order of the dimensions."""


class SegmentDays(NamedTuple):
    """People of one segment at one step on consecutive days.

    Attributes:
        step: index of the step; step 0 leads from the first to the second stage.
        segment: index of the segment in the segment table.
        first, last: indices of the first and the last day.
    """

    step: int
    segment: int
    first: int
    last: int


def list_segments(shape: Sequence[int]) -> tuple[Segment, ...]:
    """Return all segments: single values by dimension and value, then pairs.

    Pairs are ordered by first dimension, second dimension, first value and second value.

    Args:
        shape: number of values of each dimension.
    """
    singles = [
        (DimensionValue(dimension, value),)
        for dimension, size in enumerate(shape)
        for value in range(size)
    ]
    pairs = [
        (DimensionValue(first, first_value), DimensionValue(second, second_value))
        for first, second in combinations(range(len(shape)), 2)
        for first_value, second_value in product(range(shape[first]), range(shape[second]))
    ]
    return (*singles, *pairs)


@dataclass(frozen=True)
class SegmentTable:
    """All segments of people with the given dimensions; see `build_segment_table`.

    Attributes:
        shape: number of values of each dimension. A leaf is one value of each dimension; leaves are
            numbered in the order of `itertools.product`.
    """

    shape: tuple[int, ...]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, in the order of `list_segments`."""
        return list_segments(self.shape)

    @cached_property
    def index_of(self) -> dict[Segment, int]:
        """Index of each segment in `segments`."""
        return {segment: index for index, segment in enumerate(self.segments)}

    @cached_property
    def value_count(self) -> int:
        """Number of single values, which are the first segments."""
        return sum(self.shape)

    @cached_property
    def leaf_count(self) -> int:
        """Number of leaves."""
        return int(np.prod(self.shape))

    @cached_property
    def leaves(self) -> Mask:
        """Whether a leaf belongs to a segment, shape (segments, leaves)."""
        numbers = np.arange(self.leaf_count).reshape(self.shape)
        masks = np.zeros((len(self.segments), self.leaf_count), dtype=bool)
        for index, segment in enumerate(self.segments):
            masks[index, numbers[self.cube_slice(segment)].ravel()] = True
        masks.setflags(write=False)
        return masks

    @cached_property
    def parents(self) -> NDArray[np.int64]:
        """Indices of a segment's values, shape (segments, 2); twice the same for a single value."""
        singles = [[self.index_of[part,] for part in segment] for segment in self.segments]
        return np.array([[values[0], values[-1]] for values in singles])

    def cube_slice(self, segment: Segment) -> tuple[slice, ...]:
        """Return the index of a segment's leaves in an array of shape (*shape, …)."""
        index = [slice(None)] * len(self.shape)
        for dimension, value in segment:
            index[dimension] = slice(value, value + 1)
        return tuple(index)

    def sum_by_segment(self, leaf_counts: IntArray) -> IntArray:
        """Return the counts of each segment, shape (segments, …).

        Args:
            leaf_counts: counts of each leaf, shape (leaves, …).
        """
        rest = leaf_counts.shape[1:]
        cube = np.ascontiguousarray(leaf_counts).reshape(*self.shape, -1)
        every_axis = tuple(range(len(self.shape)))
        marginals: dict[tuple[int, ...], IntArray] = {every_axis: cube}

        # Each sum runs over one axis of a larger sum. Its last axis is contiguous, which is fast.
        def sum_to(kept: tuple[int, ...]) -> IntArray:
            if kept not in marginals:
                added = next(axis for axis in every_axis if axis not in kept)
                wider = tuple(sorted((*kept, added)))
                marginals[kept] = sum_to(wider).sum(axis=wider.index(added), dtype=np.int32)
            return marginals[kept]

        kept_axes = [(axis,) for axis in every_axis] + list(combinations(every_axis, 2))
        parts = [sum_to(axes).reshape(-1, cube.shape[-1]) for axes in reversed(kept_axes)]
        return np.concatenate(parts[::-1]).reshape(-1, *rest)

    def sum_by_value(self, cube: IntArray, segment: Segment) -> IntArray:
        """Return the counts of a segment's people by single value, shape (values, …).

        Args:
            cube: counts of each leaf, shape (*shape, …).
            segment: the segment. Values that it excludes have the count 0.
        """
        inside = cube[self.cube_slice(segment)]
        fixed = dict(segment)
        every_axis = tuple(range(len(self.shape)))
        sums = np.zeros((self.value_count, *cube.shape[len(self.shape) :]), dtype=np.int32)
        first = 0
        for axis, size in enumerate(self.shape):
            others = tuple(other for other in every_axis if other != axis)
            totals = inside.sum(axis=others, dtype=np.int32)
            start = first + fixed.get(axis, 0)
            sums[start : start + len(totals)] = totals
            first += size
        return sums

    def find_eligible(self, people: NDArray[np.int64]) -> Mask:
        """Return whether each segment is small enough to be a root.

        Args:
            people: people of each segment at the first stage over the whole window.
        """
        everybody = int(people[: self.shape[0]].sum())
        # Integers on both sides: a share of exactly 85 % must not depend on rounding.
        percent = round(100 * MAX_SHARE)
        eligible: Mask = 100 * people <= percent * everybody
        is_pair = self.parents[:, 0] != self.parents[:, 1]
        for side in (0, 1):
            eligible &= ~is_pair | (100 * people <= percent * people[self.parents[:, side]])
        return eligible


@lru_cache(maxsize=64)
def build_segment_table(shape: tuple[int, ...]) -> SegmentTable:
    """Return the segments of people with the given dimensions, built once per shape."""
    return SegmentTable(shape)
