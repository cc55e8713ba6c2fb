"""What an episode is made from: one frozen, validated value.

Two configurations that compare equal are the same episode, byte for byte, for ever. The
names a trainer uses for it (task, split, episode id) and the rules of play (steps,
submissions) are not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP, Funnel
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY, FunnelLevel
from metric_tracker_rl.engine.definitions.names import (
    ANOMALY_TYPES,
    CUSTOM_ANOMALY_METHODS,
    DIRECTIONS,
    REPORTING_POLICIES,
    STANDARD,
    STDDEV_SHIFT,
    VARIED,
)
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL
from metric_tracker_rl.engine.definitions.versions import DRAWN_POLICIES_VERSION, GENERATOR_VERSION
from metric_tracker_rl.engine.reporting_policy.drawn_policies import draw_reporting_policy
from openenv_kit.errors import InvalidValueError, require_integer, require_name

MIXED = "mixed"
SCENARIO_FAMILIES = (*ANOMALY_TYPES, MIXED)
MAX_SEED = 2**64 - 1
MAX_CUSTOM_ANOMALIES = 50

FUNNELS: dict[str, Funnel] = {ORDERING_APP.name: ORDERING_APP}


@dataclass(frozen=True)
class CustomAnomaly:
    """A metric set by hand on some dates: median ± factor × standard deviation from it.

    Attributes:
        metrics: names of counts or rates.
        dates: ISO dates inside the episode; checked when the episode's dates are known.
        stddev_factor: distance from the median, in standard deviations from the median.
        direction: up, down, or auto (away from the median on the side the value is on).
    """

    metrics: tuple[str, ...]
    dates: tuple[str, ...]
    stddev_factor: float
    direction: str = "auto"


@dataclass(frozen=True)
class EpisodeConfig:
    """Everything that decides an episode's data.

    Attributes:
        seed: 0 to 2**64 - 1.
        scenario_family: an anomaly type, or `mixed`.
        difficulty: name of a level or a rung.
        anomaly_density: low, medium or high.
        anomaly_count: planned anomalies; 0 is an episode whose right report is empty.
        anomalies: custom anomalies, applied to the finished data.
        only_custom: leave the planned anomalies out; dates and clean data stay those of the
            same configuration with them.
        funnel: name of the product funnel.
        policy: "standard" for the level's reporting policy, or "varied" for one drawn for this
            episode.
    """

    seed: int
    scenario_family: str = MIXED
    difficulty: str = "easy"
    anomaly_density: str = "low"
    anomaly_count: int = 2
    anomalies: tuple[CustomAnomaly, ...] = ()
    only_custom: bool = False
    funnel: str = ORDERING_APP.name
    policy: str = STANDARD

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, MAX_SEED)
        require_name("scenario_family", self.scenario_family, SCENARIO_FAMILIES)
        require_name("difficulty", self.difficulty, EVERY_LEVEL)
        require_name("policy", self.policy, REPORTING_POLICIES)
        require_name("anomaly_density", self.anomaly_density, ANOMALY_COUNT_BY_DENSITY)
        most = EVERY_LEVEL[self.difficulty].max_anomalies
        require_integer("anomaly_count", self.anomaly_count, 0, most)
        require_name("funnel", self.funnel, FUNNELS)
        for anomaly in self.anomalies:
            for metric in anomaly.metrics:
                require_name("metric", metric, self.funnel_spec.metric_names)

    @cached_property
    def level(self) -> FunnelLevel:
        """The difficulty's noise and separation, and the thresholds of the policy in force."""
        return self._level_and_funnel[0]

    @cached_property
    def funnel_spec(self) -> Funnel:
        """The funnel's names and base rates, and the hours of daytime in force."""
        return self._level_and_funnel[1]

    @cached_property
    def _level_and_funnel(self) -> tuple[FunnelLevel, Funnel]:
        level, funnel = EVERY_LEVEL[self.difficulty], FUNNELS[self.funnel]
        return (
            draw_reporting_policy(level, funnel, self.identity)
            if self.policy == VARIED
            else (level, funnel)
        )

    @cached_property
    def identity(self) -> str:
        """Canonical text of everything that is drawn, and the generator's version.

        Custom anomalies draw nothing and are left out: otherwise asking for one on a date would
        change that date's data.
        """
        parts = {
            "generator": GENERATOR_VERSION,
            "seed": self.seed,
            "family": self.scenario_family,
            "difficulty": self.difficulty,
            "density": self.anomaly_density,
            "count": self.anomaly_count,
            "funnel": self.funnel,
            **({"policy": f"{VARIED}/{DRAWN_POLICIES_VERSION}"} if self.policy == VARIED else {}),
        }
        return _canonical_json(parts)


_canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def parse_custom_anomalies(raw: object) -> tuple[CustomAnomaly, ...]:
    """Custom anomalies from what came over the wire.

    Args:
        raw: None, or a list of mappings (or models) with `method_name`, `metric_name` or
            `metric_names`, `date` or `dates`, `stddev_factor`, `direction`.

    Raises:
        UnknownNameError: an unknown method, direction or field.
        InvalidValueError: a missing or wrong value.
    """
    if raw is None:
        return ()
    if not isinstance(raw, list | tuple):
        raise InvalidValueError("anomalies", raw, "a list of synthetic anomaly generators")
    if len(raw) > MAX_CUSTOM_ANOMALIES:
        allowed = f"at most {MAX_CUSTOM_ANOMALIES}"
        raise InvalidValueError("number of anomalies", len(raw), allowed)
    return tuple(_parse_custom_anomaly(item) for item in raw)


_CUSTOM_ANOMALY_FIELDS = (
    *("method_name", "metric_name", "metric_names"),
    *("date", "dates", "stddev_factor", "direction"),
)


def _parse_custom_anomaly(item: object) -> CustomAnomaly:
    if hasattr(item, "model_dump"):
        item = item.model_dump()
    if not isinstance(item, Mapping):
        raise InvalidValueError("anomaly", item, "an object")
    for field in item:
        require_name("anomaly field", field, _CUSTOM_ANOMALY_FIELDS)
    require_name("method_name", item.get("method_name", STDDEV_SHIFT), CUSTOM_ANOMALY_METHODS)
    metrics = _read_names(item, "metric_name", "metric_names")
    dates = _read_names(item, "date", "dates")
    factor = item.get("stddev_factor", 3.0)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= 1000:
        raise InvalidValueError("stddev_factor", factor, "a number from 0 to 1000")
    direction = require_name("direction", item.get("direction", "auto"), DIRECTIONS)
    return CustomAnomaly(metrics, dates, float(factor), direction)


def _read_names(item: Mapping[str, Any], single_field: str, list_field: str) -> tuple[str, ...]:
    single, several = item.get(single_field), item.get(list_field)
    if several is not None and not isinstance(several, list | tuple):
        raise InvalidValueError(list_field, several, "a list of names")
    values = [*([] if single is None else [single]), *(several or [])]
    if not values or not all(isinstance(value, str) for value in values):
        raise InvalidValueError(
            f"{single_field} / {list_field}", values, "at least one name as text"
        )
    return tuple(dict.fromkeys(values))
