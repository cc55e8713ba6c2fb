"""What tables of two dimensions say together about segments of three values.

A segment of three values lies in one cell of each of three such tables. What happens to it moves
all three cells, each by too little to be told from noise, but not the rest of their rows and
columns; so what their rows and columns do is taken off first, and the three are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from metric_tracker_rl.drilldown.cube import Cube, Floats, Ints

SPARE = 1.2
"""Factor on the variance: the usual value is itself a median of eight weeks."""
TOGETHER = float(np.sqrt(2.0))


@lru_cache(maxsize=16)
def triples_of(cube: Cube) -> tuple[Ints, Ints, Ints]:
    """Cells that fix three values, the three pairs of these, and the two values of each pair.

    Returns:
        Shapes (triples,), (triples, 3) and (triples, 3, 2).
    """
    triples = np.flatnonzero(cube.fixed == 3)
    pairs = cube.pairs[triples][:, :3]
    return triples, pairs, cube.singles[pairs][:, :, :2]


@lru_cache(maxsize=16)
def ancestors_of(cube: Cube) -> Ints:
    """Of each triple its three pairs, its three single values and everybody; (triples, 7)."""
    triples, pairs, _ = triples_of(cube)
    everybody = np.full((len(triples), 1), cube.everybody)
    return np.concatenate([pairs, cube.singles[triples][:, :3], everybody], axis=1)


_VALUES = np.array([[[3, 4], [3, 5], [4, 5]]])
"""Places among a triple's ancestors of the values of its first, second and third pair."""


def evidence_of(
    cube: Cube, change: Floats, weight: Floats, chosen: Sequence[int] | slice = slice(None)
) -> Floats:
    """Standard deviations by which weeks of segments of three values differ from usual.

    Args:
        cube: geometry.
        change: relative change of every cell, shape (channels, cells, weeks).
        weight: people over one minus the usual rate, or visits, of every cell; the same shape.
        chosen: which of the triples; all unless told.

    Returns:
        Shape (channels, triples, weeks).
    """
    _, pairs, values = triples_of(cube)
    return _evidence(change, weight, pairs[chosen], values[chosen], cube.everybody)


def evidence_of_one(change: Floats, weight: Floats) -> Floats:
    """The same for one triple, of its ancestors alone.

    Args:
        change: in the order of `ancestors_of`, shape (7, weeks).
        weight: in the same order, shape (7, 1).

    Returns:
        Shape (weeks,).
    """
    found = _evidence(change[None], weight[None], np.arange(3)[None], _VALUES, 6)
    return np.asarray(found[0, 0])


def _evidence(change: Floats, weight: Floats, pairs: Ints, values: Ints, everybody: int) -> Floats:
    one, other = values[:, :, 0], values[:, :, 1]
    own = change[:, pairs] - change[:, one] - change[:, other]
    own += change[:, None, None, everybody]
    own -= _median(own)  # medians of the parts do not add up to this
    inside = weight[:, pairs]
    left = (1.0 - inside / weight[:, one]) * (1.0 - inside / weight[:, other]) / inside
    spread = SPARE * (left[:, :, 0] + left[:, :, 1] + left[:, :, 2])
    return np.asarray((own[:, :, 0] + own[:, :, 1] + own[:, :, 2]) / np.sqrt(spread))


def _median(values: Floats) -> Floats:
    """Median over the last axis, of even length, which stays as one."""
    ordered = np.sort(values, axis=-1)
    half = values.shape[-1] // 2
    return np.asarray((ordered[..., half - 1 : half] + ordered[..., half : half + 1]) / 2.0)
