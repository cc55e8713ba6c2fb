"""Ten rungs from easy to expert, for training that begins easy and ends hard.

A rung's difficulty is a number: 0 on the first, 1 on the tenth. Rungs 1, 4, 7 and 10 have the
thresholds and the noise of easy, medium, hard and expert; those between lie on straight lines
between them. Days, decoys and the usual number of anomalies grow from the first rung to the last:
a player who reads thresholds and noise without fail still finds more and more to leave out. The
named levels stay what they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metric_tracker_rl.engine.definitions.levels import LEVELS, FunnelLevel
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES

FIRST_RUNG_ANOMALIES, LAST_RUNG_ANOMALIES = 2, 5
"""Usual anomalies on the first rung and on the last."""
_NAMED_LEVELS = tuple(LEVELS)
_INTERPOLATED_FIELDS = {
    "count_threshold": 2,
    "rate_threshold": 2,
    "break_threshold": 2,
    "mix_threshold": 2,
    "sampling_noise": 6,
    "traffic_noise": 6,
    "rate_noise": 6,
    "shape_noise": 6,
}
"""What lies on straight lines, with the decimals it is rounded to; thresholds are told in whole
percent."""


def _build_rung_level(rung_number: int) -> FunnelLevel:
    """The rung of a number from 1 on."""
    steps = (len(RUNG_LEVEL_NAMES) - 1) // (len(_NAMED_LEVELS) - 1)
    knot, step = divmod(rung_number - 1, steps)
    below, above = (
        LEVELS[_NAMED_LEVELS[knot]],
        LEVELS[_NAMED_LEVELS[min(knot + 1, len(_NAMED_LEVELS) - 1)]],
    )
    share = step / steps

    def interpolate_between_levels(low: float, high: float, decimals: int) -> float:
        return round(low + share * (high - low), decimals)

    def interpolate_over_rungs(lowest: float, highest: float) -> float:
        return lowest + (highest - lowest) * (rung_number - 1) / (len(RUNG_LEVEL_NAMES) - 1)

    first, last = LEVELS[_NAMED_LEVELS[0]], LEVELS[_NAMED_LEVELS[-1]]
    decoys = round(interpolate_over_rungs(first.decoys, last.decoys))

    shades: dict[str, Any] = {
        name: interpolate_between_levels(getattr(below, name), getattr(above, name), decimals)
        for name, decimals in _INTERPOLATED_FIELDS.items()
    }
    nearest, farthest = zip(below.separation, above.separation, strict=True)
    return replace(
        below,
        name=f"rung_{rung_number}",
        **shades,
        separation=(
            interpolate_between_levels(*nearest, 4),
            interpolate_between_levels(*farthest, 4),
        ),
        days=7 * round(interpolate_over_rungs(first.days // 7, last.days // 7)),
        max_anomalies=round(interpolate_over_rungs(first.max_anomalies, last.max_anomalies)),
        weekday_factors=last.weekday_factors if decoys else first.weekday_factors,
        decoys=decoys,
    )


RUNG_LEVELS: dict[str, FunnelLevel] = {
    level.name: level
    for level in (_build_rung_level(number) for number in range(1, len(RUNG_LEVEL_NAMES) + 1))
}
"""The rungs by name, `rung_1` to `rung_10`."""

EVERY_LEVEL: dict[str, FunnelLevel] = {**LEVELS, **RUNG_LEVELS}

DEFAULT_ANOMALY_COUNTS: dict[str, int] = {
    name: round(
        FIRST_RUNG_ANOMALIES
        + (LAST_RUNG_ANOMALIES - FIRST_RUNG_ANOMALIES) * place / (len(RUNG_LEVEL_NAMES) - 1)
    )
    for place, name in enumerate(RUNG_LEVELS)
}
"""Anomalies of an episode on each rung, where no count is asked for."""

CURRICULUM_RESETS = tuple({"difficulty": name, "scenario_family": "mixed"} for name in RUNG_LEVELS)
"""Arguments of resets on each rung, for a curriculum."""

DIFFICULTY_BY_LEVEL: dict[str, float] = {
    **{name: place / (len(LEVELS) - 1) for place, name in enumerate(LEVELS)},
    **{name: place / (len(RUNG_LEVEL_NAMES) - 1) for place, name in enumerate(RUNG_LEVELS)},
}
"""Difficulty of every level as a number in [0, 1]."""
