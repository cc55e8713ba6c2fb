"""The definition of the answer: which segments lost people, at which step, on which days.

A deterministic function of the counts. It uses +, −, ×, ÷, √ and comparisons only, which IEEE 754
rounds exactly, and adds day by day, so that the answer is the same with every version of NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drilldown_next.day_scores import (
    MEDIAN_OF_HALF_NORMAL,
    DayScores,
    FloatArray,
    replace_zeros,
    score_days,
)
from drilldown_next.segments import (
    Counts,
    IntArray,
    Mask,
    SegmentDays,
    SegmentTable,
    build_segment_table,
)

MIN_DAYS, MAX_DAYS = 3, 14
"""Shortest and longest run of days."""
MIN_PEOPLE = 20
"""Fewest people who enter on each day of a run, in the segment and beside it."""
MIN_VALUES_FOR_SPREAD = 3
"""Fewest single values from which the spread of a day is computed."""
MAX_ROOTS = 6
"""Largest number of roots in the answer."""
MICRO = 1e6
"""Gains are compared as whole millionths."""
RIVAL_SHARE = 0.999
"""A run is a rival of the best one if its gain is more than this share of the best gain."""


class Limits(NamedTuple):
    """Limits that a run must reach to count.

    Attributes:
        min_score: smallest standardized score Z.
        min_loss: smallest total loss Q.
    """

    min_score: float = 8.0
    min_loss: float = 0.20


NOMINAL_LIMITS = Limits()
LOOSE_LIMITS = Limits(7.0, 0.18)
TIGHT_LIMITS = Limits(9.0, 0.22)


@dataclass(frozen=True)
class FoundRoot:
    """A root that the definition finds.

    Attributes:
        place: step, segment and days.
        gain: Σ u²/w over the days, by which the best run is chosen.
        score: standardized score Z.
        loss: total loss Q, as a share of the expected people.
        has_rival: whether another run of the step counts, with a gain less than 1 in 1,000 below.
    """

    place: SegmentDays
    gain: float
    score: float
    loss: float
    has_rival: bool

    def counts_within(self, limits: Limits) -> bool:
        """Return whether score and loss reach the limits."""
        return self.score >= limits.min_score and self.loss >= limits.min_loss


def find_roots(
    counts: Counts | IntArray,
    shape: tuple[int, ...],
    calendar: Iterable[SegmentDays] = (),
    limits: Limits = NOMINAL_LIMITS,
) -> list[FoundRoot]:
    """Return the answer, the root with the largest gain first.

    Args:
        counts: people by leaf, stage and day, shape (leaves, stages, days), days from a Monday.
        shape: number of values of each dimension.
        calendar: announced losses, whose people are removed before the search.
        limits: limits that a run must reach.
    """
    table = build_segment_table(shape)
    eligible = find_eligible_segments(counts, table)
    steps = split_by_step(counts, table)
    for place in calendar:
        steps[place.step] = steps[place.step].without([place])
    best = [find_best_run(step, number, eligible, limits) for number, step in enumerate(steps)]
    found: list[FoundRoot] = []
    while len(found) < MAX_ROOTS:
        remaining = [root for root in best if root is not None]
        if not remaining:
            break
        winner = min(remaining, key=lambda root: (-np.rint(root.gain * MICRO), root.place.step))
        found.append(winner)
        number = winner.place.step
        steps[number] = steps[number].without([winner.place])
        best[number] = find_best_run(steps[number], number, eligible, limits)
    return found


def find_eligible_segments(counts: Counts | IntArray, table: SegmentTable) -> Mask:
    """Return which segments can be a root, from the people at the first stage."""
    people = counts[:, 0].astype(np.int32).sum(axis=-1, dtype=np.int64)
    return table.find_eligible(table.sum_by_segment(people[:, None]).astype(np.int64)[:, 0])


def split_by_step(counts: Counts | IntArray, table: SegmentTable) -> list[StepCounts]:
    """Return the counts of each step."""
    numbers = counts.astype(np.int32)
    return [
        StepCounts(table, np.ascontiguousarray(numbers[:, step : step + 2]))
        for step in range(counts.shape[1] - 1)
    ]


@dataclass(frozen=True)
class StepCounts:
    """Counts of one step.

    Attributes:
        table: the segments.
        leaf_counts: people who enter and who pass, shape (leaves, 2, days).
    """

    table: SegmentTable
    leaf_counts: IntArray

    @cached_property
    def segment_counts(self) -> IntArray:
        """People of each segment who enter and who pass, shape (segments, 2, days)."""
        return self.table.sum_by_segment(self.leaf_counts)

    @cached_property
    def totals(self) -> IntArray:
        """Everybody who enters and who passes, shape (2, days)."""
        return self.segment_counts[: self.table.shape[0]].sum(axis=0, dtype=np.int32)

    @cached_property
    def scores(self) -> DayScores:
        """Scores of all segments."""
        return score_days(self.segment_counts, self.totals)

    def without(self, places: Sequence[SegmentDays]) -> StepCounts:
        """Return the counts without these people on these days, who neither enter nor pass."""
        leaf_counts = self.leaf_counts.copy()
        for place in places:
            days = slice(place.first, place.last + 1)
            leaf_counts[self.table.leaves[place.segment], :, days] = 0
        return StepCounts(self.table, leaf_counts)


def compute_spread(step: StepCounts, segment: int) -> FloatArray:
    """Return the spread g of each day, from people outside the segment, shape (days,).

    It is large on days on which single values differ from each other more than usual.
    """
    table = step.table
    cube = step.leaf_counts.reshape(*table.shape, *step.leaf_counts.shape[1:])
    inside = table.sum_by_value(cube, table.segments[segment])
    outside = step.segment_counts[: table.value_count] - inside
    totals = step.totals - step.segment_counts[segment]
    scores = score_days(outside, totals)
    beside = totals[0] - outside[:, 0]
    has_people = (outside[:, 0] >= MIN_PEOPLE) & (beside >= MIN_PEOPLE)
    # A value with too few people sorts last and is not counted.
    ordered = np.sort(np.where(has_people, scores.ratio / scores.scale, np.inf), axis=0)
    number = has_people.sum(axis=0)
    usable = np.maximum(number, 1)
    days = np.arange(ordered.shape[1])
    median = (ordered[(usable - 1) // 2, days] + ordered[usable // 2, days]) / 2.0
    enough = number >= MIN_VALUES_FOR_SPREAD
    median = np.where(enough, median, 0.0)
    return np.maximum(1.0, median / MEDIAN_OF_HALF_NORMAL)


class RunSums(NamedTuple):
    """Sums over the days of all runs of one length, shape (segments, first days)."""

    length: int
    passed: FloatArray
    expected: FloatArray
    score: FloatArray
    weight: FloatArray
    gain: FloatArray
    min_loss: FloatArray


def iter_run_sums(
    passed: FloatArray, scores: DayScores, rows: NDArray[np.intp]
) -> Iterable[RunSums]:
    """Yield the sums of all runs, from the shortest to the longest, added day by day.

    Args:
        passed: people who pass, shape (segments, days).
        scores: scores of all segments.
        rows: indices of the segments to sum.
    """
    weight = scores.weight[rows]
    gain = scores.score[rows] * scores.score[rows] / replace_zeros(weight)
    daily = np.stack([passed[rows], scores.expected[rows], scores.score[rows], weight, gain])
    loss = scores.loss[rows]
    total, min_loss = daily, loss
    for length in range(2, MAX_DAYS + 1):
        total = total[..., :-1] + daily[..., length - 1 :]
        min_loss = np.minimum(min_loss[..., :-1], loss[..., length - 1 :])
        if length >= MIN_DAYS:
            yield RunSums(length, total[0], total[1], total[2], total[3], total[4], min_loss)


class CandidateRuns(NamedTuple):
    """Runs that count if every spread is 1; one entry per run, best gain first."""

    segment: NDArray[np.intp]
    first: NDArray[np.intp]
    length: NDArray[np.intp]
    gain: FloatArray
    score_sum: FloatArray
    loss: FloatArray


def find_best_run(
    step: StepCounts, number: int, eligible: Mask, limits: Limits
) -> FoundRoot | None:
    """Return the counting run of a step with the largest gain; None if no run counts.

    Args:
        step: counts of the step.
        number: index of the step.
        eligible: which segments can be a root.
        limits: limits that a run must reach.
    """
    runs = _list_candidates(step, eligible, limits)
    spreads: dict[int, FloatArray] = {}
    winner: FoundRoot | None = None
    for index in range(len(runs.gain)):
        gain = float(runs.gain[index])
        if winner is not None and gain <= RIVAL_SHARE * winner.gain:
            break
        segment, first = int(runs.segment[index]), int(runs.first[index])
        if segment not in spreads:
            spreads[segment] = compute_spread(step, segment)
        last = first + int(runs.length[index]) - 1
        score = _standardize(
            float(runs.score_sum[index]), step.scores, segment, spreads[segment], first, last
        )
        if score < limits.min_score:
            continue
        if winner is not None:
            return FoundRoot(winner.place, winner.gain, winner.score, winner.loss, has_rival=True)
        place = SegmentDays(number, segment, first, last)
        winner = FoundRoot(place, gain, score, float(runs.loss[index]), has_rival=False)
    return winner


def _standardize(
    score_sum: float,
    scores: DayScores,
    segment: int,
    spread: FloatArray,
    first: int,
    last: int,
) -> float:
    """Return Z of a run with the spread of its days."""
    variance = 0.0
    for day in range(first, last + 1):
        variance += float(scores.weight[segment, day] * spread[day] * spread[day])
    scale = float(scores.scale[segment, 0])
    return score_sum / float(np.sqrt(scale * scale * variance)) if variance > 0.0 else 0.0


def _list_candidates(step: StepCounts, eligible: Mask, limits: Limits) -> CandidateRuns:
    """List the runs that count if every spread is 1, which is the smallest spread.

    The spread of a segment takes longest to compute, so it is left to the few runs of this list.
    """
    entered, scores = step.segment_counts[:, 0], step.scores
    is_usable = (entered >= MIN_PEOPLE) & (step.totals[0] - entered >= MIN_PEOPLE)
    is_usable &= scores.loss >= limits.min_loss / 2.0
    is_usable &= eligible[:, None]
    three_days = is_usable[:, :-2] & is_usable[:, 1:-1] & is_usable[:, 2:]
    rows = np.flatnonzero(three_days.any(axis=1))
    columns: list[tuple[NDArray[np.intp] | FloatArray, ...]] = []
    # A run with an unusable day has a negative smallest loss.
    masked = replace(scores, loss=np.where(is_usable, scores.loss, -1.0))
    scale = scores.scale[rows]
    passed = step.segment_counts[:, 1].astype(float)
    for runs in iter_run_sums(passed, masked, rows):
        total_loss = 1.0 - runs.passed / replace_zeros(runs.expected)
        counts = (runs.min_loss >= 0.0) & (total_loss >= limits.min_loss)
        counts &= runs.min_loss >= total_loss / 2.0
        deviation = replace_zeros(np.sqrt(scale * scale * runs.weight))
        counts &= runs.score / deviation >= limits.min_score
        row, first = np.nonzero(counts)
        length = np.full(len(row), runs.length)
        place = (row, first)
        columns.append(
            (rows[row], first, length, runs.gain[place], runs.score[place], total_loss[place])
        )
    segment, first, length, gain, score_sum, losses = (
        np.concatenate(values) for values in zip(*columns, strict=True)
    )
    order = np.lexsort((length, first, segment, -np.rint(gain * MICRO)))
    return CandidateRuns(
        segment[order], first[order], length[order], gain[order], score_sum[order], losses[order]
    )
