"""Players of four strengths in each environment: the reference policy with random mistakes.

A player follows the reference policy, and replaces some of its decisions by random ones. A decision
is a row of the report in the funnel, a field of a row in drill-down, and a repair in Firewatch.
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
from metric_tracker_rl.policies.lean_reference import (
    request_calendar_and_find_root_ids,
    scan_all_flagged_series,
)
from metric_tracker_rl.policies.reference import request_guided_tool_results_and_submit_root_rows
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
    """How often a player's decisions are correct.

    Attributes:
        name: the player's name.
        correct_share: share of its decisions that are correct.
        knows_location: whether its decisions about the location are always correct;
            `correct_share` then applies to its other decisions.
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
    """Return a player for one episode. The same seed gives the same actions."""
    generator = random.Random(f"{environment.name}|{sorted(reset.items())}|{strength.name}|{seed}")
    generate_actions: PolicyFunction
    if environment.name == "drilldown":
        generate_actions = _build_drilldown_player(
            episode_of(config_of(reset)), strength, generator
        )
    elif environment.name == "firewatch":
        generate_actions = _build_firewatch_player(reset, strength, generator)
    else:
        generate_actions = _build_funnel_player(reset, strength, generator)
    return Policy(strength.name, "", generate_actions)


def measure_rewards(environment: Environment, policy: Policy, reset: Reset) -> Mapping[str, float]:
    """Play an episode and return its value of each reward, by the reward's name."""
    session = environment.create_session()
    *_, (_, last) = iter_policy_steps(session, policy, session.reset(**reset))
    components = EndInfo.from_info(last.info).components
    if not components:  # The episode has not ended.
        return {reward.value: 0.0 for reward in COMMON_REWARDS}
    return {reward.value: components[reward] for reward in Reward if reward in components}


# Funnel: each expected row, or another flagged row


def _build_funnel_player(
    reset: Reset, strength: PlayerStrength, generator: random.Random
) -> PolicyFunction:
    def generate_actions(reset_observation: ObservationJson) -> PolicySteps:
        if reset.get("profile") == "lean":
            listed = yield from scan_all_flagged_series()
            expected: Sequence[Any] = yield from request_calendar_and_find_root_ids(
                listed, reset_observation
            )
            day_of = {series.series_id: series.date for series in listed}
            rows = _choose_rows(expected, list(day_of), day_of.__getitem__, strength, generator)
            yield build_analysis_action("submit", ids=sorted(set(rows)))
            return
        flagged = yield from request_flagged_rows()
        expected = yield from _read_reference_report(
            request_guided_tool_results_and_submit_root_rows(reset_observation)
        )
        yield build_submit_action(
            _choose_rows(expected, flagged, lambda row: row["date"], strength, generator)
        )

    return generate_actions


def _read_reference_report(script: PolicySteps) -> Generator[Action, ObservationJson, Any]:
    """Play a script up to its report, and return the rows that it would submit."""
    action = next(script)
    while "classifications" not in action:
        action = script.send((yield action))
    return action["classifications"]


def _choose_rows(
    expected: Sequence[Any],
    flagged: Sequence[Any],
    day_of: Callable[[Any], str],
    strength: PlayerStrength,
    generator: random.Random,
) -> list[Any]:
    """Return a report with one decision for each expected row, or one decision if there is none."""
    report = []
    for row in expected or [None]:
        if generator.random() < strength.correct_share:
            report += [row] if expected else []
            continue
        candidates = flagged
        if strength.knows_location:
            candidates = [other for other in flagged if row and day_of(other) == day_of(row)]
        report += [generator.choice(candidates)] if candidates else []
    return report


# Drill-down: each field of each expected row, or another value


def _build_drilldown_player(
    episode: Episode, strength: PlayerStrength, generator: random.Random
) -> PolicyFunction:
    def generate_actions(_: ObservationJson) -> PolicySteps:
        report = [_distort_row(row, episode, strength, generator) for row in episode.expected_rows]
        if not episode.expected_rows and generator.random() >= strength.correct_share:
            report = [random_valid_row(episode, generator)]
        rows = list({row.place: row.as_dict() for row in report}.values())
        yield {"tool": "submit_report", "arguments": {"rows": rows}}

    return generate_actions


def _distort_row(
    row: ReportRow, episode: Episode, strength: PlayerStrength, generator: random.Random
) -> ReportRow:
    """Return a valid row in which some of the six fields of a root are wrong."""

    def is_correct(*, is_location: bool = True) -> bool:
        return (
            strength.knows_location and is_location
        ) or generator.random() < strength.correct_share

    distorted = random_valid_row(episode, generator)
    has_correct_stage = is_correct()
    kinds = [
        kind
        for kind in KINDS
        if not has_correct_stage or row.stage in stages_of(kind, episode.domain)
    ]
    kind = row.kind if is_correct(is_location=False) else generator.choice(kinds)
    distorted = replace(distorted, kind=kind)
    stages = stages_of(kind, episode.domain)
    distorted = replace(
        distorted,
        stage=row.stage if has_correct_stage and row.stage in stages else generator.choice(stages),
    )
    if is_correct():
        distorted = replace(distorted, direction=row.direction)
    if is_correct():
        distorted = replace(distorted, segment=row.segment)
    if is_correct():
        distorted = replace(distorted, date_from=row.date_from, date_to=row.date_to)
    if is_correct(is_location=False):
        distorted = replace(distorted, change=row.change)
    return distorted


# Firewatch: each repair, or another one

CHANGE_ACTIONS = (*GROUPS["mitigate"], *GROUPS["repair"])


def _build_firewatch_player(
    reset: Reset, strength: PlayerStrength, generator: random.Random
) -> PolicyFunction:
    def any_of(tools: Sequence[str], service: str) -> Action:
        tool = generator.choice(tools)
        return order(generator.choice(RUNBOOKS) if tool == RUNBOOK else tool, service)

    def generate_actions(reset_observation: ObservationJson) -> PolicySteps:
        names = sorted(reset_observation["dependency_graph"])
        if strength.knows_location:
            for service, _ in find(reset).roots:
                yield any_of(CHANGE_ACTIONS, service)
            for _ in range(5):
                yield order("get_metrics_detail", names[0])
            yield order("declare_resolved")
            return
        tools = [tool for group in GROUPS.values() for tool in group]
        while not strength.correct_share:
            yield any_of(tools, generator.choice(names))
        script = engineer(reset_observation)
        action = next(script)
        while True:
            is_mistake = (
                ACTIONS[action["action_type"]].changes
                and generator.random() >= strength.correct_share
            )
            sent = any_of(CHANGE_ACTIONS, action["target_service"]) if is_mistake else action
            try:
                action = script.send((yield sent))
            except StopIteration:
                return

    return generate_actions
