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
from openenv_kit.rollouts.run_policy import moves, observed

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "metric_tracker_rl": ROOT,
    "drilldown": ROOT / "deploy" / "drilldown",
    "firewatch": ROOT / "deploy" / "firewatch",
}
"""Where each environment's manifest and `validation/` lie."""
POLICY = "v2"
TASKS = 6
"""Tasks of the test split that are played."""
CANARIES = {
    "metric_tracker_rl": ("null", "random", "constant", "visible_family", "report_flagged"),
    "drilldown": ("null", "ten_rows", "searched_constant", "log_rolled_back", "alert_alone"),
    "firewatch": ("declare_at_once", "random", "null", "obey", "blind_hard"),
}
"""Who played what is shipped: nothing, at random, always the same, as told, as the tools say."""

Measured = Mapping[str, Any]


class FailedError(Exception):
    """What a check asks for is not so."""


class SkippedError(Exception):
    """Why a check cannot run here."""


def require(holds: object, otherwise: str) -> None:
    """Fail the check where something does not hold."""
    if not holds:
        raise FailedError(otherwise)


class Subject:
    """An environment, its manifest, and the reference's plays of some tasks."""

    def __init__(self, name: str) -> None:
        self.environment: Environment = get_environment(name)
        self.folder = FOLDERS[name]

    @cached_property
    def manifest(self) -> Any:
        """As the framework reads it."""
        return OpenEnvYamlParser().parse(self.folder)

    @property
    def resets(self) -> list[dict[str, Any]]:
        """Of the tasks that are played."""
        return [{"split": "test", "index": index} for index in range(TASKS)]

    def play(
        self, policy: str, reset: Mapping[str, Any]
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Each action with what it was answered; the reset's is empty."""
        session = self.environment.session()
        opening = session.reset(**reset)
        found: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, observed(opening))]
        audit = self.environment.audit
        exploit = audit.player(policy)
        player = exploit.policy
        if exploit.fit is not None:
            made: Callable[..., Any] = player.play
            known = audit.known(audit.main, next(iter(audit.levels)))
            player = replace(player, play=partial(made, best=exploit.fit(known)))
        found += [(a, observed(r)) for a, r in moves(session, player, opening)]
        return found

    @cached_property
    def oracle(self) -> list[list[tuple[dict[str, Any], dict[str, Any]]]]:
        """The reference's plays."""
        return [self.play("reference", reset) for reset in self.resets]

    @cached_property
    def canaries(self) -> dict[str, Any]:
        """Trajectories that do no work, by their name, as they are shipped."""
        path = self.folder / "validation" / "canaries.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def replayed(self, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a plan's actions are answered, the reset first."""
        session = self.environment.session()
        replies = [observed(session.reset(**plan["reset"]))]
        return replies + [observed(session.step(action)) for action in plan["actions"]]


Check = Callable[[Subject], Measured]
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Decorator: a check of that id."""

    def add(made: Check) -> Check:
        CHECKS[name] = made
        return made

    return add
