"""Configuration from which an episode's data are generated.

Equal configurations produce byte-for-byte identical data as long as the versions of the code do not
change. Episode identifiers (task, split, episode id) and play rules (such as the step limit) are
not part of the configuration, because they do not affect the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_funnel,
    build_product_level,
    list_product_families,
    require_product_level,
)
from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES, MIXED
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP, Funnel
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY, FunnelLevel
from metric_tracker_rl.engine.definitions.names import POLICY_SOURCES, PolicySource
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL, RUNG_LEVELS, RUNGS_VERSION
from metric_tracker_rl.engine.definitions.versions import DRAWN_POLICIES_VERSION, GENERATOR_VERSION
from metric_tracker_rl.engine.reporting_policy.drawn_policies import (
    PolicyLevelAndFunnel,
    draw_policy_terms,
    draw_reporting_policy,
    is_reported_by_another_rule,
)
from metric_tracker_rl.products.product import PRODUCT_FORMAT, Product
from metric_tracker_rl.products.twin import TWIN_VERSION
from openenv_kit.errors import InvalidValueError, require_integer, require_name
from openenv_kit.json_text import canonical_json

SCENARIO_FAMILIES = (*ANOMALY_TYPES, MIXED)
MAX_SEED = 2**64 - 1

FUNNELS: dict[str, Funnel] = {ORDERING_APP.name: ORDERING_APP}


@dataclass(frozen=True)
class CustomAnomaly:
    """A request to set metrics on given dates to median ± factor × standard deviation.

    Attributes:
        metrics: names of counts or rates.
        dates: ISO dates. The generator checks that they belong to the episode.
        stddev_factor: distance of the new value from the median, in multiples of the standard
            deviation, which is computed around the median.
        direction: "up" or "down" from the median, or "auto" for the side on which the value already
            is, unless the new value would not be possible there.
    """

    metrics: tuple[str, ...]
    dates: tuple[str, ...]
    stddev_factor: float
    direction: str = "auto"


@dataclass(frozen=True)
class EpisodeConfig:
    """All parameters that determine the data of an episode.

    Attributes:
        seed: seed of the random stream, 0 to 2**64 - 1.
        scenario_family: an anomaly type, or "mixed" for anomalies of different types.
        difficulty: name of a level.
        anomaly_density: "low", "medium" or "high".
        anomaly_count: number of anomalies that the generator plans. Custom anomalies are added to
            these.
        anomalies: custom anomalies, applied after the data have been generated.
        only_custom: whether to leave out the planned anomalies. The dates and all other data stay
            the same.
        funnel: name of a built-in funnel; ignored if there is a product.
        policy: "standard" for the level's reporting policy, or "varied" for a policy drawn at
            random for this episode.
        product: description of a user's table, from which the data are generated; None for the
            built-in funnel.

    Raises:
        UnknownNameError, InvalidValueError: a field has a value that is not allowed or that the
            product does not support.
    """

    seed: int
    scenario_family: str = MIXED
    difficulty: str = "easy"
    anomaly_density: str = "low"
    anomaly_count: int = 2
    anomalies: tuple[CustomAnomaly, ...] = ()
    only_custom: bool = False
    funnel: str = ORDERING_APP.name
    policy: str = PolicySource.STANDARD
    product: Product | None = None

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, MAX_SEED)
        require_name("scenario_family", self.scenario_family, SCENARIO_FAMILIES)
        require_name("difficulty", self.difficulty, EVERY_LEVEL)
        require_name("policy", self.policy, POLICY_SOURCES)
        require_name("anomaly_density", self.anomaly_density, ANOMALY_COUNT_BY_DENSITY)
        require_name("funnel", self.funnel, FUNNELS)
        if self.product is not None:
            self._require_values_of_product(self.product)
        if EVERY_LEVEL[self.difficulty].has_drawn_terms:
            self._require_values_of_drawn_terms()
        max_anomalies = self.level_with_policy_parameters.max_anomalies
        require_integer("anomaly_count", self.anomaly_count, 0, max_anomalies)
        for anomaly in self.anomalies:
            for metric in anomaly.metrics:
                require_name("metric", metric, self.funnel_with_policy_daytime.count_and_rate_names)

    def _require_values_of_product(self, product: Product) -> None:
        require_product_level(product, self.difficulty)
        if self.policy != PolicySource.STANDARD:
            allowed = f"{PolicySource.STANDARD.value!r} with a product"
            raise InvalidValueError("policy", self.policy, allowed)
        families = list_product_families(product, self.difficulty)
        if self.scenario_family not in (*families, MIXED):
            allowed = (
                f"a family that the product {product.name!r} has on {self.difficulty}: "
                f"{', '.join((*families, MIXED))}"
            )
            raise InvalidValueError("scenario_family", self.scenario_family, allowed)

    def _require_values_of_drawn_terms(self) -> None:
        if self.scenario_family != MIXED:
            allowed = f"{MIXED!r} on {self.difficulty}"
            raise InvalidValueError("scenario_family", self.scenario_family, allowed)
        if self.policy != PolicySource.STANDARD:
            allowed = f"{PolicySource.STANDARD.value!r} on {self.difficulty}"
            raise InvalidValueError("policy", self.policy, allowed)

    @property
    def possible_families(self) -> tuple[str, ...]:
        """Names of the anomaly types that a "mixed" episode can contain.

        They do not include types that only a suspended rule would report.
        """
        if self.product is None:
            suspended_rule = self.level_with_policy_parameters.suspended_rule
            return tuple(
                name for name in ANOMALY_TYPES if is_reported_by_another_rule(name, suspended_rule)
            )
        return list_product_families(self.product, self.difficulty)

    @property
    def level_with_policy_parameters(self) -> FunnelLevel:
        """The difficulty level, including the thresholds of the episode's reporting policy."""
        return self._level_and_funnel_of_policy.level

    @property
    def funnel_with_policy_daytime(self) -> Funnel:
        """The funnel, with the daytime hours that the episode's reporting policy defines."""
        return self._level_and_funnel_of_policy.funnel

    @cached_property
    def _level_and_funnel_of_policy(self) -> PolicyLevelAndFunnel:
        if self.product is not None:
            return PolicyLevelAndFunnel(
                build_product_level(self.product, self.difficulty),
                build_product_funnel(self.product),
            )
        level, funnel = EVERY_LEVEL[self.difficulty], FUNNELS[self.funnel]
        if level.has_drawn_terms:
            level = draw_policy_terms(level, self.random_stream_key_json)
        if self.policy == PolicySource.VARIED:
            return draw_reporting_policy(level, funnel, self.random_stream_key_json)
        return PolicyLevelAndFunnel(level, funnel)

    @cached_property
    def random_stream_key_json(self) -> str:
        """Canonical JSON of all parameters from which the episode's random stream is seeded.

        Custom anomalies are not among them: if they were, adding a custom anomaly would change all
        other data of the episode too.
        """
        parts: dict[str, Any] = {
            "generator": GENERATOR_VERSION,
            "seed": self.seed,
            "family": self.scenario_family,
            "difficulty": self.difficulty,
            "density": self.anomaly_density,
            "count": self.anomaly_count,
            "funnel": self.funnel,
        }
        if self.difficulty in RUNG_LEVELS:
            parts["rungs"] = RUNGS_VERSION
        if self.policy == PolicySource.VARIED:
            parts["policy"] = f"{PolicySource.VARIED}/{DRAWN_POLICIES_VERSION}"
        if self.product is not None:
            parts["funnel"] = self.product.name
            parts["product"] = self.product.digest
            parts["product_format"] = PRODUCT_FORMAT
            parts["twin"] = TWIN_VERSION
        return canonical_json(parts)
