"""Varied reporting policies: parameters drawn for an episode, in the place of its level's own.

A player has to follow the policy that it is told, not one that it knows. Every parameter is drawn
from the hash of the episode's configuration, apart from its data. The values leave the generator
room: clean days stay clear of the smallest thresholds, and every family still reaches the largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import GUARD_BAND, Bands, Bounds, Level
from metric_tracker_rl.engine.definitions.names import BASELINES, LEAK_REPORTS
from metric_tracker_rl.engine.reporting_policy.find_roots import WORDINGS
from openenv_kit.bitstream import BitStream

COUNT_THRESHOLDS = {
    "easy": (0.27, 0.30, 0.33, 0.36),
    "medium": (0.23, 0.25, 0.28, 0.30),
    "hard": (0.18, 0.20, 0.22, 0.24),
    "expert": (0.24, 0.25, 0.27, 0.29),
}
RATE_THRESHOLDS = {
    "easy": (0.18, 0.20, 0.22, 0.24),
    "medium": (0.13, 0.15, 0.17, 0.19),
    "hard": (0.09, 0.10, 0.11, 0.13),
    "expert": (0.09, 0.10, 0.11, 0.12),
}
MIX_THRESHOLDS = {
    "easy": (0.07, 0.08, 0.09, 0.10),
    "medium": (0.05, 0.06, 0.07, 0.08),
    "hard": (0.03, 0.04, 0.05, 0.06),
    "expert": (0.03, 0.04, 0.05, 0.06),
}
BREAK_THRESHOLDS = (0.30, 0.35, 0.40, 0.45)
"""Values that each threshold is drawn from, by level where they differ; every level's own is one
of them."""
ABOVE_OWN = (0.00, 0.01, 0.02)
"""What a rung's threshold is drawn above its own, for a rung has no table."""
BREAK_ROOM = 0.01
"""How far the guard band of a break threshold stays from the smallest rate drop planned."""

COUNT_BANDS: tuple[Bounds, ...] = (
    *((0.25, 0.35, 0.50), (0.22, 0.32, 0.45)),
    *((0.28, 0.40, 0.55), (0.30, 0.45, 0.60)),
)
RATE_BANDS: tuple[Bounds, ...] = (
    *((0.18, 0.30, 0.45), (0.15, 0.25, 0.40)),
    *((0.20, 0.35, 0.50), (0.22, 0.32, 0.48)),
)
SHARE_BANDS: tuple[Bounds, ...] = (
    *((0.06, 0.10, 0.15), (0.05, 0.09, 0.14)),
    *((0.07, 0.12, 0.18), (0.08, 0.13, 0.20)),
)
EXCESS_BANDS: tuple[Bounds, ...] = (
    *((20.0, 60.0, 120.0), (15.0, 50.0, 100.0)),
    *((25.0, 75.0, 140.0), (30.0, 80.0, 150.0)),
)
"""Severity bounds that are drawn from, one choice for each kind of row."""

DAYTIMES = (
    *((8, 20), (7, 19), (9, 21), (6, 18)),
    *((8, 18), (10, 20), (7, 21), (9, 18)),
)
"""First hour of the daytime and the first hour after it; eight hours at least, which the longest
instrumentation fault takes."""


def varied(level: Level, funnel: Funnel, identity: str) -> tuple[Level, Funnel]:
    """The level and the funnel with a reporting policy drawn for an episode.

    Args:
        level: whose thresholds, bands, baseline, order and words are replaced.
        funnel: whose hours of daytime are replaced.
        identity: canonical text of the episode's configuration.
    """
    stream = BitStream(f"{identity}|policy")

    def threshold(choices: Mapping[str, Sequence[float]], own: float) -> float:
        above = tuple(round(own + more, 2) for more in ABOVE_OWN)
        return stream.pick(choices.get(level.name, above))

    rate = threshold(RATE_THRESHOLDS, level.rate_threshold)
    return (
        replace(
            level,
            count_threshold=threshold(COUNT_THRESHOLDS, level.count_threshold),
            rate_threshold=rate,
            break_threshold=stream.pick(_breaks_above(rate, level)),
            mix_threshold=threshold(MIX_THRESHOLDS, level.mix_threshold),
            bands=Bands(
                stream.pick(COUNT_BANDS),
                stream.pick(RATE_BANDS),
                stream.pick(SHARE_BANDS),
                stream.pick(EXCESS_BANDS),
            ),
            baseline=stream.pick(BASELINES),
            leak_reports=stream.pick(LEAK_REPORTS),
            wording=stream.below(WORDINGS),
            varied=True,
        ),
        replace(funnel, daytime=stream.pick(DAYTIMES)),
    )


def _breaks_above(rate: float, level: Level) -> list[float]:
    """Break thresholds below which the level's smallest rate drop still finds room."""
    least = rate * level.separation[0] + BREAK_ROOM
    return [each for each in BREAK_THRESHOLDS if each * (1.0 - GUARD_BAND) >= least]
