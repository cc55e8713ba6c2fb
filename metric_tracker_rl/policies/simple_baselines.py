"""Policies that read nothing of the data: one filter, the empty report, and chance."""

from __future__ import annotations

import random
from collections.abc import Sequence

from metric_tracker_rl.engine.configuration.play_rules import HIDDEN
from metric_tracker_rl.engine.definitions.names import (
    ANOMALY_TYPES,
    DETECTION_METHODS,
    MEDIAN_FILTER,
    SEVERITIES,
)
from metric_tracker_rl.policies.base import (
    Observed,
    Play,
    Row,
    analyse,
    flagged_rows,
    policy,
    result_of,
    submit,
)

USUAL_COUNT = 3
"""Random rows where the number of expected ones is not told."""


@policy("median_filter", panel=True)
def median_filter(_: Observed) -> Play:
    """Submits what one median filter at two standard deviations generates."""
    yield submit((yield from flagged_rows(2.0, (MEDIAN_FILTER,))))


@policy("null")
def null(_: Observed) -> Play:
    """Submits the empty report at once."""
    yield submit([])


@policy("random")
def random_rows(opening: Observed) -> Play:
    """Submits as many random rows as are expected; the same ones for the same dates."""
    dates = result_of((yield analyse("list_dates")))["dates"]
    entities = result_of((yield analyse("list_entities")))["entities"]
    draw = random.Random(dates[0])
    expected = opening["config"]["anomaly_count"]
    count = USUAL_COUNT if expected == HIDDEN else expected
    yield submit([_row(draw, dates, entities) for _ in range(count)])


def _row(draw: random.Random, dates: Sequence[str], entities: Sequence[Row]) -> Row:
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
