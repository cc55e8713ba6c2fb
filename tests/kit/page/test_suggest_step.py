"""Suggestions for the next step come from stored replies alone and lead to the full score."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from metric_tracker_rl.policies import POLICIES
from openenv_kit.environment import Environment, Reply, get_environment
from openenv_kit.episode_clients.in_process import observation_json_from_reply
from openenv_kit.page.suggest_step import (
    AnsweredStep,
    build_action_key,
    collect_valid_replies,
    compare_reports,
    suggest_step,
)
from openenv_kit.rollouts.policies import Action, ObservationJson, Policy, PolicySteps

LEVELS = ("easy", "medium", "hard", "expert")
SEEDS = range(6)
REFERENCE = POLICIES["reference"]
MAX_STEPS = 60

Suggest = Callable[[ObservationJson, list[AnsweredStep]], Action | None]


@pytest.fixture(scope="module")
def funnel() -> Environment:
    return get_environment("metric_tracker_rl")


def answered(environment: Environment, action: Action, reply: Reply) -> AnsweredStep:
    name = environment.tools.tool_call_of_action(action).name
    # Through JSON, as the page's client receives it.
    observation = json.loads(json.dumps(observation_json_from_reply(reply), default=str))
    return AnsweredStep(action, observation, environment.tools.find_tool(name).is_read_only)


def play_suggestions(
    environment: Environment,
    reset: Mapping[str, Any],
    suggest: Suggest,
    other_actions: Iterator[Action] = iter(()),  # noqa: B008
) -> float:
    """Play an episode with suggestions, each after one of the other actions; return its score."""
    session = environment.create_session()
    opening = json.loads(json.dumps(observation_json_from_reply(session.reset(**reset))))
    steps: list[AnsweredStep] = []
    for _ in range(MAX_STEPS):
        other = next(other_actions, None)
        action = other or suggest(opening, steps)
        assert action is not None
        reply = session.step(action)
        steps.append(answered(environment, action, reply))
        if reply.done:
            return float(reply.reward or 0.0)
    raise AssertionError(f"no report after {MAX_STEPS} steps")


def suggest_of_reference(opening: ObservationJson, steps: list[AnsweredStep]) -> Action | None:
    return suggest_step(REFERENCE, opening, steps)


@pytest.mark.parametrize("level", LEVELS)
def test_suggestions_alone_score_one(funnel: Environment, level: str) -> None:
    for seed in SEEDS:
        reset = {"difficulty": level, "seed": seed}
        assert play_suggestions(funnel, reset, suggest_of_reference) == 1.0, reset


@pytest.mark.parametrize(
    "mode", [{"profile": "lean"}, {"disclosure": "raw"}, {"profile": "lean", "disclosure": "raw"}]
)
def test_suggestions_score_one_in_each_mode(funnel: Environment, mode: dict[str, str]) -> None:
    for seed in SEEDS[:2]:
        reset = {"difficulty": "medium", "seed": seed, "max_steps": 200, **mode}
        assert play_suggestions(funnel, reset, suggest_of_reference) == 1.0, reset


@pytest.mark.parametrize("level", LEVELS)
def test_suggestions_between_random_calls_score_one(funnel: Environment, level: str) -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        calls: list[tuple[str, dict[str, Any]]] = [
            ("list_dates", {}),
            ("get_metric_median", {}),
            ("list_suspicious_dates", {"limit": 3}),
            ("rows_for_date", {"date": "no date"}),
            ("show_raw_data", {"limit": 2}),
        ]
        chosen = (rng.choice(calls) for _ in range(4))
        others = ({"analysis_method": n, "analysis_args": a} for n, a in chosen)
        reset = {"difficulty": level, "seed": seed}
        assert play_suggestions(funnel, reset, suggest_of_reference, others) == 1.0, reset


OTHER_PROCESS = """
import json, sys
from metric_tracker_rl.policies import POLICIES
from openenv_kit.page.suggest_step import AnsweredStep, suggest_step
for line in sys.stdin:
    opening, steps = json.loads(line)
    action = suggest_step(POLICIES["reference"], opening, [AnsweredStep(*step) for step in steps])
    print(json.dumps(action), flush=True)
"""


def test_process_that_gets_only_replies_makes_the_same_suggestions(funnel: Environment) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pipes = process.stdin, process.stdout

        def suggest_in_process(
            opening: ObservationJson, steps: list[AnsweredStep]
        ) -> Action | None:
            print(json.dumps([opening, steps]), file=pipes[0], flush=True)
            action: Action | None = json.loads(pipes[1].readline())
            assert action == suggest_of_reference(opening, steps)
            return action

        for level in LEVELS:
            reset = {"difficulty": level, "seed": 3}
            assert play_suggestions(funnel, reset, suggest_in_process) == 1.0
        process.stdin.close()


def test_module_imports_no_engine_and_no_session() -> None:
    program = (
        "import sys, openenv_kit.page.suggest_step\n"
        "print([n for n in sys.modules if n.startswith('metric_tracker_rl')"
        " or n == 'openenv_kit.session'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# Stored replies.


def ask_twice(_: ObservationJson) -> PolicySteps:
    first = yield {"call": "first"}
    if first["value"] == 1:
        yield {"call": "second"}


TWO_CALLS = Policy("two", "", ask_twice)
FIRST = AnsweredStep({"call": "first"}, {"status": "ok", "value": 1}, is_read_only=True)


def test_first_action_without_a_stored_reply_is_suggested() -> None:
    assert suggest_step(TWO_CALLS, {}, []) == {"call": "first"}
    assert suggest_step(TWO_CALLS, {}, [FIRST]) == {"call": "second"}


def test_rejected_call_is_suggested_again() -> None:
    rejected = FIRST._replace(observation={"status": "error", "value": 1})
    assert suggest_step(TWO_CALLS, {}, [rejected]) == {"call": "first"}


def test_call_that_changes_the_episode_makes_earlier_replies_outdated() -> None:
    change = AnsweredStep({"call": "change"}, {"status": "ok"}, is_read_only=False)
    assert suggest_step(TWO_CALLS, {}, [FIRST, change]) == {"call": "first"}
    assert suggest_step(TWO_CALLS, {}, [change, FIRST]) == {"call": "second"}
    assert list(collect_valid_replies([FIRST, change])) == [build_action_key(change.action)]


def test_policy_that_ends_or_cannot_read_a_reply_suggests_nothing() -> None:
    other = FIRST._replace(observation={"status": "ok", "value": 2})
    damaged = FIRST._replace(observation={"status": "ok"})
    assert suggest_step(TWO_CALLS, {}, [other]) is None
    assert suggest_step(TWO_CALLS, {}, [damaged]) is None


def test_order_and_empty_fields_do_not_distinguish_actions() -> None:
    action = {"call": "x", "arguments": {"a": 1, "b": None}}
    assert build_action_key(action) == build_action_key({"arguments": {"a": 1}, "call": "x"})
    assert build_action_key(action) != build_action_key({"arguments": {"a": 2}, "call": "x"})


# Difference between two reports.


def test_difference_lists_added_removed_and_changed_rows() -> None:
    own = [{"day": "1", "size": "2.0"}, {"day": "2", "size": "3"}, {"day": "9"}]
    suggested = [{"day": "1", "size": 2}, {"day": "2", "size": 4}, {"day": "3", "size": 1}]
    difference = compare_reports(own, suggested, ["day"])
    assert difference.added == [suggested[2]]
    assert difference.removed == [own[2]]
    assert [(each.row, each.fields) for each in difference.changed] == [(suggested[1], ["size"])]
    assert not difference.is_empty


def test_equal_reports_have_no_difference() -> None:
    assert compare_reports(
        [{"day": "1", "size": "2"}], [{"day": "1", "size": 2.0}], ["day"]
    ).is_empty
