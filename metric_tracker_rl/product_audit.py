"""Exploit audit of a product, which measures how well policies that cheat score on its episodes.

The audit runs the exploits of the built-in funnel, but without their score limits.

The score limits of the built-in funnel's exploits were measured on its own episodes. The only
requirement for a product is that the reference policy scores 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from metric_tracker_rl.audit import ANOMALY_COUNTS, MODE_SETTINGS, MetricTrackerAudit
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_level,
    list_product_families,
    list_product_levels,
)
from metric_tracker_rl.engine.configuration.product_splits import build_product_splits
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.products.product import ENVIRONMENT_NAME, Product
from openenv_kit.environment import Environment, get_environment
from openenv_kit.splits import Splits
from openenv_kit.trust.audit import SPLIT_PREFIX
from openenv_kit.trust.exploits import NO_CEILING, Exploit

CACHED_AUDITS = 4
PRODUCT_MODE_SETTINGS = tuple(
    name
    for name, arguments in MODE_SETTINGS.items()
    if arguments.get("policy") != PolicySource.VARIED
)
"""Settings of the play modes that are available for products, which have no drawn policies."""


@lru_cache(maxsize=CACHED_AUDITS)
def build_product_audit(product: Product) -> ProductAudit:
    """Return the audit of a product from a cache, so that fitted exploits can be reused.

    Raises:
        InvalidValueError: no level is enabled for the product.
    """
    return ProductAudit(get_environment(ENVIRONMENT_NAME), product)


class ProductAudit(MetricTrackerAudit):
    """Exploit audit of a product; see `openenv_kit.trust.audit.Audit` for the members.

    Args:
        environment: the funnel environment.
        product: the product, which must be registered, because episodes are reset by its name.
    """

    def __init__(self, environment: Environment, product: Product) -> None:
        self.product = product
        self.product_name = product.name
        levels_on = list_product_levels(product)
        self.levels = tuple(name for name in LEVELS if name in levels_on)
        self._splits = build_product_splits(product)
        super().__init__(environment)

    @property
    def splits(self) -> Splits:
        return self._splits

    @property
    def settings(self) -> Sequence[str]:
        families = dict.fromkeys(
            family for level in self.levels for family in list_product_families(self.product, level)
        )
        return [
            MIXED,
            *families,
            *(SPLIT_PREFIX + name for name in self.splits.list_playable_split_names()),
            *PRODUCT_MODE_SETTINGS,
        ]

    def get_exploit_or_baseline(self, name: str) -> Exploit:
        return replace(super().get_exploit_or_baseline(name), ceiling=NO_CEILING)

    def count_episodes(self, setting: str, level: str) -> int:
        is_family = setting not in (MIXED, *PRODUCT_MODE_SETTINGS) and not setting.startswith(
            SPLIT_PREFIX
        )
        if is_family and setting not in list_product_families(self.product, level):
            return 0
        return super().count_episodes(setting, level)

    def build_reset_arguments(
        self, level: str, episode_number: int, max_submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        reset = super().build_reset_arguments(level, episode_number, max_submissions, setting)
        if "anomaly_count" in reset:
            max_anomalies = build_product_level(self.product, level).max_anomalies
            count = ANOMALY_COUNTS[episode_number % len(ANOMALY_COUNTS)]
            reset["anomaly_count"] = min(count, max_anomalies)
        return {**reset, "product": self.product.name}

    def list_training_episodes(self, setting: str, level: str) -> Sequence[EpisodeView]:
        # The train split of a product may be smaller than the number of training episodes.
        return super().list_training_episodes(
            MIXED if setting.startswith(SPLIT_PREFIX) else setting, level
        )
