"""Find the scenario families in which anomalies can be planned in a product's simulated data.

Checking that a series can exceed its threshold is not sufficient. If a product has few events per
day, any change that is large enough can also bring another series close to its threshold. It is
then unclear whether that series must be reported.
"""

from __future__ import annotations

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.product_policy import list_product_families
from metric_tracker_rl.engine.generation.clean_data import draw_clean_data
from metric_tracker_rl.engine.generation.plan_anomalies import plan_anomalies_of_day
from metric_tracker_rl.engine.generation.planned_anomaly import CleanDay
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.products.product import Product
from openenv_kit.bitstream import BitStream

WINDOWS = 20
DAYS_PER_WINDOW = 3
"""Maximum number of days of a window on which planning an anomaly is tried."""
MIN_PLANNED_SHARE = 0.9
"""Smallest share of windows in which planning must succeed for the family to be used."""


def list_plannable_families(product: Product, level_name: str) -> tuple[str, ...]:
    """Return the scenario families of a level whose anomalies can almost always be planned.

    Planning must succeed in at least the share `MIN_PLANNED_SHARE` of the simulated data sets.

    Args:
        product: product whose entry for the level lists the candidate families.
        level_name: name of a level that is enabled for the product.
    """
    return tuple(
        family
        for family in list_product_families(product, level_name)
        if measure_plannable_share(product, level_name, family) >= MIN_PLANNED_SHARE
    )


def measure_plannable_share(product: Product, level_name: str, family: str) -> float:
    """Return the share of simulated data sets in which an anomaly of a family can be planned.

    Each data set has a different seed. Planning is tried on up to `DAYS_PER_WINDOW` days of a data
    set and must succeed on one of them.
    """
    planned = sum(
        _can_be_planned(EpisodeConfig(seed, family, level_name, "low", 1, product=product))
        for seed in range(WINDOWS)
    )
    return planned / WINDOWS


def _can_be_planned(config: EpisodeConfig) -> bool:
    stream = BitStream(config.random_stream_key_json)
    data = draw_clean_data(stream, config)
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    series = DailySeries(data.clean, funnel, level, data.explained)
    return any(
        plan_anomalies_of_day(
            stream,
            [config.scenario_family],
            CleanDay(
                day=day,
                hours=data.clean[day],
                values=series.values[day].tolist(),
                baselines=series.baselines[day].tolist(),
                funnel=funnel,
                level=level,
            ),
        )
        for day in data.free_days[-DAYS_PER_WINDOW:]
    )
