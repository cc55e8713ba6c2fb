"""Weekly sums by one and two dimensions, as the reference reads them and takes findings out."""

from __future__ import annotations

import numpy as np

from metric_tracker_rl.drilldown.baselines import HIGHEST_RATE
from metric_tracker_rl.drilldown.cube import Cube, Floats
from metric_tracker_rl.drilldown.evidence import evidence_of, triples_of
from metric_tracker_rl.drilldown.policies.comparison import Finding
from metric_tracker_rl.drilldown.robust_channel import MAD_TO_SIGMA

PEOPLE = 2_000.0
"""People a week who enter the step in a segment that is looked at: the promised 400 a day, less
what an estimate from sums by two dimensions may be off."""


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
        values = counts.copy()
        values[0] /= counts[0, cube.everybody]
        values[1:] /= counts[:-1]
        usual = np.median(values, axis=2, keepdims=True)
        self.change = values / usual - 1.0
        rates = np.minimum(usual[1:], HIGHEST_RATE)
        self.weight = np.concatenate([counts[:1], counts[:-1] * rates / (1.0 - rates)])
        entering = np.concatenate([counts[:1], counts[:-1]])[:, :, 0]
        everybody = entering[:, [cube.everybody]]
        one, two, three = np.moveaxis(entering[:, pairs], 2, 0)
        by_value = entering[:, cube.singles[self.triples][:, :3]]
        alone = by_value[:, :, 0] * by_value[:, :, 1] * by_value[:, :, 2]
        self.small = one * two * three * everybody / alone < PEOPLE
        self._evidence: dict[int, Floats] = {}

    def evidence(self, channel: int) -> Floats:
        """Evidence of every segment of three values; 0 where too few people enter the step.

        In a week in which a mix shift brought other people, all rates move a little: what half of
        the segments show there is noise.

        Returns:
            Shape (triples, weeks); not to be written to.
        """
        if channel not in self._evidence:
            own = slice(channel, channel + 1)
            z = evidence_of(self.cube, self.change[own], self.weight[own])[0]
            z /= np.maximum(MAD_TO_SIGMA * np.median(np.abs(z), axis=0, keepdims=True), 1.0)
            z[self.small[channel]] = 0.0
            self._evidence[channel] = z
        return self._evidence[channel]

    def take_out(self, found: Finding, count: float) -> None:
        """Take a finding of a segment of three values out of the changes.

        Args:
            found: it.
            count: people of the segment who took its step, or came, on one of its days.
        """
        cube = self.cube
        self._evidence.pop(found.channel, None)
        people = self.weekly[0, :, 0] / self.weekly[0, cube.everybody, 0]
        part = np.ones(cube.cells)
        for axis, own in enumerate(cube.values[found.cell].tolist()):
            fixed = cube.values[:, axis]
            if own >= 0:
                part *= (fixed < 0) | (fixed == own)
                continue
            for value in range(cube.shape[axis]):
                part[fixed == value] *= people[cube.cell_of({axis: value})]
        into = np.maximum(self.weekly[found.channel], 1.0)
        for week in (day // 7 for day in found.days):
            added = part * count * (1.0 - 1.0 / found.factor)
            self.change[found.channel, :, week] -= added / into[:, week]
