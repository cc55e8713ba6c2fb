"""The generator that the visible config names: no reading, one call or none at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.audit.flagged import flagged_rows, most_extreme
from metric_tracker_rl.audit.registry import BLIND, ZERO_CALL, exploit
from metric_tracker_rl.play import HIDDEN
from metric_tracker_rl.policies.registry import Observed, Play, submit
from metric_tracker_rl.vocabulary import ANOMALY_TYPES, MEDIAN_FILTER


@exploit("visible_family", ZERO_CALL, everywhere=True)
def visible_family(opening: Observed) -> Play:
    """Submits, without any call, what the generator of the visible family builds."""
    method = _named_generator(opening["config"])
    yield {"payload_generators": [{"method_name": method, "threshold_multiplier": 0.0}]}


@exploit("visible_family_after_a_look", BLIND, everywhere=True)
def visible_family_after_a_look(opening: Observed) -> Play:
    """Submits the most extreme rows of that generator, as many as are told to be expected."""
    config = opening["config"]
    rows = most_extreme((yield from flagged_rows(methods=(_named_generator(config),))), opening)
    told = config["anomaly_count"]
    yield submit(rows if told == HIDDEN else rows[:told])


def _named_generator(config: Mapping[str, Any]) -> str:
    family = config["scenario_family"]
    return family if family in ANOMALY_TYPES else MEDIAN_FILTER
