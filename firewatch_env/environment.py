"""FirewatchEnv as the kit sees it: one object, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from firewatch_env import __version__
from firewatch_env.messages import BRIEF
from firewatch_env.policies.registry import POLICIES
from firewatch_env.session import RESET_ARGUMENTS, FirewatchSession
from firewatch_env.tasks.book import REPLIES, SPLITS, VERSION, find
from firewatch_env.tasks.levels import LEVELS
from firewatch_env.tasks.named import NAMED
from firewatch_env.tools import CATALOGUE
from openenv_kit.environment import Environment, EpisodeLimits, WireModels
from openenv_kit.reset_arguments import ResetArgument
from openenv_kit.rollouts.policies import Policy

if TYPE_CHECKING:
    from firewatch_env.certificate import FirewatchCertifier
    from openenv_kit.page.environment_view import EnvironmentView
    from openenv_kit.trust.audit import Audit


LONGEST = max(level.ticks for level in LEVELS.values())
FIRST = (
    "task_easy_oom_baseline",
    "task_medium_cascade_memleak",
    "task_hard_config_drift_noise",
)


class Firewatch(Environment):
    """Incidents in a service graph; see `openenv_kit.environment.Environment`."""

    name = "firewatch"
    title = "FirewatchEnv"
    description = (
        "An on-call engineer's job: services of a call graph fail; investigate with logs, metrics "
        "and traces, repair, and declare the incident over before customers lose patience."
    )
    version = __version__
    versions: Mapping[str, str] = {"tasks": VERSION, "replies": REPLIES}
    tools = CATALOGUE
    reset_arguments: Mapping[str, ResetArgument] = RESET_ARGUMENTS
    episode_limits = EpisodeLimits(
        LONGEST, max_tool_rounds=LONGEST, may_omit_episode_id=True
    )  # clients send no episode id
    splits = SPLITS
    policies: Mapping[str, Policy] = POLICIES

    @property
    def reset_arguments_by_task_id(self) -> Mapping[str, Mapping[str, Any]]:
        """The 60 named tasks, one of each level first."""
        names = dict.fromkeys((*FIRST, *NAMED))
        return {name: {"task_id": name, "seed": NAMED[name].seed} for name in names}

    @property
    def audit(self) -> Audit:
        """On the public splits, level by level."""
        from firewatch_env.exploits import FirewatchAudit

        return FirewatchAudit(self)

    @property
    def certifier(self) -> FirewatchCertifier:
        """Whether the reference solves a task, and nobody who does not look."""
        from firewatch_env.certificate import FirewatchCertifier

        return FirewatchCertifier()

    @cached_property
    def wire_models(self) -> WireModels:
        """The typed face."""
        from firewatch_env.models import FirewatchAction, FirewatchObservation, FirewatchState

        return WireModels(FirewatchAction, FirewatchObservation, FirewatchState)

    @property
    def debugger_view(self) -> EnvironmentView:
        """The page at /web."""
        from firewatch_env.page.scenes import FirewatchScenes

        return FirewatchScenes(self)

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        """The system prompt: the role, how to work, and the score."""
        return BRIEF

    def create_session(self, *, debug: bool = False) -> FirewatchSession:
        """A new session; there is no debug mode."""
        return FirewatchSession()

    def build_result_labels(self, reset_arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """The level of an episode."""
        return {"level": find(reset_arguments).difficulty}

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Impact, precision and closure, and what they were made from."""
        parts: Mapping[str, Any] | None = observation.get("score_parts")
        return parts


ENVIRONMENT = Firewatch()
