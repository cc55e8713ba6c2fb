"""The environment as the kit finds it by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from drilldown_next import __version__
from drilldown_next.config import VERSIONS
from drilldown_next.levels import ALL_LEVELS
from drilldown_next.policies.players import POLICIES
from drilldown_next.prompts import SYSTEM_PROMPT
from drilldown_next.session import (
    MAX_STEPS,
    RESET_ARGUMENTS,
    DrilldownSession,
    get_config_of_reset,
)
from drilldown_next.sql import count_sql_workers
from drilldown_next.tasks import SPLITS, TASKS
from drilldown_next.tools import ALL_TOOLS, list_tools
from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import Environment, EpisodeLimits, WireModels
from openenv_kit.errors import KitError
from openenv_kit.json_text import compact_json
from openenv_kit.reset_arguments import ResetArgument
from openenv_kit.tool import Tool

if TYPE_CHECKING:
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier

TOOL_RESULT_FIELDS = ("message", "result", "calls_left", "score_parts")


def select_tools(reset_fields: Mapping[str, Any]) -> Sequence[Tool]:
    """Return the tools of an episode, given the observation or the arguments of its reset.

    All tools are returned if the arguments select no single level.
    """
    name = (reset_fields.get("config") or reset_fields).get("difficulty")
    if not isinstance(name, str) or name not in ALL_LEVELS:
        if reset_fields.get("split") is not None and reset_fields.get("index") is None:
            return ALL_TOOLS
        try:
            name = get_config_of_reset(reset_fields).difficulty
        except KitError:
            return ALL_TOOLS
    return list_tools(ALL_LEVELS[name])


def format_tool_result(observation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an observation that a model receives."""
    present = (name for name in TOOL_RESULT_FIELDS if observation.get(name) not in (None, ""))
    return {name: observation[name] for name in present}


def build_first_user_message(observation: Mapping[str, Any]) -> str:
    """Return the alert and the description of the episode."""
    config = {key: value for key, value in observation["config"].items() if key != "versions"}
    return f"{observation['message']}\n\n{compact_json(config)}"


def build_observation_from_messages(
    first_user_message: str, last_tool_result: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Return the observation behind the first user message or a tool result."""
    if last_tool_result is not None:
        return last_tool_result
    alert, _, config = first_user_message.rpartition("\n\n")
    return {"message": alert, "config": json.loads(config)}


def count_started_workers() -> int:
    """Return the number of running SQL worker processes."""
    return count_sql_workers().started


def count_busy_workers() -> int:
    """Return the number of SQL worker processes that run a query."""
    return count_sql_workers().busy


class Drilldown(Environment):
    """Finding which segment lost people; see `openenv_kit.environment.Environment`."""

    name = "drilldown"
    title = "Drill-down"
    description = (
        "An alert about a product's funnel: find which segment lost people, at which step and on "
        "which days, and the change that explains it."
    )
    version = __version__
    versions: Mapping[str, str] = VERSIONS
    tools = Catalogue(
        ALL_TOOLS,
        format_tool_result=format_tool_result,
        first_user_message=build_first_user_message,
        observation_from_messages=build_observation_from_messages,
        select_tools=select_tools,
        gauges={"sql_workers": count_started_workers, "busy_sql_workers": count_busy_workers},
    )
    reset_arguments: Mapping[str, ResetArgument] = RESET_ARGUMENTS
    episode_limits = EpisodeLimits(MAX_STEPS, max_tool_rounds=60)
    splits = SPLITS
    policies = POLICIES

    @property
    def reset_arguments_by_task_id(self) -> Mapping[str, Mapping[str, Any]]:
        """A task of each level and product."""
        return {name: {"task_id": name, "seed": config.seed} for name, config in TASKS.items()}

    @property
    def audit(self) -> Audit:
        from drilldown_next.policies.exploits import DrilldownAudit

        return DrilldownAudit(self)

    @property
    def certifier(self) -> Certifier:
        from drilldown_next import certificate

        return certificate

    @cached_property
    def wire_models(self) -> WireModels:
        from drilldown_next.models import DrilldownAction, DrilldownObservation, DrilldownState

        return WireModels(DrilldownAction, DrilldownObservation, DrilldownState)

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        return SYSTEM_PROMPT

    def create_session(self, *, debug: bool = False) -> DrilldownSession:
        return DrilldownSession()

    def build_result_labels(self, reset_arguments: Mapping[str, Any]) -> Mapping[str, str]:
        return {"level": get_config_of_reset(reset_arguments).difficulty}

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        components: Mapping[str, Any] | None = observation.get("score_parts")
        return components


ENVIRONMENT = Drilldown()
