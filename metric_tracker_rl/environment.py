"""Metric Tracker RL as the kit sees it: one object, found by name.

Heavy parts are loaded when they are first asked for: a player in process needs no framework.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import metric_tracker_rl
from metric_tracker_rl.drilldown import session as drilldown
from metric_tracker_rl.drilldown.tasks import TASKS as DRILL_TASKS
from metric_tracker_rl.drilldown.tasks import config_of, is_drill
from metric_tracker_rl.drilldown.versions import VERSIONS as DRILL_VERSIONS
from metric_tracker_rl.engine.rules import DEFAULT_MAX_STEPS
from metric_tracker_rl.engine.tasks import DEFAULT_TASK_ORDER, TASKS
from metric_tracker_rl.engine.versions import (
    GENERATOR_VERSION,
    GRADER_VERSION,
    POLICY_VERSION,
    VARIANTS_VERSION,
)
from metric_tracker_rl.engine.vocabulary import VARIED
from metric_tracker_rl.policies import POLICIES
from metric_tracker_rl.tier_splits import CACHES, SPLITS
from metric_tracker_rl.tiers import RESET_ARGUMENTS, MetricSession, groups_of, make_ahead
from metric_tracker_rl.tools import CATALOGUE, brief, introduction
from openenv_kit.environment import Environment, WireModels
from openenv_kit.errors import KitError
from openenv_kit.play.policies import Policies
from openenv_kit.tools.catalogue import Catalogue

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier
    from openenv_kit.trust.exploits import Exploits

DRILL_ROUNDS = 128
"""Answers that a model has for a drill-down episode, where MAX_TOOL_ROUNDS is not set."""


class MetricTracker(Environment):
    """Product funnels: the reporting tiers and drill-down.

    See `openenv_kit.environment.Environment`.
    """

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
    most_steps = drilldown.DEFAULT_MAX_STEPS
    splits = SPLITS
    policies: Policies = POLICIES
    commands: Mapping[str, str] = {
        name.replace("_", "-"): f"metric_tracker_rl.commands.{name}:{name}"
        for name in (
            "bench",
            "card",
            "digests",
            "episode",
            "learn",
            "learn_lm",
            "modes",
            "new_product",
            "rungs",
        )
    }
    cache = CACHES

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        seeds = {name: task.seed for name, task in TASKS.items()}
        seeds |= {name: config.seed for name, config in DRILL_TASKS.items()}
        return {name: {"task_id": name, "seed": seed} for name, seed in seeds.items()}

    def rules_for(self, episode: Mapping[str, Any]) -> Mapping[str, int]:
        if not is_drill(episode):
            return self.rules
        return {**self.rules, "max_steps": drilldown.DEFAULT_MAX_STEPS}

    def versions_for(self, episode: Mapping[str, Any]) -> Mapping[str, str]:
        if is_drill(episode):
            return DRILL_VERSIONS
        drawn = {"variants": VARIANTS_VERSION} if episode.get("policy") == VARIED else {}
        return {**self.versions, **drawn}

    def rounds_for(self, opening: Mapping[str, Any]) -> int:
        return DRILL_ROUNDS if is_drill(opening) else self.model_rounds

    def make_ahead(self, episodes: Sequence[Mapping[str, Any]]) -> None:
        make_ahead(episodes)

    def preparation(self, episode: Mapping[str, Any]) -> Callable[[], object] | None:
        if not is_drill(episode):
            return None
        return partial(drilldown.DrillSession().reset, **episode)

    def works_long(self, episode: Mapping[str, Any]) -> bool:
        if not is_drill(episode):
            return False
        try:
            return config_of(episode).level.sql
        except KitError:  # the reset will say what is wrong
            return False

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
        from metric_tracker_rl import certificates

        return certificates

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
        from metric_tracker_rl.page.scenes import MetricScenes

        return MetricScenes(self)

    def brief(self, opening: Mapping[str, Any] | None = None) -> str:
        return brief(opening)

    def introduction(self, opening: Mapping[str, Any]) -> str:
        return introduction(opening)

    def told(self, introduction: str, answer: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if answer is None:
            return {"instruction": introduction}
        return self.tools.observed(answer)

    def session(self, *, debug: bool = False) -> MetricSession:
        return MetricSession(debug=debug)

    def groups(self, reset: Mapping[str, Any]) -> Mapping[str, str]:
        return groups_of(reset)

    def panel_scores(self, reset: Mapping[str, Any]) -> Mapping[str, float]:
        """See `openenv_kit.play.panel`."""
        from metric_tracker_rl.panel import panel_scores

        return panel_scores(self, reset)

    def score_parts(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        parts: Mapping[str, Any] | None = observation.get("reward_breakdown")
        if not parts or not observation.get("done"):
            return None
        return {name: parts[name] for name in parts.keys() if name != "roots"}  # noqa: SIM118


ENVIRONMENT = MetricTracker()
