"""What every policy of this environment is written with: its registry and its actions."""

from __future__ import annotations

from typing import Any

from openenv_kit.play.policies import Action, Observed, Play, Policies, Policy

__all__ = [
    "POLICIES",
    "Action",
    "Observed",
    "Play",
    "Policy",
    "analyse",
    "policy",
    "result_of",
    "submit",
]

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
    """Result of the analysis method that an observation answers."""
    return observation["analysis_result"]["result"]
