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

from metric_tracker_rl.engine.definitions.levels import LEVELS, Level
from openenv_kit.rollouts.curriculum import RUNGS

FEWEST, MOST = 2, 5
"""Usual anomalies on the first rung and on the last."""
_KNOTS = tuple(LEVELS)
_SHADES = {
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


def _rung(number: int) -> Level:
    """The rung of a number from 1 on."""
    steps = (len(RUNGS) - 1) // (len(_KNOTS) - 1)
    knot, step = divmod(number - 1, steps)
    below, above = LEVELS[_KNOTS[knot]], LEVELS[_KNOTS[min(knot + 1, len(_KNOTS) - 1)]]
    share = step / steps

    def between(low: float, high: float, decimals: int) -> float:
        return round(low + share * (high - low), decimals)

    def along(lowest: float, highest: float) -> float:
        return lowest + (highest - lowest) * (number - 1) / (len(RUNGS) - 1)

    first, last = LEVELS[_KNOTS[0]], LEVELS[_KNOTS[-1]]
    decoys = round(along(first.decoys, last.decoys))

    shades: dict[str, Any] = {
        name: between(getattr(below, name), getattr(above, name), decimals)
        for name, decimals in _SHADES.items()
    }
    nearest, farthest = zip(below.separation, above.separation, strict=True)
    return replace(
        below,
        name=f"rung_{number}",
        **shades,
        separation=(between(*nearest, 4), between(*farthest, 4)),
        days=7 * round(along(first.days // 7, last.days // 7)),
        max_anomalies=round(along(first.max_anomalies, last.max_anomalies)),
        weekday_factors=last.weekday_factors if decoys else first.weekday_factors,
        decoys=decoys,
    )


RUNG_LEVELS: dict[str, Level] = {
    level.name: level for level in (_rung(number) for number in range(1, len(RUNGS) + 1))
}
"""The rungs by name, `rung_1` to `rung_10`."""

EVERY_LEVEL: dict[str, Level] = {**LEVELS, **RUNG_LEVELS}

USUAL_COUNTS: dict[str, int] = {
    name: round(FEWEST + (MOST - FEWEST) * place / (len(RUNGS) - 1))
    for place, name in enumerate(RUNG_LEVELS)
}
"""Anomalies of an episode on each rung, where no count is asked for."""

STAGES = tuple({"difficulty": name, "scenario_family": "mixed"} for name in RUNG_LEVELS)
"""Arguments of resets on each rung, for a curriculum."""

DIFFICULTIES: dict[str, float] = {
    **{name: place / (len(LEVELS) - 1) for place, name in enumerate(LEVELS)},
    **{name: place / (len(RUNGS) - 1) for place, name in enumerate(RUNG_LEVELS)},
}
"""Difficulty of every level as a number in [0, 1]."""
