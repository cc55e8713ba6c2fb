"""Weekly sums by one and two dimensions, as the reference reads them and takes findings out."""

from __future__ import annotations

import numpy as np

from metric_tracker_rl.drilldown.cube import Cube, Floats
from metric_tracker_rl.drilldown.evidence import evidence_of, triples_of
from metric_tracker_rl.drilldown.policies.table import Finding

PEOPLE = 2_000.0
"""People a week who enter the step in a segment that is looked at: the promised 400 a day, less
what an estimate from sums by two dimensions may be off."""
HIGHEST = 0.985


class PairTables:
    """Weekly sums of everybody, of single values and of pairs of values.

    Args:
        cube: geometry.
        weekly: counts, shape (stages, cells, weeks); those of cells of more values are not read.

    Attributes:
        triples: cells that fix three values.
        change: relative change of the share of traffic and of rates, shape (channels, cells,
            weeks); what findings explain is taken out.
    """

    def __init__(self, cube: Cube, weekly: Floats) -> None:
        self.cube, self.weekly = cube, weekly
        self.triples, pairs, _ = triples_of(cube)
        counts = np.maximum(weekly, 1.0)
        values = counts / np.concatenate(
            [counts[:1, [cube.everybody]] + 0.0 * counts[:1], counts[:-1]]
        )
        usual = np.median(values, axis=2, keepdims=True)
        self.change = values / usual - 1.0
        rates = np.minimum(usual[1:], HIGHEST)
        self.weight = np.concatenate([counts[:1], counts[:-1] * rates / (1.0 - rates)])
        entering = np.concatenate([counts[:1], counts[:-1]])[:, :, 0]
        everybody = entering[:, [cube.everybody]]
        one, two, three = np.moveaxis(entering[:, pairs], 2, 0)
        by_value = entering[:, cube.singles[self.triples][:, :3]]
        alone = by_value[:, :, 0] * by_value[:, :, 1] * by_value[:, :, 2]
        self.small = one * two * three * everybody / alone < PEOPLE

    def evidence(self) -> Floats:
        """Evidence of every segment of three values; 0 where too few people enter the step."""
        z = evidence_of(self.cube, self.change, self.weight)
        z[self.small] = 0.0
        return z

    def take_out(self, found: Finding, counts: Floats) -> None:
        """Take a finding of a segment of three values out of the changes.

        Args:
            found: it.
            counts: what was counted of it, of its traffic or step, on each day of its run.
        """
        cube = self.cube
        [cell], [factor] = found.cells, found.factors
        values = cube.values
        shared = np.ones(cube.cells)
        for axis in range(len(cube.shape)):
            own, fixed = values[cell, axis], values[:, axis]
            if own >= 0:
                shared *= (fixed < 0) | (fixed == own)
                continue
            for value in range(cube.shape[axis]):
                people = self.weekly[0, :, 0]
                part = people[cube.cell_of({axis: value})] / people[cube.everybody]
                shared[fixed == value] *= part
        into = np.maximum(self.weekly[found.channel], 1.0)
        for day, count in zip(found.days, counts.tolist(), strict=True):
            added = count * (1.0 - 1.0 / factor)
            self.change[found.channel, :, day // 7] -= shared * added / into[:, day // 7]
