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
    pairs, one, other = pairs[chosen], values[chosen, :, 0], values[chosen, :, 1]
    own = change[:, pairs] - change[:, one] - change[:, other]
    own += change[:, None, None, cube.everybody]
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
