"""What every policy of this environment is written with: registry, actions, flagged rows.

Flagged rows, roots and echoes alike, are what label-blind players start from.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from metric_tracker_rl.analysis_tools.arguments import MOST_ROWS
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.names import ROW_GENERATORS
from openenv_kit.errors import ToolArgumentError
from openenv_kit.rollouts.policies import Action, Observed, Play, Policies, Policy

__all__ = ["POLICIES", "Action", "Observed", "Play", "Policy"]

Row = dict[str, Any]
Asking = Generator[Action, Observed, list[Row]]
"""A part of a play that ends with rows."""

POLICIES = Policies()
"""Every scripted policy by name, in the order of declaration."""

policy = POLICIES.register


def analyse(method: str, **arguments: Any) -> Action:
    """The action that runs one analysis method."""
    return {"analysis_method": method, "analysis_args": arguments}


def submit(rows: list[dict[str, Any]]) -> Action:
    """The action that submits a report."""
    return {"classifications": rows}


def result_of(observation: Observed) -> Any:
    """Result of the analysis method that an observation answers.

    Raises:
        ToolArgumentError: it was refused, as all of them are in another environment.
    """
    if observation.get("analysis_result") is None:
        raise ToolArgumentError(observation["message"])
    return observation["analysis_result"]["result"]


def flagged_rows(multiplier: float = 0.0, methods: Sequence[str] = ROW_GENERATORS) -> Asking:
    """Rows of several generators at one multiplier, by one analysis step."""
    wanted = [{"method_name": name, "threshold_multiplier": multiplier} for name in methods]
    asked = analyse("payload_generator", generator_methods=wanted, limit=MOST_ROWS)
    return list(result_of((yield asked))["generated_rows"])


def unexplained_rows() -> Asking:
    """Every flagged row that the public calendar does not explain."""
    rows = yield from flagged_rows()
    events = result_of((yield analyse("list_calendar")))["events"]
    known = {(event["date"], name) for event in events for name in event["explains"]}
    rate_of = dict(zip(ORDERING_APP.steps, ORDERING_APP.step_rates, strict=True))
    names = ((row, rate_of.get(row["entity_name"], row["entity_name"])) for row in rows)
    return [row for row, name in names if (row["date"], name) not in known]
