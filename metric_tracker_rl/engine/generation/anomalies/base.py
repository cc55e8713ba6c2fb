"""What a family knows of a day, and what it answers: a cause with its planned root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from metric_tracker_rl.engine.funnel import Funnel
from metric_tracker_rl.engine.generation.effects import Effect, Traffic
from metric_tracker_rl.engine.levels import GUARD_BAND, Level
from metric_tracker_rl.engine.series import Ints
from openenv_kit.bitstream import BitStream

MARGIN = 1.0 + GUARD_BAND + 0.02
"""Smallest multiple of a threshold that a plan aims at: outside the guard band, with room
for rounding to whole events."""


class Root(NamedTuple):
    """The row a cause is planned to bring into the report."""

    entity_type: str
    entity_name: str
    anomaly_type: str


@dataclass(frozen=True)
class Cause:
    """One planned anomaly: where, what it does, and the root it must show as."""

    day: int
    effect: Effect
    root: Root


@dataclass(frozen=True)
class CleanDay:
    """A day before any cause, as the families see it.

    Attributes:
        index: day of the episode.
        hours: hourly counts, shape (24, stages).
        values: displayed daily values, in the column order of `DailySeries`.
        baselines: medians of the clean episode, same order.
        funnel: names and stage indices.
        level: thresholds and separation.
    """

    index: int
    hours: Ints
    values: Sequence[float]
    baselines: Sequence[float]
    funnel: Funnel
    level: Level

    @cached_property
    def inner_stages(self) -> range:
        """Stages that are neither the first nor the last."""
        return range(1, len(self.funnel.counts) - 1)

    @cached_property
    def step_stages(self) -> range:
        """Stages that a step leads into."""
        return range(1, len(self.funnel.counts))

    def rate_column(self, stage: int) -> int:
        """Column of the step rate into a stage."""
        return len(self.funnel.counts) + stage - 1

    def factor_to(self, column: int, deviation: float) -> float:
        """Factor that moves a column to a relative deviation from its baseline."""
        return self.baselines[column] * (1.0 + deviation) / self.values[column]

    def separation(self, stream: BitStream, threshold: float, cap: float) -> float:
        """A deviation beyond the threshold, as far as the level separates, at most `cap`."""
        low, high = (threshold * multiple for multiple in self.level.separation)
        low = max(low, threshold * MARGIN)
        return stream.uniform(min(low, cap), min(high, cap))


class Family(Protocol):
    """One anomaly family."""

    @property
    def anomaly_type(self) -> str:
        """The anomaly type its rows carry."""

    def plan(self, stream: BitStream, day: CleanDay) -> Cause:
        """Draw one cause of this family for that day.

        A plan is a proposal: the generator keeps it only if the reporting policy, applied
        to the changed day, answers with exactly the planned root.
        """


def traffic_cause(day: CleanDay, deviation: float, root_type: str) -> Cause:
    """All of a day's traffic moved to a relative deviation of the first stage."""
    return Cause(
        day.index,
        Traffic(day.factor_to(0, deviation)),
        Root("event_count", day.funnel.counts[0], root_type),
    )
