"""The environment that a check examines, and how checks are registered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser

from openenv_kit.environment import Environment, get_environment
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.policies import PolicySteps
from openenv_kit.rollouts.run_policy import iter_policy_steps

ROOT = Path(__file__).resolve().parents[1]
MANIFEST_FOLDERS = {
    "metric_tracker_rl": ROOT,
    "drilldown": ROOT / "deploy" / "drilldown",
    "firewatch": ROOT / "deploy" / "firewatch",
}
"""Folder of each environment's manifest and of its `validation/`."""
VALIDATION_POLICY_VERSION = "v2"
PLAYED_TASKS = 6
"""Number of tasks of the test split that the checks play."""
CANARY_POLICIES = {
    "metric_tracker_rl": ("null", "random", "constant", "visible_family", "report_flagged"),
    "drilldown": ("null", "ten_rows", "searched_constant", "log_rolled_back", "alert_alone"),
    "firewatch": ("declare_at_once", "random", "null", "obey", "blind_hard"),
}
"""Players of the canary plans: trajectories that must earn little because they skip the work."""

Measurements = Mapping[str, Any]
"""Figures that a check reports, by name."""


class FailedError(Exception):
    """The condition of a check is not met."""


class SkippedError(Exception):
    """A check cannot run here. The message is the reason."""


def require(condition: object, failure_message: str) -> None:
    """Fail the check unless a condition is met.

    Raises:
        FailedError: the condition is false.
    """
    if not condition:
        raise FailedError(failure_message)


class PlayedStep(NamedTuple):
    """An action and the observation of its reply; the reset has an empty action."""

    action: dict[str, Any]
    observation: dict[str, Any]


class CheckContext:
    """An environment, its manifest, and episodes of the reference policy.

    Args:
        name: name of the environment.
    """

    def __init__(self, name: str) -> None:
        self.environment: Environment = get_environment(name)
        self.folder = MANIFEST_FOLDERS[name]

    @cached_property
    def manifest(self) -> Any:
        """The manifest, as the framework parses it."""
        return OpenEnvYamlParser().parse(self.folder)

    @property
    def resets(self) -> list[dict[str, Any]]:
        """Reset arguments of the tasks that the checks play."""
        return [{"split": "test", "index": index} for index in range(PLAYED_TASKS)]

    def play_policy(self, policy_name: str, reset: Mapping[str, Any]) -> list[PlayedStep]:
        """Play an episode with a policy or an exploit. Return its steps, the reset first."""
        session = self.environment.create_session()
        reset_reply = session.reset(**reset)
        steps = [PlayedStep({}, observation_from_reply(reset_reply))]
        audit = self.environment.audit
        exploit = audit.get_exploit_or_baseline(policy_name)
        policy = exploit.policy
        if exploit.fit is not None:
            generate_actions: Callable[..., PolicySteps] = policy.generate_actions
            episodes = audit.list_training_episodes(audit.main_setting, next(iter(audit.levels)))
            best = exploit.fit(episodes)
            policy = replace(policy, generate_actions=partial(generate_actions, best=best))
        steps += [
            PlayedStep(action, observation_from_reply(reply))
            for action, reply in iter_policy_steps(session, policy, reset_reply)
        ]
        return steps

    @cached_property
    def reference_episodes(self) -> list[list[PlayedStep]]:
        """Episodes of the reference policy on `resets`."""
        return [self.play_policy("reference", reset) for reset in self.resets]

    @cached_property
    def canary_plans(self) -> dict[str, Any]:
        """The committed canary plans, by name of their player."""
        plans: dict[str, Any] = json.loads(self.canary_file.read_text(encoding="utf-8"))
        return plans

    @property
    def canary_file(self) -> Path:
        """File of the canary plans."""
        return self.folder / "validation" / "canaries.json"

    def replay_plan(self, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Play the actions of a plan. Return the observations, that of the reset first."""
        session = self.environment.create_session()
        replies = [observation_from_reply(session.reset(**plan["reset"]))]
        return replies + [
            observation_from_reply(session.step(action)) for action in plan["actions"]
        ]


Check = Callable[[CheckContext], Measurements]
CHECKS: dict[str, Check] = {}


def register_check(check_id: str) -> Callable[[Check], Check]:
    """Return a decorator that registers a function as the check with this id."""

    def add(check: Check) -> Check:
        CHECKS[check_id] = check
        return check

    return add
