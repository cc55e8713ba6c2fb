"""Evidence shares of the environments."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from firewatch_env.policies.own_play import reference_changes
from firewatch_env.tasks.book import find
from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.results.player_summary import summarize_player
from openenv_kit.results.scored_episodes import PlayerResults, scored_episode_from_run
from openenv_kit.rollouts.run_policy import iter_policy_steps

TASKS: Mapping[str, Mapping[str, Any]] = {
    "metric_tracker_rl": {"split": "test", "index": 1},
    "drilldown": {"task_id": "drill_easy_ordering_app"},
    "firewatch": {"task_id": "task_easy_thread_deadlock"},
}


def played(name: str, actions: Sequence[Mapping[str, Any]]) -> tuple[float, float | None]:
    """Reward of some actions, and how much of what was right is grounded."""
    session = get_environment(name).create_session()
    session.reset(**TASKS[name])
    for action in actions:
        reply = session.step(action)
    assert reply.done
    return reply.reward or 0.0, (reply.info or {})["grounded"]


def actions_of(name: str) -> list[dict[str, Any]]:
    """What the reference does."""
    environment = get_environment(name)
    session = environment.create_session()
    reference = environment.policies["reference"]
    return [
        action for action, _ in iter_policy_steps(session, reference, session.reset(**TASKS[name]))
    ]


def guess(name: str) -> list[dict[str, Any]]:
    """What the reference hands in or changes, without a look."""
    made = actions_of(name)
    if name == "firewatch":
        changed = {(each.action, each.target) for each in reference_changes(find(TASKS[name]))}
        kept = [m for m in made if (m["action_type"], m.get("target_service")) in changed]
        return [*kept, *[{"action_type": "escalate"}] * 4, made[-1]]
    return made[-1:]


@pytest.mark.parametrize("name", TASKS)
def test_evidence_share_of_the_reference_is_one(name: str) -> None:
    assert played(name, actions_of(name)) == (1.0, 1.0)


@pytest.mark.parametrize("name", TASKS)
def test_evidence_share_of_a_guess_is_zero_at_the_same_reward(name: str) -> None:
    reward, grounded = played(name, guess(name))
    assert reward == 1.0
    assert grounded == 0.0


@pytest.mark.parametrize(
    ("name", "nothing"),
    [
        ("metric_tracker_rl", {"classifications": []}),
        ("drilldown", {"tool": "submit_report", "arguments": {"rows": []}}),
        ("firewatch", {"action_type": "declare_resolved"}),
    ],
)
def test_evidence_share_without_correct_rows_is_none(name: str, nothing: dict[str, Any]) -> None:
    assert played(name, [nothing]) == (0.0, None)


def recording(name: str, actions: Sequence[Mapping[str, Any]]) -> str:
    environment, stream = get_environment(name), io.StringIO()
    session = environment.create_session()
    opening = session.reset(**TASKS[name])
    recorder = RunRecorder(
        stream, "some", TASKS[name], observation_from_reply(opening), environment
    )
    for action in actions:
        reply = session.step(action)
        recorder.record_step(action, observation_from_reply(reply))
    recorder.record_end(reply.reward or 0.0, observation_from_reply(reply))
    return stream.getvalue()


def test_evidence_share_of_recorded_runs_is_summarized(tmp_path: Path) -> None:
    name = "drilldown"
    path = tmp_path / "runs.jsonl"
    path.write_text(recording(name, actions_of(name)) + recording(name, guess(name)))
    environment = get_environment(name)
    plays = [scored_episode_from_run(run) for run in read_runs(path)]
    assert [each.evidence_share for each in plays] == [1.0, 0.0]
    assert (
        summarize_player(PlayerResults("some", "", environment.versions, plays)).evidence_share
        == 0.5
    )
    old = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps({**e, "grounded": None}) for e in old))
    (first, _) = [scored_episode_from_run(run) for run in read_runs(path)]
    assert (
        summarize_player(PlayerResults("some", "", environment.versions, [first])).evidence_share
        is None
    )
