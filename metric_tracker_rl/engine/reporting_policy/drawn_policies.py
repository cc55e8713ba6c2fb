"""Varied reporting policies: parameters drawn for an episode, in the place of its level's own.

A player has to follow the policy that it is told, not one that it knows. Every parameter is drawn
from the hash of the episode's configuration, apart from its data. The values leave the generator
room: clean days stay clear of the smallest thresholds, and every family still reaches the largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import (
    GUARD_BAND,
    FunnelLevel,
    SeverityBounds,
    SeverityBoundsByKind,
)
from metric_tracker_rl.engine.definitions.names import BASELINES, LEAK_REPORTS
from metric_tracker_rl.engine.reporting_policy.find_roots import WORDING_COUNT
from openenv_kit.bitstream import BitStream

COUNT_THRESHOLD_CHOICES = {
    "easy": (0.27, 0.30, 0.33, 0.36),
    "medium": (0.23, 0.25, 0.28, 0.30),
    "hard": (0.18, 0.20, 0.22, 0.24),
    "expert": (0.24, 0.25, 0.27, 0.29),
}
RATE_THRESHOLD_CHOICES = {
    "easy": (0.18, 0.20, 0.22, 0.24),
    "medium": (0.13, 0.15, 0.17, 0.19),
    "hard": (0.09, 0.10, 0.11, 0.13),
    "expert": (0.09, 0.10, 0.11, 0.12),
}
MIX_THRESHOLD_CHOICES = {
    "easy": (0.07, 0.08, 0.09, 0.10),
    "medium": (0.05, 0.06, 0.07, 0.08),
    "hard": (0.03, 0.04, 0.05, 0.06),
    "expert": (0.03, 0.04, 0.05, 0.06),
}
BREAK_THRESHOLD_CHOICES = (0.30, 0.35, 0.40, 0.45)
"""Values that each threshold is drawn from, by level where they differ; every level's own is one
of them."""
RUNG_THRESHOLD_OFFSETS = (0.00, 0.01, 0.02)
"""What a rung's threshold is drawn above its own, for a rung has no table."""
MIN_BREAK_GAP = 0.01
"""How far the guard band of a break threshold stays from the smallest rate drop planned."""

COUNT_BOUND_CHOICES: tuple[SeverityBounds, ...] = (
    *((0.25, 0.35, 0.50), (0.22, 0.32, 0.45)),
    *((0.28, 0.40, 0.55), (0.30, 0.45, 0.60)),
)
RATE_BOUND_CHOICES: tuple[SeverityBounds, ...] = (
    *((0.18, 0.30, 0.45), (0.15, 0.25, 0.40)),
    *((0.20, 0.35, 0.50), (0.22, 0.32, 0.48)),
)
SHARE_BOUND_CHOICES: tuple[SeverityBounds, ...] = (
    *((0.06, 0.10, 0.15), (0.05, 0.09, 0.14)),
    *((0.07, 0.12, 0.18), (0.08, 0.13, 0.20)),
)
EXCESS_BOUND_CHOICES: tuple[SeverityBounds, ...] = (
    *((20.0, 60.0, 120.0), (15.0, 50.0, 100.0)),
    *((25.0, 75.0, 140.0), (30.0, 80.0, 150.0)),
)
"""Severity bounds that are drawn from, one choice for each kind of row."""

DAYTIME_CHOICES = (
    *((8, 20), (7, 19), (9, 21), (6, 18)),
    *((8, 18), (10, 20), (7, 21), (9, 18)),
)
"""First hour of the daytime and the first hour after it; eight hours at least, which the longest
instrumentation fault takes."""


def draw_reporting_policy(
    level: FunnelLevel, funnel: Funnel, identity: str
) -> tuple[FunnelLevel, Funnel]:
    """The level and the funnel with a reporting policy drawn for an episode.

    Args:
        level: whose thresholds, bands, baseline, order and words are replaced.
        funnel: whose hours of daytime are replaced.
        identity: canonical text of the episode's configuration.
    """
    stream = BitStream(f"{identity}|policy")

    def draw_threshold(
        choices_by_level: Mapping[str, Sequence[float]], level_threshold: float
    ) -> float:
        above = tuple(round(level_threshold + more, 2) for more in RUNG_THRESHOLD_OFFSETS)
        return stream.choose(choices_by_level.get(level.name, above))

    rate = draw_threshold(RATE_THRESHOLD_CHOICES, level.rate_threshold)
    return (
        replace(
            level,
            count_threshold=draw_threshold(COUNT_THRESHOLD_CHOICES, level.count_threshold),
            rate_threshold=rate,
            break_threshold=stream.choose(_allowed_break_thresholds(rate, level)),
            mix_threshold=draw_threshold(MIX_THRESHOLD_CHOICES, level.mix_threshold),
            bounds_by_kind=SeverityBoundsByKind(
                stream.choose(COUNT_BOUND_CHOICES),
                stream.choose(RATE_BOUND_CHOICES),
                stream.choose(SHARE_BOUND_CHOICES),
                stream.choose(EXCESS_BOUND_CHOICES),
            ),
            baseline=stream.choose(BASELINES),
            leak_reports=stream.choose(LEAK_REPORTS),
            wording=stream.integer_below(WORDING_COUNT),
            has_drawn_policy=True,
        ),
        replace(funnel, daytime=stream.choose(DAYTIME_CHOICES)),
    )


def _allowed_break_thresholds(rate_threshold: float, level: FunnelLevel) -> list[float]:
    """Break thresholds below which the level's smallest rate drop still finds room."""
    least = rate_threshold * level.separation[0] + MIN_BREAK_GAP
    return [each for each in BREAK_THRESHOLD_CHOICES if each * (1.0 - GUARD_BAND) >= least]
