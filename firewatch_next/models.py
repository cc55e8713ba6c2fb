"""Actions, observations and states as they travel. The names are those of existing clients."""

from __future__ import annotations

from typing import Any

from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field


class FirewatchAction(Action):
    """One action. It lets one tick of 30 seconds pass."""

    action_type: str = Field(description="name of a tool, or one of the contract's 72 actions")
    target_service: str | None = Field(None, description="service to act on")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="further arguments; unknown ones of the 72 actions are ignored and named",
    )


class FirewatchObservation(Observation):
    """The services from outside, alerts, and what was done so far.

    `metadata` holds what HTTP replies call `info`: error, action_valid, action_feedback,
    episode_score and, at the end, score_parts.
    """

    task_id: str = ""
    status: str = Field("running", description="running, completed or error")
    message: str = Field("", description="the reply of the tool, or what was wrong")
    profile: str = Field("full", description="full or lean; it decides which tools are offered")
    services: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="nine keys each; `status`: what outside probes find"
    )
    active_alerts: list[dict[str, Any]] = Field(default_factory=list, description="worst first")
    dependency_graph: dict[str, list[str]] = Field(
        default_factory=dict, description="callees by caller; every service is a key"
    )
    slo_budget_remaining_pct: float = Field(100.0, description="0 to 100")
    bad_customer_minutes: float = Field(0.0, description="since the reset")
    sim_tick: int = 0
    sim_time_elapsed_seconds: int = Field(0, description="30 for each tick")
    action_history: list[dict[str, Any]] = Field(
        default_factory=list, description="the last ten actions"
    )
    incident_declared: bool = False
    user_impact_active: bool = Field(False, description="harm in one of the last three ticks")
    current_slo_burn_rate: float = Field(0.0, description="excess share of bad requests ÷ 0.005")
    mttm_achieved_tick: int | None = Field(
        None, description="first tick without harm after a change"
    )
    episode_score: float | None = Field(None, description="null until the end")
    score_parts: dict[str, Any] | None = Field(
        None, description="what the score is made of; null until the end"
    )
    tool_result: dict[str, Any] | None = Field(None, description="tool and reply of a look")


class FirewatchState(State):
    """Public progress of an incident."""

    task_id: str | None = None
    difficulty: str | None = None
    status: str = Field("idle", description="idle, running or completed")
    max_steps: int = Field(0, description="ticks of the episode, one for each step")
