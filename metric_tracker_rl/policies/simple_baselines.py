"""Baseline policies without analysis: a median filter, an empty report, and random rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES, MEDIAN_FILTER
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.severity import SEVERITIES
from metric_tracker_rl.engine.episode.episode_view import HIDDEN_VALUE
from metric_tracker_rl.policies.base import (
    ObservationJson,
    PolicySteps,
    RowFields,
    build_analysis_action,
    build_submit_action,
    register_policy,
    request_flagged_rows,
    require_analysis_result,
)

DEFAULT_ROW_COUNT = 3
"""Number of random rows if the number of expected rows is hidden."""


@register_policy("median_filter", is_baseline=True)
def submit_rows_of_median_filter(_: ObservationJson) -> PolicySteps:
    """Submit the rows that the median filter generates at two standard deviations."""
    yield build_submit_action((yield from request_flagged_rows(2.0, (MEDIAN_FILTER,))))


@register_policy("null")
def submit_empty_report(_: ObservationJson) -> PolicySteps:
    """Submit an empty report in the first step."""
    yield build_submit_action([])


@register_policy("random")
def submit_random_rows(reset_observation: ObservationJson) -> PolicySteps:
    """Submit as many random rows as the correct report has, seeded by the first date."""
    dates = require_analysis_result((yield build_analysis_action("list_dates")))["dates"]
    entities = require_analysis_result((yield build_analysis_action("list_entities")))["entities"]
    rng = random.Random(dates[0])
    expected = reset_observation["config"]["anomaly_count"]
    count = DEFAULT_ROW_COUNT if expected == HIDDEN_VALUE else expected
    yield build_submit_action([_draw_random_row(rng, dates, entities) for _ in range(count)])


def _draw_random_row(
    rng: random.Random, dates: Sequence[str], entities: Sequence[RowFields]
) -> RowFields:
    entity = rng.choice(entities)
    baseline, observed = rng.uniform(1, 100), rng.uniform(1, 100)
    return {
        "date": rng.choice(dates),
        **entity,
        "anomaly_type": rng.choice(tuple(ANOMALY_TYPES)),
        "detection_method": DETECTION_METHODS[entity["entity_type"]],
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": observed - baseline,
        "severity": rng.choice(SEVERITIES),
    }
