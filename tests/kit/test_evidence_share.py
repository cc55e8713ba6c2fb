"""Grounded: whether what was right had been read. It is told beside the score, never part of it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drilldown_env.episode import Episode
from drilldown_env.grounding import shown
from drilldown_env.report import ReportRow
from drilldown_env.session import config_of, episode_of
from firewatch_env.policies.own_play import reference_changes
from firewatch_env.tasks.book import find
from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import RunRecorder, read_runs
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
def test_what_the_reference_finds_it_has_read(name: str) -> None:
    assert played(name, actions_of(name)) == (1.0, 1.0)


@pytest.mark.parametrize("name", TASKS)
def test_a_lucky_guess_is_paid_alike_and_not_grounded(name: str) -> None:
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
def test_where_nothing_was_right_nothing_is_grounded_or_not(
    name: str, nothing: dict[str, Any]
) -> None:
    assert played(name, [nothing]) == (0.0, None)


def one_of_a_value() -> tuple[Episode, ReportRow, str, str]:
    """An episode whose root is of one value's people; the root, its attribute and the value."""
    made = episode_of(config_of(TASKS["drilldown"]))
    root = replace(made.expected_rows[0], segment=made.expected_rows[0].segment[:1])
    return replace(made, expected_rows=(root,)), root, *root.segment[0]


def test_a_root_is_shown_by_an_answer_that_tells_its_people_from_others_on_its_days() -> None:
    episode, root, name, value = one_of_a_value()
    other = next(d for d in episode.domain.dim_names if d != name)
    days = [[root.date_from, root.date_to]]
    before = [[episode.dates[0], episode.dates[1]]]

    def seen(asked: Mapping[str, Any], stage: str, row: list[Any]) -> bool:
        return shown(episode, "slice", asked, {"columns": [stage], "rows": [row]}) == {0}

    assert seen({"group_by": [name]}, root.stage, [value, 5])
    assert seen({"where": {name: [value]}, "dates": days}, root.stage, [5])
    assert not seen({"group_by": [name]}, root.stage, ["another", 5])
    assert not seen({"group_by": [name], "dates": before}, root.stage, [value, 5])
    assert not seen({"group_by": [other]}, root.stage, [value, 5])
    assert not seen({"where": {name: [value, "another"]}}, root.stage, [5])
    assert not seen({"group_by": [name]}, "another stage", [value, 5])
    assert not seen({}, root.stage, [5])


def test_a_root_is_shown_by_a_query_that_names_its_step_and_people() -> None:
    episode, root, name, value = one_of_a_value()

    def seen(query: str, *row: Any) -> bool:
        return shown(episode, "sql", {"query": query}, {"rows": [list(row)]}) == {0}

    assert seen(f"SELECT {name}, sum({root.stage}) FROM counts GROUP BY 1", value, 5)
    assert seen(f"SELECT sum({root.stage}) FROM counts WHERE {name} = '{value}'", 5)
    assert not seen(f"SELECT sum({root.stage}) FROM counts", 5)
    assert not seen(f"SELECT {name}, count(*) FROM counts GROUP BY 1", value, 5)


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


def test_recorded_runs_are_compared_by_it(tmp_path: Path) -> None:
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
