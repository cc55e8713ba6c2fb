"""Product mappings that tests parse, change and play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metric_tracker_rl.products.parse_product import parse_product
from metric_tracker_rl.products.product import (
    count_blocks,
    list_composite_rate_names,
    list_fitted_series_names,
)
from metric_tracker_rl.products.product_file import write_product
from openenv_kit.own_data.stage_counts import Grain

RESIDUAL = (-0.15, -0.12, -0.10, -0.07, -0.05, -0.02, 0.0, 0.02, 0.05, 0.07, 0.1, 0.12, 0.15)
"""Residuals of an example series with a standard deviation of about 5 %."""
HOUR_WEIGHTS = tuple([0.01] * 6 + [0.05] * 16 + [0.07] * 2)


def build_product_mapping(
    stages: tuple[str, ...] = ("visits", "carts", "orders", "payments"),
    grain: Grain = Grain.HOUR,
    days: int = 112,
    first_level: float = 5000.0,
    rate_level: float = 0.6,
) -> dict[str, Any]:
    """Return the mapping of a valid product without certified levels."""
    names = list_fitted_series_names(stages, grain)
    return {
        "format": 1,
        "environment": "metric_tracker_rl",
        "name": "shop",
        "grain": grain.value,
        "stages": list(stages),
        "days": days,
        "set_aside": {"holidays": 2, "unusual": 3, "missing": 0},
        "impossible_counts": grain.value,
        **({"daytime": [8, 20], "hour_weights": list(HOUR_WEIGHTS)} if grain == Grain.HOUR else {}),
        "series": [
            _build_series(name, place, days, first_level, rate_level)
            for place, name in enumerate(names)
        ],
        "noise": {"factor": [[0.0] * row + [1.0] for row in range(len(names))]},
        "thresholds": dict.fromkeys((*stages[1:], *list_composite_rate_names(stages)), 0.25),
    }


def _build_series(
    name: str, place: int, days: int, first_level: float, rate_level: float
) -> dict[str, Any]:
    """Return one series; the first is a count, a name with a colon is the daytime share."""
    noise = 1.0 if place == 0 else 0.2
    return {
        "name": name,
        "levels": [first_level if place == 0 else rate_level] * count_blocks(days),
        "weekday": [1.1, 1.05, 1.0, 1.0, 0.95, 0.9, 1.0] if place == 0 else [1.0] * 7,
        "residual": [noise * value for value in RESIDUAL],
        "lag1": 0.3,
        "threshold": 0.2,
    }


def build_level_mapping() -> dict[str, Any]:
    """Return the `level` table of a product on which every level is on."""
    families = ["rate_drop_from_median", "absolute_drop_in_event_count", "funnel_break"]
    return {
        name: {"on": True, "families": list(families), "certified": 100, "reason": ""}
        for name in ("easy", "medium", "hard", "expert")
    }


def write_example_product(path: Path, **changes: Any) -> Path:
    """Write the file of an example product on which every level is on, and return its path.

    Args:
        path: path of the file.
        changes: values of the product that differ from those of `build_product_mapping`.
    """
    content = {**build_product_mapping(), "level": build_level_mapping(), **changes}
    write_product(parse_product(content), path)
    return path
