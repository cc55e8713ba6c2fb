"""What the local checks are about, and how one is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser

from openenv_kit.environment import Environment, get_environment
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps

ROOT = Path(__file__).resolve().parents[1]
MANIFEST_FOLDERS = {
    "metric_tracker_rl": ROOT,
    "drilldown": ROOT / "deploy" / "drilldown",
    "firewatch": ROOT / "deploy" / "firewatch",
}
"""Where each environment's manifest and `validation/` lie."""
VALIDATION_POLICY_VERSION = "v2"
PLAYED_TASKS = 6
"""Tasks of the test split that are played."""
CANARY_POLICIES = {
    "metric_tracker_rl": ("null", "random", "constant", "visible_family", "report_flagged"),
    "drilldown": ("null", "ten_rows", "searched_constant", "log_rolled_back", "alert_alone"),
    "firewatch": ("declare_at_once", "random", "null", "obey", "blind_hard"),
}
"""Who played what is shipped: nothing, at random, always the same, as told, as the tools say."""

Measurements = Mapping[str, Any]


class FailedError(Exception):
    """What a check asks for is not so."""


class SkippedError(Exception):
    """Why a check cannot run here."""


def require(condition: object, failure_message: str) -> None:
    """Fail the check where something does not hold."""
    if not condition:
        raise FailedError(failure_message)


class CheckContext:
    """An environment, its manifest, and the reference's plays of some tasks."""

    def __init__(self, name: str) -> None:
        self.environment: Environment = get_environment(name)
        self.folder = MANIFEST_FOLDERS[name]

    @cached_property
    def manifest(self) -> Any:
        """As the framework reads it."""
        return OpenEnvYamlParser().parse(self.folder)

    @property
    def resets(self) -> list[dict[str, Any]]:
        """Of the tasks that are played."""
        return [{"split": "test", "index": index} for index in range(PLAYED_TASKS)]

    def play_policy(
        self, policy: str, reset: Mapping[str, Any]
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Each action with what it was answered; the reset's is empty."""
        session = self.environment.create_session()
        opening = session.reset(**reset)
        found: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, observation_from_reply(opening))]
        audit = self.environment.audit
        exploit = audit.get_exploit_or_baseline(policy)
        player = exploit.policy
        if exploit.fit is not None:
            made: Callable[..., Any] = player.generate_actions
            known = audit.training_episodes(audit.main_setting, next(iter(audit.levels)))
            player = replace(player, generate_actions=partial(made, best=exploit.fit(known)))
        found += [
            (a, observation_from_reply(r)) for a, r in iter_policy_steps(session, player, opening)
        ]
        return found

    @cached_property
    def reference_episodes(self) -> list[list[tuple[dict[str, Any], dict[str, Any]]]]:
        """The reference's plays."""
        return [self.play_policy("reference", reset) for reset in self.resets]

    @cached_property
    def canary_plans(self) -> dict[str, Any]:
        """Trajectories that do no work, by their name, as they are shipped."""
        path = self.folder / "validation" / "canaries.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def replay_plan(self, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a plan's actions are answered, the reset first."""
        session = self.environment.create_session()
        replies = [observation_from_reply(session.reset(**plan["reset"]))]
        return replies + [
            observation_from_reply(session.step(action)) for action in plan["actions"]
        ]


Check = Callable[[CheckContext], Measurements]
CHECKS: dict[str, Check] = {}


def register_check(check_id: str) -> Callable[[Check], Check]:
    """Decorator: a check of that id."""

    def add(made: Check) -> Check:
        CHECKS[check_id] = made
        return made

    return add
