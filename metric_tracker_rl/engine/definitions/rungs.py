"""Numbered difficulty levels, called rungs, for training with a curriculum.

Each rung requires a player to read something that the rung before does not. `research.ladder`
measures how well players score who do not read it. All rungs have the noise of the level easy.

- rung_1: `scan` lists the flagged series, and nothing else is needed. A table from the names that
  are flagged on a date to the names of the roots solves it.
- rung_2: `calendar` states which flagged series are explained. The decoys are drawn like anomalies,
  so only the calendar distinguishes them. A player who removes the explained series can use a table
  for the others.
- rung_3: `overview` states terms of the reporting policy that are drawn for each episode: the
  composite rate that is reported for a slow leak, and a suspended rule, which reports nothing. One
  anomaly of each episode belongs to the suspended rule.
- rung_4: the thresholds are drawn too, and `scan` lists the changes of all series that deviate by
  at least half the smallest possible threshold. Some of them would be flagged with other
  thresholds.
- rung_5: `scan` lists dates only. `day` lists the values of a date, each with an id, and `overview`
  the medians.
"""

from __future__ import annotations

from dataclasses import replace

from metric_tracker_rl.engine.definitions.levels import (
    LEVELS,
    FunnelLevel,
    Separation,
    ShownDeviations,
)
from metric_tracker_rl.engine.definitions.names import ScanContent

RUNGS_VERSION = "3"
"""Version of the rungs' data. It is part of the random stream's key and of the splits' domain."""

_FIRST_RUNG = replace(LEVELS["easy"], name="rung_1")
_CALENDAR_RUNG = replace(
    _FIRST_RUNG,
    name="rung_2",
    decoys=2,
    has_decoys_like_anomalies=True,
    weekday_factors=LEVELS["expert"].weekday_factors,
)
_DRAWN_TERMS_RUNG = replace(
    _CALENDAR_RUNG, name="rung_3", has_drawn_terms=True, suspended_anomalies=1
)
_SMALLEST_THRESHOLDS = ShownDeviations(counts=0.20, rates=0.12, share=0.05)
_DRAWN_THRESHOLDS_RUNG = replace(
    _DRAWN_TERMS_RUNG,
    name="rung_4",
    count_threshold=_SMALLEST_THRESHOLDS.counts,
    rate_threshold=_SMALLEST_THRESHOLDS.rates,
    mix_threshold=_SMALLEST_THRESHOLDS.share,
    threshold_factors=(1.0, 1.3, 1.6),
    near_misses=2,
    # A larger anomaly would be flagged with the next larger threshold too.
    separation=Separation(nearest=1.13, farthest=1.28),
    # Every day of the week is less than half the smallest threshold from the median.
    weekday_factors=(0.96, 0.97, 0.98, 1.0, 1.03, 1.05, 1.04),
    scan_lists=ScanContent.DEVIATIONS,
    shown_deviations=ShownDeviations(*(limit / 2 for limit in _SMALLEST_THRESHOLDS)),
)
_DATES_RUNG = replace(_DRAWN_THRESHOLDS_RUNG, name="rung_5", scan_lists=ScanContent.DATES)

RUNG_LEVELS: dict[str, FunnelLevel] = {
    level.name: level
    for level in (
        _FIRST_RUNG,
        _CALENDAR_RUNG,
        _DRAWN_TERMS_RUNG,
        _DRAWN_THRESHOLDS_RUNG,
        _DATES_RUNG,
    )
}
"""The rungs by name, from `rung_1` on."""

NAMED_LEVEL_OF_RUNG: dict[str, str] = {
    name: "easy" for name, level in RUNG_LEVELS.items() if not level.has_drawn_terms
}
"""Name of the level that a product must have for a rung. Products have no rungs with drawn terms,
because their reporting policy is fixed.
"""

EVERY_LEVEL: dict[str, FunnelLevel] = {**LEVELS, **RUNG_LEVELS}

DEFAULT_ANOMALY_COUNTS: dict[str, int] = {
    name: 3 if level.has_drawn_terms else 2 for name, level in RUNG_LEVELS.items()
}
"""Number of planned anomalies on each rung, used if a reset gives no `anomaly_count`."""

CURRICULUM_RESETS = tuple({"difficulty": name, "scenario_family": "mixed"} for name in RUNG_LEVELS)
"""Reset arguments of each rung, for a curriculum."""

DIFFICULTY_BY_LEVEL: dict[str, float] = {
    **{name: place / (len(LEVELS) - 1) for place, name in enumerate(LEVELS)},
    **{name: place / (len(RUNG_LEVELS) - 1) for place, name in enumerate(RUNG_LEVELS)},
}
"""Difficulty of every level as a number from 0 to 1."""
