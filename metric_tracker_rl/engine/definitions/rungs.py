"""Ten difficulty levels, called rungs, for training with a curriculum.

Rungs 1, 4, 7 and 10 have the thresholds and the noise of the levels easy, medium, hard and expert;
the rungs between them are interpolated linearly. The numbers of days, of decoys (harmless
deviations that a calendar explains) and of anomalies grow from the first rung to the last, so that
higher rungs are harder even for a player who applies all thresholds correctly.
"""

from __future__ import annotations

from dataclasses import replace

from metric_tracker_rl.engine.definitions.levels import LEVELS, FunnelLevel, Separation
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES

FIRST_RUNG_ANOMALIES = 2
LAST_RUNG_ANOMALIES = 5
"""Default number of anomalies on the first and on the last rung."""

THRESHOLD_DECIMALS = 2
"""Thresholds are rounded to whole percent, as the policy's text shows them."""
SEPARATION_DECIMALS = 4
NOISE_DECIMALS = 6
PRODUCT_FACTOR_DECIMALS = 4

_LAST_RUNG = len(RUNG_LEVEL_NAMES)
_RUNGS_PER_LEVEL = (_LAST_RUNG - 1) // (len(LEVELS) - 1)


def _interpolate_value_at_rung(rung_number: int, first_value: float, last_value: float) -> float:
    """Return the value at a rung, interpolated linearly between the first and the last rung.

    Args:
        rung_number: number of the rung, starting at 1.
        first_value: value at the first rung.
        last_value: value at the last rung.
    """
    return first_value + (last_value - first_value) * (rung_number - 1) / (_LAST_RUNG - 1)


def _interpolate_levels(
    below: FunnelLevel, above: FunnelLevel, share_of_above: float
) -> FunnelLevel:
    """Return a level whose thresholds, noise and anomaly sizes lie between those of two levels.

    All other parameters are those of the easier level.

    Args:
        below: the easier of two neighbouring named levels.
        above: the harder of the two levels.
        share_of_above: position between the two levels, 0 at `below` and 1 at `above`.
    """

    def interpolate_and_round(low: float, high: float, decimals: int) -> float:
        return round(low + share_of_above * (high - low), decimals)

    return replace(
        below,
        count_threshold=interpolate_and_round(
            below.count_threshold, above.count_threshold, THRESHOLD_DECIMALS
        ),
        rate_threshold=interpolate_and_round(
            below.rate_threshold, above.rate_threshold, THRESHOLD_DECIMALS
        ),
        break_threshold=interpolate_and_round(
            below.break_threshold, above.break_threshold, THRESHOLD_DECIMALS
        ),
        mix_threshold=interpolate_and_round(
            below.mix_threshold, above.mix_threshold, THRESHOLD_DECIMALS
        ),
        sampling_noise=interpolate_and_round(
            below.sampling_noise, above.sampling_noise, NOISE_DECIMALS
        ),
        traffic_noise=interpolate_and_round(
            below.traffic_noise, above.traffic_noise, NOISE_DECIMALS
        ),
        rate_noise=interpolate_and_round(below.rate_noise, above.rate_noise, NOISE_DECIMALS),
        shape_noise=interpolate_and_round(below.shape_noise, above.shape_noise, NOISE_DECIMALS),
        product_threshold_factor=interpolate_and_round(
            below.product_threshold_factor,
            above.product_threshold_factor,
            PRODUCT_FACTOR_DECIMALS,
        ),
        separation=Separation(
            nearest=interpolate_and_round(
                below.separation.nearest, above.separation.nearest, SEPARATION_DECIMALS
            ),
            farthest=interpolate_and_round(
                below.separation.farthest, above.separation.farthest, SEPARATION_DECIMALS
            ),
        ),
    )


def _build_rung_level(rung_number: int) -> FunnelLevel:
    """Return the difficulty level for a rung of the curriculum, where the first rung is 1."""
    levels = list(LEVELS.values())
    below, step = divmod(rung_number - 1, _RUNGS_PER_LEVEL)
    above = min(below + 1, len(levels) - 1)
    easiest, hardest = levels[0], levels[-1]
    decoys = round(_interpolate_value_at_rung(rung_number, easiest.decoys, hardest.decoys))
    weeks = round(_interpolate_value_at_rung(rung_number, easiest.days // 7, hardest.days // 7))
    return replace(
        _interpolate_levels(levels[below], levels[above], step / _RUNGS_PER_LEVEL),
        name=f"rung_{rung_number}",
        days=7 * weeks,
        max_anomalies=round(
            _interpolate_value_at_rung(rung_number, easiest.max_anomalies, hardest.max_anomalies)
        ),
        weekday_factors=hardest.weekday_factors if decoys else easiest.weekday_factors,
        decoys=decoys,
    )


RUNG_LEVELS: dict[str, FunnelLevel] = {
    level.name: level for level in map(_build_rung_level, range(1, _LAST_RUNG + 1))
}
"""The rungs by name, `rung_1` to `rung_10`."""

NAMED_LEVELS_BESIDE_RUNG: dict[str, tuple[str, ...]] = {
    name: tuple(
        dict.fromkeys(
            list(LEVELS)[position // _RUNGS_PER_LEVEL]
            for position in (number, number + _RUNGS_PER_LEVEL - 1)
        )
    )
    for number, name in enumerate(RUNG_LEVELS)
}
"""Names of the levels on both sides of each rung; a single one if the rung equals a level."""

EVERY_LEVEL: dict[str, FunnelLevel] = {**LEVELS, **RUNG_LEVELS}

DEFAULT_ANOMALY_COUNTS: dict[str, int] = {
    name: round(_interpolate_value_at_rung(number, FIRST_RUNG_ANOMALIES, LAST_RUNG_ANOMALIES))
    for number, name in enumerate(RUNG_LEVELS, start=1)
}
"""Number of planned anomalies on each rung, used if a reset gives no `anomaly_count`."""

CURRICULUM_RESETS = tuple({"difficulty": name, "scenario_family": "mixed"} for name in RUNG_LEVELS)
"""Reset arguments of each rung, for a curriculum."""

DIFFICULTY_BY_LEVEL: dict[str, float] = {
    **{name: place / (len(LEVELS) - 1) for place, name in enumerate(LEVELS)},
    **{name: place / (_LAST_RUNG - 1) for place, name in enumerate(RUNG_LEVELS)},
}
"""Difficulty of every level as a number from 0 to 1."""
