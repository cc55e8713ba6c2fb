"""Random: as many rows as are expected, or three where that is not told, drawn blindly."""

from __future__ import annotations

import random
from typing import Any

from metric_tracker_rl.engine.rules import HIDDEN
from metric_tracker_rl.engine.vocabulary import ANOMALY_TYPES, DETECTION_METHODS, SEVERITIES
from metric_tracker_rl.policies.base import Observed, Play, analyse, policy, result_of, submit

USUAL_COUNT = 3
"""Rows where the number of expected ones is not told."""


@policy("random")
def random_rows(opening: Observed) -> Play:
    """Submits as many random rows as are expected; the same ones for the same dates."""
    dates = result_of((yield analyse("list_dates")))["dates"]
    entities = result_of((yield analyse("list_entities")))["entities"]
    draw = random.Random(dates[0])
    told = opening["config"]["anomaly_count"]
    count = USUAL_COUNT if told == HIDDEN else told
    yield submit([_row(draw, dates, entities) for _ in range(count)])


def _row(draw: random.Random, dates: list[str], entities: list[dict[str, str]]) -> dict[str, Any]:
    entity = draw.choice(entities)
    baseline, observed = draw.uniform(1, 100), draw.uniform(1, 100)
    return {
        "date": draw.choice(dates),
        **entity,
        "anomaly_type": draw.choice(ANOMALY_TYPES),
        "detection_method": DETECTION_METHODS[entity["entity_type"]],
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": observed - baseline,
        "severity": draw.choice(SEVERITIES),
    }
