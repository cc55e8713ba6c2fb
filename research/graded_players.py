"""Players of four strengths in each environment: the reference, with mistakes made at random.

A player plays the reference and hands in, or does, something else where it errs. A decision of a
report is a row on the funnel and a field of a row in drill-down; on call it is a repair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drilldown_env.episode import Episode
from drilldown_env.levels import KINDS
from drilldown_env.report import ReportRow, stages_of
from drilldown_env.session import config_of, episode_of
from firewatch_env.actions import ACTIONS
from firewatch_env.policies.reference import order
from firewatch_env.policies.reference import reference as engineer
from firewatch_env.tasks.book import find
from firewatch_env.tools import GROUPS, RUNBOOK, RUNBOOKS
from metric_tracker_rl.engine.definitions.names import KEY_F1
from metric_tracker_rl.policies.base import analyse, flagged_rows, submit
from metric_tracker_rl.policies.lean_reference import every_candidate, right_ids
from metric_tracker_rl.policies.reference import guided_reference
from openenv_kit.environment import Environment
from openenv_kit.rollouts.policies import Action, Observed, Play, Policy
from openenv_kit.rollouts.run_policy import moves
from openenv_kit.session import COMPONENTS, REWARDS
from research.drilldown.measure import any_row

Reset = Mapping[str, Any]
Player = Callable[[Observed], Play]


@dataclass(frozen=True)
class Strength:
    """How often a player's decisions are right; `placed`: it always knows where, else nothing."""

    name: str
    right: float
    placed: bool = False


LADDER = (
    Strength("random legal", 0.0),
    Strength("knows the place", 0.0, placed=True),
    Strength("half right", 0.5),
    Strength("one mistake in ten", 0.9),
)
"""The players, from the weakest to the strongest."""


def player(environment: Environment, reset: Reset, strength: Strength, seed: str) -> Policy:
    """A player of one episode; the same seed, the same play."""
    dice = random.Random(f"{environment.name}|{sorted(reset.items())}|{strength.name}|{seed}")
    made: Player
    if environment.name == "drilldown":
        made = _analyst(episode_of(config_of(reset)), strength, dice)
    elif environment.name == "firewatch":
        made = _engineer(reset, strength, dice)
    else:
        made = _reporter(reset, strength, dice)
    return Policy(strength.name, "", made)


def rewards(environment: Environment, policy: Policy, reset: Reset) -> Mapping[str, float]:
    """What a play earns, by the name of the reward."""
    session = environment.session()
    *_, (_, last) = moves(session, policy, session.reset(**reset))
    found = (last.info or {}).get(COMPONENTS) or dict.fromkeys(REWARDS, 0.0)  # no end, no reward
    return {name: found[name] for name in (*REWARDS, KEY_F1) if name in found}


# The funnel: each right row, or another that is flagged


def _reporter(reset: Reset, strength: Strength, dice: random.Random) -> Player:
    def play(opening: Observed) -> Play:
        if reset.get("profile") == "lean":
            listed = yield from every_candidate()
            right: Sequence[Any] = yield from right_ids(listed, opening)
            day_of = {number: date for date, number, *_ in listed}
            chosen = _rows(right, list(day_of), day_of.__getitem__, strength, dice)
            yield analyse("submit", ids=sorted(set(chosen)))
            return
        flagged = yield from flagged_rows()
        right = yield from _report_of(guided_reference(opening))
        yield submit(_rows(right, flagged, lambda row: row["date"], strength, dice))

    return play


def _report_of(script: Play) -> Generator[Action, Observed, Any]:
    """The rows that the reference would hand in."""
    action = next(script)
    while "classifications" not in action:
        action = script.send((yield action))
    return action["classifications"]


def _rows(
    right: Sequence[Any],
    flagged: Sequence[Any],
    day_of: Callable[[Any], str],
    strength: Strength,
    dice: random.Random,
) -> list[Any]:
    """A report with a decision for each right row; one of nothing, where nothing is right."""
    found = []
    for row in right or [None]:
        if dice.random() < strength.right:
            found += [row] if right else []
            continue
        near = [each for each in flagged if day_of(each) == day_of(row)] if row else []
        among = near if strength.placed else flagged
        found += [dice.choice(among)] if among else []
    return found


# Drill-down: each part of each right row, or another


def _analyst(of: Episode, strength: Strength, dice: random.Random) -> Player:
    def play(_: Observed) -> Play:
        found = [_mistaken(row, of, strength, dice) for row in of.expected_rows]
        if not of.expected_rows and dice.random() >= strength.right:
            found = [any_row(of, dice)]
        rows = list({row.place: row.as_dict() for row in found}.values())
        yield {"tool": "submit_report", "arguments": {"rows": rows}}

    return play


def _mistaken(row: ReportRow, of: Episode, strength: Strength, dice: random.Random) -> ReportRow:
    """A root as somebody reports it who errs in some of its six parts; a legal row."""

    def right(*, where: bool = True) -> bool:
        return (strength.placed and where) or dice.random() < strength.right

    found, at = any_row(of, dice), right()
    kinds = [kind for kind in KINDS if not at or row.stage in stages_of(kind, of.domain)]
    kind = row.kind if right(where=False) else dice.choice(kinds)
    found = replace(found, kind=kind)
    stages = stages_of(kind, of.domain)
    found = replace(found, stage=row.stage if at and row.stage in stages else dice.choice(stages))
    if right():
        found = replace(found, direction=row.direction)
    if right():
        found = replace(found, segment=row.segment)
    if right():
        found = replace(found, date_from=row.date_from, date_to=row.date_to)
    return replace(found, change=row.change) if right(where=False) else found


# On call: each repair, or another at the same service

CHANGES = (*GROUPS["mitigate"], *GROUPS["repair"])


def _engineer(reset: Reset, strength: Strength, dice: random.Random) -> Player:
    def any_of(tools: Sequence[str], service: str) -> Action:
        tool = dice.choice(tools)
        return order(dice.choice(RUNBOOKS) if tool == RUNBOOK else tool, service)

    def play(opening: Observed) -> Play:
        names = sorted(opening["dependency_graph"])
        if strength.placed:
            for service, _ in find(reset).roots:
                yield any_of(CHANGES, service)
            for _ in range(5):
                yield order("get_metrics_detail", names[0])
            yield order("declare_resolved")
            return
        tools = [each for group in GROUPS.values() for each in group]
        while not strength.right:
            yield any_of(tools, dice.choice(names))
        script = engineer(opening)
        action = next(script)
        while True:
            erring = ACTIONS[action["action_type"]].changes and dice.random() >= strength.right
            made = any_of(CHANGES, action["target_service"]) if erring else action
            try:
                action = script.send((yield made))
            except StopIteration:
                return

    return play
