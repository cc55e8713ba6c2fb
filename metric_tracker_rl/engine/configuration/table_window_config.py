"""Configuration of an episode whose counts come from a user's table instead of the generator."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_funnel,
    build_product_level,
)
from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES
from metric_tracker_rl.engine.reporting_policy.drawn_policies import PolicyLevelAndFunnel
from metric_tracker_rl.products.product import DAYS_PER_WEEK, Product
from openenv_kit.errors import InvalidValueError
from openenv_kit.json_text import canonical_json

LEVEL_BY_WEEKS = {4: "hard", 8: "expert"}
"""Level that provides the number of days and the thresholds of a window, by number of weeks.

Both levels use the product's thresholds unchanged.
"""


@dataclass(frozen=True)
class TableWindowConfig(EpisodeConfig):
    """Configuration of an episode whose counts come from a range of dates in a user's table.

    The product's levels do not have to be enabled, because no anomalies are generated.

    Attributes:
        start_date: ISO date of the first day.
        has_calendar: whether there are calendar entries for these dates. If so, the reporting
            policy contains a rule about them.
    """

    start_date: str = ""
    has_calendar: bool = False

    def _require_values_of_product(self, product: Product) -> None:
        """Accept every product, because no anomalies are generated."""

    @property
    def possible_families(self) -> tuple[str, ...]:
        return tuple(ANOMALY_TYPES)

    @cached_property
    def _level_and_funnel_of_policy(self) -> PolicyLevelAndFunnel:
        if self.product is None:
            raise InvalidValueError("product", None, "a product")
        level = build_product_level(self.product, self.difficulty)
        level = replace(level, decoys=1 if self.has_calendar else 0)
        return PolicyLevelAndFunnel(level, build_product_funnel(self.product))

    @cached_property
    def random_stream_key_json(self) -> str:
        """Canonical JSON of the episode's parameters and start date, without the counts."""
        parts = json.loads(super().random_stream_key_json)
        return canonical_json({**parts, "window": self.start_date})


def build_table_window_config(
    product: Product, weeks: int, start_date: str, *, has_calendar: bool
) -> TableWindowConfig:
    """Return the configuration of an episode whose counts come from a user's table.

    Args:
        product: product that describes the table and provides the thresholds and names.
        weeks: number of weeks of the episode, 4 or 8.
        start_date: ISO date of the first day.
        has_calendar: whether there are calendar entries for these weeks.

    Raises:
        InvalidValueError: the number of weeks is not allowed.
    """
    if weeks not in LEVEL_BY_WEEKS:
        allowed = " or ".join(str(each) for each in LEVEL_BY_WEEKS)
        raise InvalidValueError("weeks", weeks, allowed)
    return TableWindowConfig(
        seed=0,
        difficulty=LEVEL_BY_WEEKS[weeks],
        anomaly_count=0,
        product=product,
        start_date=start_date,
        has_calendar=has_calendar,
    )


def count_window_days(weeks: int) -> int:
    """Return the number of days of an episode that spans the given number of weeks."""
    return weeks * DAYS_PER_WEEK
