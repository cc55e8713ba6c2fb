"""Contains the registry of the policies, and functions that the policies share.

Flagged rows include both roots and consequences. They are the starting point of policies that do
not apply the whole reporting policy.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from metric_tracker_rl.analysis_tools.arguments import MAX_ROWS_PER_REPLY
from metric_tracker_rl.engine.definitions.anomaly_types import ROW_GENERATOR_NAMES
from metric_tracker_rl.policies.funnel_names import read_funnel_names
from openenv_kit.errors import ToolArgumentError
from openenv_kit.rollouts.policies import Action, ObservationJson, Policies, Policy, PolicySteps

__all__ = ["POLICIES", "Action", "ObservationJson", "Policy", "PolicySteps"]

RowFields = dict[str, Any]
"""Fields of a report row by name."""
RowSteps = Generator[Action, ObservationJson, list[RowFields]]
"""Generator that yields a policy's actions and returns report rows."""

POLICIES = Policies()
"""Scripted policies by name, in the order of registration."""

register_policy = POLICIES.register


def build_analysis_action(method_name: str, **arguments: Any) -> Action:
    """Return an action that runs an analysis method with the given arguments."""
    return {"analysis_method": method_name, "analysis_args": arguments}


def build_submit_action(rows: list[RowFields]) -> Action:
    """Return an action that submits a report."""
    return {"classifications": rows}


def require_analysis_result(observation: ObservationJson) -> Any:
    """Return the result of an analysis method from the observation that followed the call.

    Raises:
        ToolArgumentError: the call was rejected, for example because the environment has no such
            method.
    """
    if observation.get("analysis_result") is None:
        raise ToolArgumentError(observation["message"])
    return observation["analysis_result"]["result"]


def request_flagged_rows(
    threshold_multiplier: float = 0.0, generator_names: Sequence[str] = ROW_GENERATOR_NAMES
) -> RowSteps:
    """Run several row generators in one tool call and return their rows.

    Row generators are analysis methods that return report rows for flagged series.

    Args:
        threshold_multiplier: factor by which the thresholds of all generators are multiplied. With
            0, every flagged row is returned.
        generator_names: names of the row generators to run.
    """
    generators = [
        {"method_name": name, "threshold_multiplier": threshold_multiplier}
        for name in generator_names
    ]
    action = build_analysis_action(
        "payload_generator", generator_methods=generators, limit=MAX_ROWS_PER_REPLY
    )
    return list(require_analysis_result((yield action))["generated_rows"])


def request_unexplained_flagged_rows(reset_observation: ObservationJson) -> RowSteps:
    """Request all flagged rows and return those that the public calendar does not explain."""
    rows = yield from request_flagged_rows()
    events = require_analysis_result((yield build_analysis_action("list_calendar")))["events"]
    explained = {(event["date"], name) for event in events for name in event["explains"]}
    names = read_funnel_names(reset_observation)
    unexplained = []
    for row in rows:
        # Calendar entries list the step rate, not the funnel step.
        series_name = names.convert_funnel_step_to_step_rate(row["entity_name"])
        if (row["date"], series_name) not in explained:
            unexplained.append(row)
    return unexplained
