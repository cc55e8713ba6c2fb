"""Metric Tracker RL as the kit sees it: one object, found by name.

Heavy parts are loaded when they are first asked for: a player in process needs no framework.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import metric_tracker_rl
from metric_tracker_rl.engine.episode import EpisodeCache, build_episode
from metric_tracker_rl.engine.rules import DEFAULT_MAX_STEPS
from metric_tracker_rl.engine.session import RESET_ARGUMENTS, EpisodeSession
from metric_tracker_rl.engine.splits import SEALED, SPLITS
from metric_tracker_rl.engine.tasks import DEFAULT_TASK_ORDER, TASKS, resolve_config
from metric_tracker_rl.engine.versions import GENERATOR_VERSION, GRADER_VERSION, POLICY_VERSION
from metric_tracker_rl.policies import POLICIES
from metric_tracker_rl.tools import BRIEF, CATALOGUE, introduction
from openenv_kit.environment import Environment, WireModels
from openenv_kit.play.policies import Policies
from openenv_kit.tools.catalogue import Catalogue

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier
    from openenv_kit.trust.exploits import Exploits

CONFIGURED = tuple(inspect.signature(resolve_config).parameters)
"""Reset arguments that decide which episode is made."""


class MetricTracker(Environment):
    """The product funnel; see `openenv_kit.environment.Environment`."""

    name = "metric_tracker_rl"
    title = "Metric Tracker RL"
    description = (
        "Find the anomalies hidden in weeks of product-funnel data with read-only analysis "
        "tools, and report their roots; a deterministic grader scores the report in [0, 1]."
    )
    version = metric_tracker_rl.__version__
    versions: Mapping[str, str] = {
        "generator": GENERATOR_VERSION,
        "policy": POLICY_VERSION,
        "grader": GRADER_VERSION,
    }
    tools: Catalogue = CATALOGUE
    reset_arguments: Sequence[str] = RESET_ARGUMENTS
    default_tasks: Sequence[str] = DEFAULT_TASK_ORDER
    rules: Mapping[str, int] = {"max_steps": DEFAULT_MAX_STEPS, "max_submissions": 1}
    splits = SPLITS
    policies: Policies = POLICIES
    commands: Mapping[str, str] = {
        name: f"metric_tracker_rl.commands.{name}:{name}"
        for name in ("bench", "card", "digests", "episode", "learn")
    }
    cache: EpisodeCache = build_episode

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        return {name: {"task_id": name, "seed": task.seed} for name, task in TASKS.items()}

    @property
    def exploits(self) -> Exploits:
        from metric_tracker_rl.exploits import EXPLOITS

        return EXPLOITS

    @cached_property
    def audit(self) -> Audit:
        from metric_tracker_rl.audit import MetricTrackerAudit

        return MetricTrackerAudit(self)

    @property
    def certifier(self) -> Certifier:
        from metric_tracker_rl.engine import certificate

        return certificate

    @cached_property
    def models(self) -> WireModels:
        from metric_tracker_rl.models import (
            MetricTrackerRlAction,
            MetricTrackerRlObservation,
            MetricTrackerRlState,
        )
        from metric_tracker_rl.rubrics import ReportRubric

        return WireModels(
            MetricTrackerRlAction, MetricTrackerRlObservation, MetricTrackerRlState, ReportRubric
        )

    @cached_property
    def page(self) -> Scenes:
        """Scenes of the debugger at /web."""
        from metric_tracker_rl.page.scenes import FunnelScenes

        return FunnelScenes(self)

    def brief(self, opening: Mapping[str, Any] | None = None) -> str:
        return BRIEF

    def introduction(self, opening: Mapping[str, Any]) -> str:
        return introduction(opening)

    def session(self, *, debug: bool = False) -> EpisodeSession:
        return EpisodeSession(debug=debug)

    def groups(self, reset: Mapping[str, Any]) -> Mapping[str, str]:
        split = reset.get("split")
        if split == SEALED:
            return {}
        if split is not None:
            config = SPLITS.task(split, reset.get("index", 0)).config
        else:
            config = resolve_config(**{k: v for k, v in reset.items() if k in CONFIGURED})[1]
        return {"level": config.difficulty, "family": config.scenario_family}

    def score_parts(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        parts: Mapping[str, Any] | None = observation.get("reward_breakdown")
        return parts if observation.get("done") else None


ENVIRONMENT = MetricTracker()
