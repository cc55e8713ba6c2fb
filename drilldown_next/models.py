"""Models of actions, observations and states on the wire."""

from __future__ import annotations

from typing import Any

from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field


class DrilldownAction(Action):
    """One tool call."""

    tool: str = Field(description="name of a tool")
    arguments: dict[str, Any] = Field(default_factory=dict, description="its arguments")


class DrilldownObservation(Observation):
    """The reply to a reset or a tool call."""

    task_id: str = ""
    status: str = Field("", description="ready, answered, completed or error")
    message: str = Field("", description="the alert after a reset; otherwise an error or the score")
    result: dict[str, Any] | None = Field(None, description="result of the tool")
    calls_left: int | None = Field(None, description="calls of tools that read counts")
    config: dict[str, Any] | None = Field(None, description="names, dates and budget, at reset")
    score_parts: dict[str, Any] | None = Field(None, description="score components, at the end")


class DrilldownState(State):
    """Public state of an episode."""

    task_id: str | None = None
    difficulty: str | None = Field(None, description="the level, which determines the tools")
    status: str = Field("idle", description="idle, running or completed")
    max_steps: int = 0
