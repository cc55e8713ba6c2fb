"""The `Environment` object of Metric Tracker RL, which the kit loads by name.

Modules that depend on the framework or the debugger page are imported on first use, because
in-process rollouts do not need them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import metric_tracker_rl
from metric_tracker_rl.engine.configuration.play_rules import DEFAULT_MAX_STEPS
from metric_tracker_rl.engine.configuration.reset_arguments import RESET_ARGUMENTS
from metric_tracker_rl.engine.configuration.resolve_task import resolve_task_of_reset_arguments
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.definitions.versions import VERSIONS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import POLICIES
from metric_tracker_rl.tools import CATALOGUE, select_system_prompt
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import Environment, EpisodeLimits, WireModels
from openenv_kit.reset_arguments import ResetArgument
from openenv_kit.rollouts.policies import Policies
from openenv_kit.sealed_split import is_sealed_split

if TYPE_CHECKING:
    from openenv_kit.own_data.support import OwnDataSupport
    from openenv_kit.page.environment_view import EnvironmentView
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier


class MetricTracker(Environment):
    """The funnel environment. See `openenv_kit.environment.Environment` for the members."""

    name = "metric_tracker_rl"
    title = "Metric Tracker RL"
    description = (
        "Find the anomalies hidden in weeks of product-funnel data with read-only analysis "
        "tools, and report their roots; a deterministic grader scores the report in [0, 1]."
    )
    version = metric_tracker_rl.__version__
    versions: Mapping[str, str] = VERSIONS
    tools: Catalogue = CATALOGUE
    reset_arguments: Mapping[str, ResetArgument] = RESET_ARGUMENTS
    episode_limits = EpisodeLimits(max_steps=DEFAULT_MAX_STEPS, max_submissions=1)
    reset_arguments_by_task_id: Mapping[str, Mapping[str, Any]] = {
        name: {"task_id": name, "seed": task.seed} for name, task in TASKS.items()
    }
    splits = SPLITS
    policies: Policies = POLICIES

    @cached_property
    def audit(self) -> Audit:
        from metric_tracker_rl.audit import MetricTrackerAudit

        return MetricTrackerAudit(self)

    @property
    def certifier(self) -> Certifier:
        from metric_tracker_rl.engine.certification import certify

        return certify

    @cached_property
    def own_data(self) -> OwnDataSupport:
        from metric_tracker_rl.own_metrics.own_data import MetricTrackerOwnData

        return MetricTrackerOwnData()

    @cached_property
    def wire_models(self) -> WireModels:
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
    def debugger_view(self) -> EnvironmentView:
        """The funnel's view in the debugger at /web."""
        from metric_tracker_rl.page.view import FunnelView

        return FunnelView(self)

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        return select_system_prompt(reset_fields)

    def create_session(self, *, debug: bool = False) -> EpisodeSession:
        return EpisodeSession(debug=debug)

    def build_result_labels(self, reset_arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the level and the scenario family of the episode that reset arguments select.

        The result is empty for a task of a sealed split, because these facts are secret.
        """
        if is_sealed_split(reset_arguments.get("split")):
            return {}
        _, config = resolve_task_of_reset_arguments(reset_arguments)
        return {"level": config.difficulty, "family": config.scenario_family}

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        breakdown: RewardBreakdown | Mapping[str, Any] | None = observation.get("reward_breakdown")
        if not breakdown or not observation.get("done"):
            return None
        if isinstance(breakdown, RewardBreakdown):
            return breakdown.model_dump()
        return dict(breakdown)


ENVIRONMENT = MetricTracker()
