"""Environments that the same tests play, with the actions and fields of each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from openenv_kit.environment import Environment, get_environment
from openenv_kit.rollouts.run_policy import iter_policy_steps

NUMBERS = itertools.count()


class Call(NamedTuple):
    """An action and the equivalent tool call."""

    tool: str
    arguments: dict[str, Any]
    action: dict[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        """Return the parameters of `tools/call`."""
        return {"name": self.tool, "arguments": self.arguments}


@dataclass(frozen=True)
class Game:
    """An environment with an example episode.

    Attributes:
        name: of the environment.
        opening: arguments of a reset; the other fields but `solved` are about this episode.
        breakdown: field of the observation that says what the score is made of.
        practice: further arguments, with which `final` ends it only the second time, if there
            are any.
        short: arguments of a reset that is made quickly, whatever its seed.
        opened: status of a reset's reply.
        look: tells something and ends nothing; `looked` is the status of its reply.
        final: ends the episode.
        other: may end the episode, or change something.
        refused: an action that is refused.
        ending: two actions, the second of which ends the episode, with `practice` too.
        solved: arguments of a reset, and actions that score 1.0 there.
        same: arguments of resets that make the episode of `opening` again.
        changes: further arguments of a reset that make another episode.
        models_see_parts: whether a model is told what the score is made of.
        models_see_status: whether a model is told the status by its name.
    """

    name: str
    opening: dict[str, Any]
    short: dict[str, Any]
    breakdown: str
    opened: str
    look: Call
    looked: str
    final: Call
    other: Call
    refused: dict[str, Any]
    ending: tuple[dict[str, Any], dict[str, Any]]
    solved: tuple[dict[str, Any], tuple[dict[str, Any], ...]]
    same: tuple[dict[str, Any], ...]
    changes: tuple[dict[str, Any], ...]
    practice: dict[str, Any] = field(default_factory=dict)
    models_see_parts: bool = True
    models_see_status: bool = True

    @property
    def environment(self) -> Environment:
        """Return the environment."""
        return get_environment(self.name)

    @property
    def calls(self) -> tuple[Call, Call, Call]:
        """Return all calls."""
        return self.look, self.final, self.other

    def fresh_reset(self) -> str:
        """Path of a reset by a client that has started nothing yet.

        Where a client without an id has one episode, each of these is by another client.
        """
        anonymous = self.environment.episode_limits.may_omit_episode_id
        return f"/as/caller-{next(NUMBERS)}/reset" if anonymous else "/reset"

    def tasks_begun(self, monkeypatch: pytest.MonkeyPatch) -> set[str]:
        """Tasks of every episode that is begun from now on; it fills up as they are."""
        begun: set[str] = set()
        kind = type(self.environment.create_session())
        honest = kind.reset

        def noted(session: Any, **arguments: Any) -> Any:
            reply = honest(session, **arguments)
            begun.add(session.task_id)
            return reply

        monkeypatch.setattr(kind, "reset", noted)
        return begun

    def parts(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a reply in the framework's form says the score is made of; None for nothing."""
        found: Mapping[str, Any] | None = data.get("observation", {}).get(self.breakdown)
        return found


_FLAGGING = [
    {"method_name": "absolute_spike_in_event_count", "threshold_multiplier": 2.0},
    {"method_name": "rate_drop_from_median", "threshold_multiplier": 2.0},
]

FUNNEL = Game(
    name="metric_tracker_rl",
    opening={"task_id": "hard_mixed_multi"},
    practice={"max_submissions": 2},
    short={"task_id": "easy_single_spike"},
    breakdown="reward_breakdown",
    opened="ready",
    look=Call("list_dates", {}, {"analysis_method": "list_dates"}),
    looked="analyzed",
    final=Call(
        "submit_payload_generator",
        {"generator_methods": _FLAGGING},
        {"payload_generators": _FLAGGING},
    ),
    other=Call("submit_solution", {"rows": []}, {"classifications": []}),
    refused={"analysis_method": "no_such_method"},
    ending=({}, {}),
    solved=({"seed": 3, "anomaly_count": 0}, ({},)),
    same=({"task_id": "hard_mixed_multi"},),
    changes=({"anomaly_count": 3}, {"max_steps": 30}, {"max_submissions": 2}, {"seed": 38}),
)
DECLARE = {"action_type": "declare_resolved"}


def _firewatch() -> Game:
    """Return Firewatch; services and solution are read from the current task."""
    environment = get_environment("firewatch")
    opening, solved = {"task_id": "task_easy_oom_baseline"}, {"task_id": "task_easy_dns_nxdomain"}
    services = environment.create_session().reset(**opening).observation_fields["services"]
    here = {"target_service": min(services)}
    session = environment.create_session()
    played = iter_policy_steps(session, environment.policies["reference"], session.reset(**solved))
    return Game(
        name="firewatch",
        opening=opening,
        short=opening,
        breakdown="score_parts",
        models_see_parts=False,
        opened="running",
        look=Call("trace_dependencies", here, {"action_type": "trace_dependencies", **here}),
        looked="running",
        final=Call("declare_resolved", {}, DECLARE),
        other=Call("restart_service", here, {"action_type": "restart_service", **here}),
        refused={"action_type": "no_such_action"},
        ending=({"action_type": "restart_service", **here}, DECLARE),
        solved=(solved, tuple(action for action, _ in played)),
        same=(
            opening,
            {**opening, "seed": 42, "difficulty": "easy"},
            {"seed": 42},
            {},
        ),
        changes=({"seed": 43}, {"task_id": "task_easy_dns_nxdomain"}),
    )


def _drilldown() -> Game:
    """Return the drill-down; the solution is read from the current generator."""
    environment = get_environment("drilldown")
    opening = {"task_id": "drill_easy_ordering_app"}
    session = environment.create_session()
    played = iter_policy_steps(session, environment.policies["reference"], session.reset(**opening))

    def call(tool: str, **arguments: Any) -> Call:
        return Call(tool, arguments, {"tool": tool, "arguments": arguments})

    final, other = call("submit_report", rows=[]), call("slice", every="week")
    return Game(
        name="drilldown",
        opening=opening,
        short=opening,
        breakdown="score_parts",
        opened="ready",
        look=call("change_log"),
        looked="answered",
        final=final,
        other=other,
        refused={"tool": "no_such_tool"},
        ending=(other.action, final.action),
        solved=(opening, tuple(action for action, _ in played)),
        same=(opening, {**opening, "seed": 101}, {}),
        changes=({"seed": 102}, {"task_id": "drill_easy_saas_trial"}, {"reward": "exact"}),
        models_see_status=False,
    )


FIREWATCH, DRILLDOWN = _firewatch(), _drilldown()
GAMES = {game.name: game for game in (FUNNEL, FIREWATCH, DRILLDOWN)}

only_the_first = pytest.mark.parametrize("game", [FUNNEL], ids=[FUNNEL.name])
"""For a test of something that no other environment has."""
