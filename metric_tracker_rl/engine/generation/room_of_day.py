"""Computes how far the data of one day can be changed, and whether this exceeds the thresholds.

A change must reach `MIN_PLANNED_MULTIPLE` times the threshold of every series that the reporting
policy must flag. A count can fall by at most 90 %, a broken step by at most 95 %, and a rate can
rise to at most 98 %.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.generation.planned_anomaly import MIN_PLANNED_MULTIPLE, CleanDay

MAX_DROP = 0.90
MAX_BREAK = 0.95
MAX_RATE_FRACTION = 0.98
LEAK_STEP_MULTIPLE = 0.82
"""Largest deviation of a step rate in a leak, in multiples of its threshold. It is below the guard
band, so that the step itself is not flagged."""
BISECTION_STEPS = 30
_BELOW_GUARD_BAND = 1.0 - GUARD_BAND - 0.02


class SizeRange(NamedTuple):
    """Smallest and largest size of a deviation that can be planned."""

    smallest: float
    largest: float

    @property
    def is_possible(self) -> bool:
        """Whether the range is not empty, so that a deviation can be planned."""
        return self.smallest <= self.largest


class RoomOfDay:
    """Computes the sizes of the changes that are possible on one day, as relative deviations.

    Args:
        day: the day without anomalies.
    """

    def __init__(self, day: CleanDay) -> None:
        self.day = day
        self.limits = day.limits
        columns = day.funnel.columns
        self.rates = [day.baselines[column] / 100.0 for column in columns.step_rate_columns]
        self.step_thresholds = [self.limits.thresholds[each] for each in columns.step_rate_columns]

    def get_rate_drop_sizes(self, stage: int) -> SizeRange:
        """Return the range of possible drops of the rate into a stage that are not a break."""
        threshold = self.step_thresholds[stage - 1]
        below_break = _BELOW_GUARD_BAND * self.limits.break_thresholds[stage - 1]
        return SizeRange(MIN_PLANNED_MULTIPLE * threshold, min(MAX_DROP, below_break))

    def get_rate_rise_sizes(self, stage: int) -> SizeRange:
        """Return the range of possible rises of the step rate into a stage."""
        threshold, rate = self.step_thresholds[stage - 1], self.rates[stage - 1]
        largest = MAX_RATE_FRACTION / rate - 1.0 if rate else 0.0
        return SizeRange(MIN_PLANNED_MULTIPLE * threshold, largest)

    def get_break_sizes(self, stage: int) -> SizeRange:
        """Return the range of possible drops of the rate into a stage that count as a break."""
        threshold = self.limits.break_thresholds[stage - 1]
        return SizeRange(MIN_PLANNED_MULTIPLE * threshold, min(MAX_BREAK, 2.0 * threshold))

    def get_count_drop_sizes(self, stage: int) -> SizeRange:
        """Return the range of possible drops of a stage's count.

        For the first stage, the drop affects all stages (less traffic). For an inner stage, it
        affects only its own count (lost events).
        """
        if stage == 0:
            return SizeRange(MIN_PLANNED_MULTIPLE * self.limits.thresholds[0], MAX_DROP)
        threshold = max(
            self.limits.thresholds[stage],
            self.step_thresholds[stage - 1],
            self.step_thresholds[stage],
        )
        largest = 1.0 - self.rates[stage] / MAX_RATE_FRACTION
        return SizeRange(MIN_PLANNED_MULTIPLE * threshold, min(MAX_DROP, largest))

    def get_count_rise_sizes(self, stage: int) -> SizeRange:
        """Return the range of possible rises of a stage's count.

        For the first stage, the rise affects all stages (more traffic). For an inner stage, it
        affects only its own count (duplicated events).
        """
        smallest = MIN_PLANNED_MULTIPLE * self.limits.thresholds[stage]
        if stage == 0:
            return SizeRange(smallest, float("inf"))
        rate_after = MIN_PLANNED_MULTIPLE * self.step_thresholds[stage]
        if rate_after >= 1.0 or not self.rates[stage - 1]:
            return SizeRange(smallest, 0.0)
        # If the events of a stage double, the next step rate only halves.
        smallest = max(
            smallest,
            MIN_PLANNED_MULTIPLE * self.step_thresholds[stage - 1],
            rate_after / (1.0 - rate_after),
        )
        return SizeRange(smallest, MAX_RATE_FRACTION / self.rates[stage - 1] - 1.0)

    def list_leak_ends(self, direction: float) -> list[int]:
        """Return the last stages of the composite rates that can have a slow leak or gain.

        Args:
            direction: -1.0 for a leak, 1.0 for a gain.
        """
        return [
            end
            for position, end in enumerate(self.day.funnel.composite_ends)
            if self.get_leak_shares(position, direction).is_possible
        ]

    def get_leak_shares(self, position: int, direction: float) -> SizeRange:
        """Return the range of strengths of a leak that flags a composite rate but no shorter one.

        The strength is the deviation of the step rates before the last one, as a share of the
        largest deviation that a step rate can have in a leak.

        Args:
            position: position of the composite rate, 0 for the shortest.
            direction: -1.0 for a leak, 1.0 for a gain.
        """
        ends = self.day.funnel.composite_ends
        end = ends[position]
        if direction > 0 and any(
            rate * (1.0 + LEAK_STEP_MULTIPLE * threshold) > MAX_RATE_FRACTION
            for rate, threshold in zip(self.rates[:end], self.step_thresholds[:end], strict=True)
        ):
            return SizeRange(1.0, 0.0)
        first = self.day.funnel.columns.composite_rates.start
        thresholds = self.limits.thresholds
        needed = MIN_PLANNED_MULTIPLE * thresholds[first + position]
        last_share = 0.0 if position == 0 else 1.0

        def measure(share: float) -> float:
            shares = [share] * end if position == 0 else [share] * (end - 1) + [last_share]
            return self.measure_composite_deviation(shares, direction)

        smallest = _find_smallest_share(lambda share: measure(share) >= needed)
        if position == 0:
            return SizeRange(smallest, 1.0)
        shorter_end, allowed = ends[position - 1], _BELOW_GUARD_BAND * thresholds[first]
        largest = 1.0
        if self.measure_composite_deviation([1.0] * shorter_end, direction) > allowed:
            largest = _find_smallest_share(
                lambda share: (
                    self.measure_composite_deviation([share] * shorter_end, direction) > allowed
                )
            )
        return SizeRange(smallest, largest)

    def measure_composite_deviation(self, shares: list[float], direction: float) -> float:
        """Return the size of the deviation that a leak or gain causes in a composite rate.

        Args:
            shares: deviation of each step rate, as a share of the largest deviation in a leak.
            direction: -1.0 for a leak, 1.0 for a gain.
        """
        product = 1.0
        for share, threshold in zip(shares, self.step_thresholds, strict=False):
            product *= 1.0 + direction * share * LEAK_STEP_MULTIPLE * threshold
        return abs(product - 1.0)


def _find_smallest_share(is_reached: Callable[[float], bool]) -> float:
    """Return the smallest share from 0 to 1 that meets a condition, or 2 if none does.

    All shares above one that meets the condition must meet it, too.
    """
    if not is_reached(1.0):
        return 2.0
    low, high = 0.0, 1.0
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2.0
        if is_reached(middle):
            high = middle
        else:
            low = middle
    return high
