"""FirewatchEnv as the kit sees it: one object with tools, tasks, splits and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from firewatch_next.messages import BRIEF
from firewatch_next.session import RESET_ARGUMENTS, FirewatchSession
from firewatch_next.tasks.find_task import find_spec
from firewatch_next.tasks.levels import TASK_LEVELS
from firewatch_next.tasks.named_tasks import NAMED_TASKS, list_playable_names
from firewatch_next.tasks.splits import SPLITS, VERSION
from firewatch_next.tools import CATALOGUE
from openenv_kit.environment import Environment, EpisodeLimits, WireModels
from openenv_kit.reset_arguments import ResetArgument
from openenv_kit.rollouts.policies import Policy

REPLIES_VERSION = "7"  # of all else that a player reads; raise it when a reply changes
LONGEST_TICKS = max(level.ticks for level in TASK_LEVELS.values())
FIRST_TASK_IDS = (
    "task_easy_oom_baseline",
    "task_medium_cascade_memleak",
    "task_hard_config_drift_noise",
)


class Firewatch(Environment):
    """Incidents in a graph of services; see `openenv_kit.environment.Environment`."""

    name = "firewatch"
    title = "FirewatchEnv"
    description = (
        "An on-call engineer's job: services of a call graph fail. Investigate with metrics, logs "
        "and traces, repair, and declare the incident resolved."
    )
    version = "0.2.0"
    versions: Mapping[str, str] = {"tasks": VERSION, "replies": REPLIES_VERSION}
    tools = CATALOGUE
    reset_arguments: Mapping[str, ResetArgument] = RESET_ARGUMENTS
    episode_limits = EpisodeLimits(
        LONGEST_TICKS, max_tool_rounds=LONGEST_TICKS, may_omit_episode_id=True
    )  # existing clients send no episode id
    splits = SPLITS
    policies: Mapping[str, Policy] = {}

    @property
    def reset_arguments_by_task_id(self) -> Mapping[str, Mapping[str, Any]]:
        """The named tasks, one of each level first."""
        playable = list_playable_names()
        first = [name for name in FIRST_TASK_IDS if name in playable]
        names = dict.fromkeys((*first, *playable))
        return {name: {"task_id": name, "seed": NAMED_TASKS[name].number} for name in names}

    @cached_property
    def wire_models(self) -> WireModels:
        """Models of actions, observations and states."""
        from firewatch_next.models import FirewatchAction, FirewatchObservation, FirewatchState

        return WireModels(FirewatchAction, FirewatchObservation, FirewatchState)

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        """Return the system prompt: the role, how to work, and the score."""
        return BRIEF

    def create_session(self, *, debug: bool = False) -> FirewatchSession:
        """Return a new session. There is no debug mode."""
        return FirewatchSession()

    def build_result_labels(self, reset_arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the level of an episode."""
        return {"level": find_spec(reset_arguments).level_name}

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the parts of the score, or None before the end."""
        parts: Mapping[str, Any] | None = observation.get("score_parts")
        return parts


ENVIRONMENT = Firewatch()
