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
from metric_tracker_rl.policies.base import (
    build_analysis_action,
    build_submit_action,
    request_flagged_rows,
)
from metric_tracker_rl.policies.lean_reference import find_root_ids, scan_flagged_series
from metric_tracker_rl.policies.reference import guided_reference
from openenv_kit.environment import Environment
from openenv_kit.reply import EndInfo
from openenv_kit.rewards import COMMON_REWARDS, Reward
from openenv_kit.rollouts.policies import Action, ObservationJson, Policy, PolicySteps
from openenv_kit.rollouts.run_policy import iter_policy_steps
from research.drilldown.measure import random_valid_row

Reset = Mapping[str, Any]
PolicyFunction = Callable[[ObservationJson], PolicySteps]


@dataclass(frozen=True)
class PlayerStrength:
    """How often a player's decisions are right.

    Attributes:
        name: the player's name.
        correct_share: share of its decisions that are right.
        knows_location: whether its decisions about the location are always right;
            `correct_share` then holds for its other decisions.
    """

    name: str
    correct_share: float
    knows_location: bool = False


GRADED_PLAYERS = (
    PlayerStrength("random legal", 0.0),
    PlayerStrength("knows the place", 0.0, knows_location=True),
    PlayerStrength("half right", 0.5),
    PlayerStrength("one mistake in ten", 0.9),
)
"""The players, from the weakest to the strongest."""


def build_player(
    environment: Environment, reset: Reset, strength: PlayerStrength, seed: str
) -> Policy:
    """A player of one episode; the same seed, the same play."""
    dice = random.Random(f"{environment.name}|{sorted(reset.items())}|{strength.name}|{seed}")
    made: PolicyFunction
    if environment.name == "drilldown":
        made = _build_drilldown_player(episode_of(config_of(reset)), strength, dice)
    elif environment.name == "firewatch":
        made = _build_firewatch_player(reset, strength, dice)
    else:
        made = _build_funnel_player(reset, strength, dice)
    return Policy(strength.name, "", made)


def measure_rewards(environment: Environment, policy: Policy, reset: Reset) -> Mapping[str, float]:
    """What a play earns, by the name of the reward."""
    session = environment.create_session()
    *_, (_, last) = iter_policy_steps(session, policy, session.reset(**reset))
    components = EndInfo.from_info(last.info).components
    if not components:  # the episode has not ended
        return {reward.value: 0.0 for reward in COMMON_REWARDS}
    return {reward.value: components[reward] for reward in Reward if reward in components}


# The funnel: each right row, or another that is flagged


def _build_funnel_player(
    reset: Reset, strength: PlayerStrength, dice: random.Random
) -> PolicyFunction:
    def play(opening: ObservationJson) -> PolicySteps:
        if reset.get("profile") == "lean":
            listed = yield from scan_flagged_series()
            right: Sequence[Any] = yield from find_root_ids(listed, opening)
            day_of = {number: date for date, number, *_ in listed}
            chosen = _choose_rows(right, list(day_of), day_of.__getitem__, strength, dice)
            yield build_analysis_action("submit", ids=sorted(set(chosen)))
            return
        flagged = yield from request_flagged_rows()
        right = yield from _read_reference_report(guided_reference(opening))
        yield build_submit_action(
            _choose_rows(right, flagged, lambda row: row["date"], strength, dice)
        )

    return play


def _read_reference_report(script: PolicySteps) -> Generator[Action, ObservationJson, Any]:
    """The rows that the reference would hand in."""
    action = next(script)
    while "classifications" not in action:
        action = script.send((yield action))
    return action["classifications"]


def _choose_rows(
    right: Sequence[Any],
    flagged: Sequence[Any],
    day_of: Callable[[Any], str],
    strength: PlayerStrength,
    dice: random.Random,
) -> list[Any]:
    """A report with a decision for each right row; one of nothing, where nothing is right."""
    found = []
    for row in right or [None]:
        if dice.random() < strength.correct_share:
            found += [row] if right else []
            continue
        near = [each for each in flagged if day_of(each) == day_of(row)] if row else []
        among = near if strength.knows_location else flagged
        found += [dice.choice(among)] if among else []
    return found


# Drill-down: each part of each right row, or another


def _build_drilldown_player(
    episode: Episode, strength: PlayerStrength, dice: random.Random
) -> PolicyFunction:
    def play(_: ObservationJson) -> PolicySteps:
        found = [_distort_row(row, episode, strength, dice) for row in episode.expected_rows]
        if not episode.expected_rows and dice.random() >= strength.correct_share:
            found = [random_valid_row(episode, dice)]
        rows = list({row.place: row.as_dict() for row in found}.values())
        yield {"tool": "submit_report", "arguments": {"rows": rows}}

    return play


def _distort_row(
    row: ReportRow, episode: Episode, strength: PlayerStrength, dice: random.Random
) -> ReportRow:
    """A root as somebody reports it who errs in some of its six parts; a legal row."""

    def right(*, where: bool = True) -> bool:
        return (strength.knows_location and where) or dice.random() < strength.correct_share

    found, at = random_valid_row(episode, dice), right()
    kinds = [kind for kind in KINDS if not at or row.stage in stages_of(kind, episode.domain)]
    kind = row.kind if right(where=False) else dice.choice(kinds)
    found = replace(found, kind=kind)
    stages = stages_of(kind, episode.domain)
    found = replace(found, stage=row.stage if at and row.stage in stages else dice.choice(stages))
    if right():
        found = replace(found, direction=row.direction)
    if right():
        found = replace(found, segment=row.segment)
    if right():
        found = replace(found, date_from=row.date_from, date_to=row.date_to)
    return replace(found, change=row.change) if right(where=False) else found


# On call: each repair, or another at the same service

CHANGE_ACTIONS = (*GROUPS["mitigate"], *GROUPS["repair"])


def _build_firewatch_player(
    reset: Reset, strength: PlayerStrength, dice: random.Random
) -> PolicyFunction:
    def any_of(tools: Sequence[str], service: str) -> Action:
        tool = dice.choice(tools)
        return order(dice.choice(RUNBOOKS) if tool == RUNBOOK else tool, service)

    def play(opening: ObservationJson) -> PolicySteps:
        names = sorted(opening["dependency_graph"])
        if strength.knows_location:
            for service, _ in find(reset).roots:
                yield any_of(CHANGE_ACTIONS, service)
            for _ in range(5):
                yield order("get_metrics_detail", names[0])
            yield order("declare_resolved")
            return
        tools = [each for group in GROUPS.values() for each in group]
        while not strength.correct_share:
            yield any_of(tools, dice.choice(names))
        script = engineer(opening)
        action = next(script)
        while True:
            erring = (
                ACTIONS[action["action_type"]].changes and dice.random() >= strength.correct_share
            )
            made = any_of(CHANGE_ACTIONS, action["target_service"]) if erring else action
            try:
                action = script.send((yield made))
            except StopIteration:
                return

    return play
