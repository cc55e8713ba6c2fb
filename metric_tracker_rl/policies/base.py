"""What every policy of this environment is written with: registry, actions, flagged rows.

Flagged rows, roots and echoes alike, are what label-blind players start from.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from metric_tracker_rl.analysis_tools.arguments import MAX_ROWS_PER_REPLY
from metric_tracker_rl.engine.definitions.anomaly_types import ROW_GENERATOR_NAMES
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from openenv_kit.errors import ToolArgumentError
from openenv_kit.rollouts.policies import Action, ObservationJson, Policies, Policy, PolicySteps

__all__ = ["POLICIES", "Action", "ObservationJson", "Policy", "PolicySteps"]

RowFields = dict[str, Any]
RowSteps = Generator[Action, ObservationJson, list[RowFields]]
"""A part of a play that ends with rows."""

POLICIES = Policies()
"""Every scripted policy by name, in the order of declaration."""

register_policy = POLICIES.register


def build_analysis_action(method: str, **arguments: Any) -> Action:
    """The action that runs one analysis method."""
    return {"analysis_method": method, "analysis_args": arguments}


def build_submit_action(rows: list[dict[str, Any]]) -> Action:
    """The action that submits a report."""
    return {"classifications": rows}


def require_analysis_result(observation: ObservationJson) -> Any:
    """Result of the analysis method that an observation answers.

    Raises:
        ToolArgumentError: it was refused, as all of them are in another environment.
    """
    if observation.get("analysis_result") is None:
        raise ToolArgumentError(observation["message"])
    return observation["analysis_result"]["result"]


def request_flagged_rows(
    multiplier: float = 0.0, methods: Sequence[str] = ROW_GENERATOR_NAMES
) -> RowSteps:
    """Rows of several generators at one multiplier, by one analysis step."""
    wanted = [{"method_name": name, "threshold_multiplier": multiplier} for name in methods]
    asked = build_analysis_action(
        "payload_generator", generator_methods=wanted, limit=MAX_ROWS_PER_REPLY
    )
    return list(require_analysis_result((yield asked))["generated_rows"])


def request_unexplained_rows() -> RowSteps:
    """Every flagged row that the public calendar does not explain."""
    rows = yield from request_flagged_rows()
    events = require_analysis_result((yield build_analysis_action("list_calendar")))["events"]
    known = {(event["date"], name) for event in events for name in event["explains"]}
    rate_of = dict(zip(ORDERING_APP.funnel_step_names, ORDERING_APP.step_rate_names, strict=True))
    names = ((row, rate_of.get(row["entity_name"], row["entity_name"])) for row in rows)
    return [row for row, name in names if (row["date"], name) not in known]
