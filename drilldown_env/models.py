"""Action, observation and state as they travel."""

from __future__ import annotations

from typing import Any

from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field


class DrillAction(Action):
    """One tool call."""

    tool: str = Field(description="name of a tool")
    arguments: dict[str, Any] = Field(default_factory=dict, description="its arguments")


class DrillObservation(Observation):
    """What a call is answered."""

    task_id: str = ""
    status: str = Field("", description="ready, answered, completed or error")
    message: str = Field("", description="the alert at reset; else what was done or what was wrong")
    result: dict[str, Any] | None = Field(None, description="the tool's answer")
    calls_left: int | None = Field(None, description="calls of tools that read counts")
    config: dict[str, Any] | None = Field(None, description="names, dates and budget, at reset")
    score_parts: dict[str, Any] | None = Field(None, description="at the end")


class DrillState(State):
    """Public progress."""

    task_id: str | None = None
    difficulty: str | None = Field(None, description="the level, which decides the tools")
    status: str = Field("idle", description="idle, running or completed")
    max_steps: int = 0
