"""Drill-down as the kit sees it: one object, found by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from drilldown_env import __version__
from drilldown_env.config import VERSIONS
from drilldown_env.domains import DOMAINS
from drilldown_env.levels import EVERY_LEVEL
from drilldown_env.policies.players import POLICIES
from drilldown_env.session import MAX_STEPS, RESET_ARGUMENTS, DrillSession, config_of
from drilldown_env.tasks import SPLITS, TASKS
from drilldown_env.tools import TOOLS
from drilldown_env.words import BRIEF
from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import Environment, EpisodeLimits, WireModels
from openenv_kit.errors import KitError
from openenv_kit.json_text import compact_json
from openenv_kit.reset_arguments import ResetArgument
from openenv_kit.tool import Tool

if TYPE_CHECKING:
    from openenv_kit.page.environment_view import EnvironmentView
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier


def in_force(episode: Mapping[str, Any]) -> Sequence[Tool]:
    """The tools of an episode, by its opening, its state or its reset's arguments.

    All of them where several levels are meant, as by a whole split.
    """
    named = (episode.get("config") or episode).get("difficulty")
    if not isinstance(named, str) or named not in EVERY_LEVEL:
        if episode.get("split") is not None and episode.get("index") is None:
            return list(TOOLS.values())
        try:
            named = config_of(episode).difficulty
        except KitError:
            return list(TOOLS.values())
    return [TOOLS[name] for name in EVERY_LEVEL[named].tools]


def answer(seen: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is told of an observation: nothing empty."""
    names = ("message", "result", "config", "score_parts")
    return {name: seen[name] for name in names if seen.get(name)}


def introduction(opening: Mapping[str, Any]) -> str:
    """The alert, and the names of the episode."""
    return f"{opening['message']}\n\n{compact_json(opening['config'])}"


def observed(text: str, answer: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The observation behind an introduction or an answer, as far as scripted policies read it."""
    return {"config": json.loads(text.rpartition("\n")[2])} if answer is None else answer


def count_sql_workers() -> int:
    """Return how many processes for SQL queries run on this worker."""
    from drilldown_env.sql import worker_counts

    return worker_counts().started


def count_busy_sql_workers() -> int:
    """Return how many of them run a query at the moment."""
    from drilldown_env.sql import worker_counts

    return worker_counts().busy


class Drilldown(Environment):
    """An analyst's morning; see `openenv_kit.environment.Environment`."""

    name = "drilldown"
    title = "Drill-down"
    description = (
        "An alert about a product's funnel: find which people changed, when, at which step, how, "
        "and which entry of the change log is to blame."
    )
    version = __version__
    versions: Mapping[str, str] = VERSIONS
    tools = Catalogue(
        list(TOOLS.values()),
        format_tool_result=answer,
        first_user_message=introduction,
        observation_from_messages=observed,
        select_tools=in_force,
        # "definition" is a version; digests of existing recordings do not cover it.
        prose_fields=("definition", "message"),
        gauges={"sql_workers": count_sql_workers, "busy_sql_workers": count_busy_sql_workers},
    )
    reset_arguments: Mapping[str, ResetArgument] = RESET_ARGUMENTS
    episode_limits = EpisodeLimits(MAX_STEPS, max_tool_rounds=60)
    splits = SPLITS
    policies = POLICIES

    @property
    def reset_arguments_by_task_id(self) -> Mapping[str, Mapping[str, Any]]:
        """A task of each level and product, product by product."""
        by_product = sorted(TASKS, key=lambda name: list(DOMAINS).index(TASKS[name].product))
        return {name: {"task_id": name, "seed": TASKS[name].seed} for name in by_product}

    @property
    def audit(self) -> Audit:
        from drilldown_env.policies.exploits import DrillAudit

        return DrillAudit(self)

    @property
    def certifier(self) -> Certifier:
        from drilldown_env import certificate

        return certificate

    @property
    def debugger_view(self) -> EnvironmentView:
        from drilldown_env.page.scenes import DrillScenes

        return DrillScenes(self)

    @cached_property
    def wire_models(self) -> WireModels:
        from drilldown_env.models import DrillAction, DrillObservation, DrillState

        return WireModels(DrillAction, DrillObservation, DrillState)

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        return BRIEF

    def create_session(self, *, debug: bool = False) -> DrillSession:
        return DrillSession()

    def build_result_labels(self, reset_arguments: Mapping[str, Any]) -> Mapping[str, str]:
        return {"level": config_of(reset_arguments).difficulty}

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        parts: Mapping[str, Any] | None = observation.get("score_parts")
        return parts


ENVIRONMENT = Drilldown()
