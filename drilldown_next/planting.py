"""Plans the losses of an episode so that the definition should find each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from drilldown_next.day_scores import FloatArray, replace_zeros, score_days
from drilldown_next.definition import StepCounts, compute_spread
from drilldown_next.levels import Level
from drilldown_next.sampling import Loss
from drilldown_next.segments import Mask, SegmentDays, SegmentTable
from openenv_kit.bitstream import BitStream

MIN_PEOPLE = 30
"""Fewest people who enter on each day of a planned root, in the segment and beside it."""
MIN_TOTAL_LOSS = 0.23
ESTIMATE_TOLERANCE = 0.05
"""How much a loss may miss a limit if it is estimated from the clean sample."""
MIN_ESTIMATED_SCORE_SHARE = 0.8
"""Share of the smallest planned score that an estimate must reach."""
FIRST_DAY = 2
"""First day of the earliest root, so that the entry that explains it can be two days older."""
SINGLE_VALUE_SHARE = 0.35
"""Share of the roots whose segment is a single value, where the level also has pairs."""
MAX_TRIES = 300
"""Number of plans that are tried for each loss before the draw is rejected."""


PASSED, EXPECTED, WEIGHT, CLEAN_SCORE, PASSED_SCORE = range(5)
"""Quantities of `RunningSums`; the last is by how much the score rises if all who pass are lost."""


@dataclass(frozen=True)
class RunningSums:
    """Sums over the days before each day, so that the sum of a run takes one subtraction.

    Attributes:
        values: shape (quantities, segments, days + 1).
    """

    values: FloatArray

    @classmethod
    def from_step(cls, step: StepCounts) -> RunningSums:
        """Add the days of a step."""
        scores = step.scores
        entered = step.segment_counts[:, 0].astype(float)
        passed = step.segment_counts[:, 1].astype(float)
        variance = scores.expected * (1.0 - scores.expected / replace_zeros(entered))
        score_per_person = scores.weight / replace_zeros(variance)
        daily = np.stack(
            [passed, scores.expected, scores.weight, scores.score, passed * score_per_person]
        )
        before_first_day = np.zeros((*daily.shape[:2], 1))
        return cls(np.concatenate([before_first_day, daily.cumsum(axis=2)], axis=2))

    def add(self, place: SegmentDays, quantity: int) -> float:
        """Return the sum of a quantity over the days of a place."""
        sums = self.values[quantity, place.segment]
        return float(sums[place.last + 1] - sums[place.first])


@dataclass(frozen=True)
class Planner:
    """Plans losses on a clean sample.

    Attributes:
        level: the level.
        table: the segments.
        eligible: which segments can be a root.
        steps: counts of each step without losses.
        stream: source of the random numbers.
    """

    level: Level
    table: SegmentTable
    eligible: Mask
    steps: Sequence[StepCounts]
    stream: BitStream
    _spreads: dict[tuple[int, int], FloatArray] = field(default_factory=dict)
    _sums: dict[int, RunningSums] = field(default_factory=dict)

    def plan_losses(self, count: int, planned: Sequence[Loss] = ()) -> list[Loss] | None:
        """Return new losses; None if none was found that is far enough from the limits.

        Args:
            count: number of losses.
            planned: losses that are already planned.
        """
        losses: list[Loss] = []
        for _ in range(count):
            loss = self._plan_loss([*planned, *losses])
            if loss is None:
                return None
            losses.append(loss)
        return losses

    def _plan_loss(self, planned: Sequence[Loss]) -> Loss | None:
        for _ in range(MAX_TRIES):
            loss = self._draw_loss()
            is_apart = all(self._are_apart(loss.place, other.place) for other in planned)
            if is_apart and self._would_be_found(loss):
                return loss
        return None

    def _draw_loss(self) -> Loss:
        level, stream = self.level, self.stream
        step = stream.integer_below(len(self.steps))
        segment = draw_segment(self.table, level, stream)
        lengths = range(level.min_run_days, level.max_run_days + 1)
        length = stream.choose(lengths)
        first = draw_first_day(level, stream, length)
        share = stream.uniform(level.min_loss, level.max_loss)
        return Loss(SegmentDays(step, segment, first, first + length - 1), share)

    def _are_apart(self, one: SegmentDays, other: SegmentDays) -> bool:
        if one.segment == other.segment:
            return False
        has_gap = one.first - other.last >= 2 or other.first - one.last >= 2
        leaves = self.table.leaves
        shares_people = bool((leaves[one.segment] & leaves[other.segment]).any())
        return one.step != other.step or has_gap or not shares_people

    def _would_be_found(self, loss: Loss) -> bool:
        """Return whether the loss is clearly within the limits of the definition.

        The cheap conditions come first, because most plans fail.
        """
        has_people = self._has_enough_people(loss.place)
        return has_people and self._may_be_clear_loss(loss) and self._is_clear_loss(loss)

    def _has_enough_people(self, place: SegmentDays) -> bool:
        if not self.eligible[place.segment]:
            return False
        step, days = self.steps[place.step], slice(place.first, place.last + 1)
        entered = step.segment_counts[place.segment, 0, days]
        beside = step.totals[0, days] - entered
        return bool(min(entered.min(), beside.min()) >= MIN_PEOPLE)

    def _may_be_clear_loss(self, loss: Loss) -> bool:
        """Return whether the loss is near the limits, with the usual odds of the clean sample.

        The estimate takes a fraction of the time of the exact check, which it spares most plans.
        """
        place = loss.place
        step = self.steps[place.step]
        if place.step not in self._sums:
            self._sums[place.step] = RunningSums.from_step(step)
        sums, share = self._sums[place.step], loss.share
        total_loss = 1.0 - (1.0 - share) * sums.add(place, PASSED) / sums.add(place, EXPECTED)
        clean_loss = step.scores.loss[place.segment]
        beside = max(clean_loss[place.first - 1], clean_loss[place.last + 1])
        if beside > 0.45 * total_loss - 0.02 + ESTIMATE_TOLERANCE:
            return False
        score = sums.add(place, CLEAN_SCORE) + share * sums.add(place, PASSED_SCORE)
        deviation = float(step.scores.scale[place.segment, 0]) * sqrt(sums.add(place, WEIGHT))
        if score < MIN_ESTIMATED_SCORE_SHARE * self.level.min_planned_score * deviation:
            return False
        least = 1.0 - (1.0 - share) * (1.0 - clean_loss[place.first : place.last + 1].min())
        return bool(least >= 0.55 * total_loss + 0.02 - ESTIMATE_TOLERANCE)

    def _is_clear_loss(self, loss: Loss) -> bool:
        place, step = loss.place, self.steps[loss.place.step]
        days = slice(place.first, place.last + 1)
        before_and_after = [place.first - 1, place.last + 1]
        counts = step.segment_counts[place.segment].astype(float)
        lost = np.zeros_like(counts)
        lost[1, days] = loss.share * counts[1, days]
        scores = score_days((counts - lost)[None], step.totals - lost)
        passed = float((counts - lost)[1, days].sum())
        total_loss = 1.0 - passed / float(scores.expected[0, days].sum())
        if total_loss < MIN_TOTAL_LOSS or scores.loss[0, days].min() < 0.55 * total_loss + 0.02:
            return False
        if scores.loss[0, before_and_after].max() > 0.45 * total_loss - 0.02:
            return False
        score, weight = float(scores.score[0, days].sum()), scores.weight[0, days]
        largest_deviation = score / self.level.min_planned_score / float(scores.scale[0, 0])
        if sqrt(weight.sum()) > largest_deviation:  # a spread is at least 1
            return False
        key = (place.step, place.segment)
        if key not in self._spreads:  # it does not depend on what the segment itself loses
            self._spreads[key] = compute_spread(step, place.segment)
        spread = self._spreads[key][days]
        return bool(sqrt((weight * spread * spread).sum()) <= largest_deviation)


def draw_segment(table: SegmentTable, level: Level, stream: BitStream) -> int:
    """Draw the index of a segment, as roots and entries of the change log have them."""
    pairs = len(table.segments) - table.value_count
    if level.max_segment_values == 1 or stream.uniform() < SINGLE_VALUE_SHARE:
        return stream.integer_below(table.value_count)
    return table.value_count + stream.integer_below(pairs)


def draw_first_day(level: Level, stream: BitStream, length: int) -> int:
    """Draw the first day of a run of the given length; one day is left after its last day."""
    return FIRST_DAY + stream.integer_below(level.days - length - FIRST_DAY)
