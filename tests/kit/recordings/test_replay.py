"""Recorded runs replay reply for reply; a changed result shows, a changed sentence does not."""

from __future__ import annotations

import copy
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.tools import PROSE_FIELDS
from openenv_kit.recordings.digest import compute_reply_digest
from openenv_kit.recordings.format import (
    RecordingError,
    read_runs,
)
from openenv_kit.recordings.replay import check_replay, iter_replayed_steps
from openenv_kit.results.scored_episodes import scored_episode_from_run
from support.command_line import run_cli
from support.recorded_runs import record_runs

SHORT = {"feedback": "score"}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    assert record_runs(path, "reference", [{"task_id": "medium_mixed_pair"}]) == [1.0]
    return path


def test_a_recorded_run_replays(recorded: Path) -> None:
    [run] = read_runs(recorded)
    assert (run.player, run.score, run.reset) == (
        "reference",
        1.0,
        {"task_id": "medium_mixed_pair"},
    )
    again = list(iter_replayed_steps(run))
    assert len(again) == 1 + len(run.steps)
    assert all(same for _, _, same in again)


def test_replayed_with_a_step_after_the_end_keeps_the_score(recorded: Path) -> None:
    (run,) = read_runs(recorded)
    again = check_replay(replace(run, steps=[*run.steps, run.steps[0]]))
    assert again.score == 1.0


@pytest.mark.parametrize("name", ["generator", "policy", "grader", "replies"])
def test_a_run_that_does_not_tell_its_version_is_not_replayed(recorded: Path, name: str) -> None:
    (run,) = read_runs(recorded)
    silent = {each: version for each, version in run.versions.items() if each != name}
    with pytest.raises(RecordingError, match=f"{name} version None"):
        check_replay(replace(run, versions=silent))


def test_replay_takes_a_folder_for_its_recordings(tmp_path: Path, recorded: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    empty = run_cli("replay", str(folder))
    assert empty.exit_code == 2
    assert "*.jsonl" in empty.output
    (folder / "one.jsonl").write_bytes(recorded.read_bytes())
    (folder / "two.jsonl.gz").write_bytes(gzip.compress(recorded.read_bytes()))
    (folder / "notes.txt").write_text("no recording")
    done = run_cli("replay", str(folder))
    assert done.exit_code == 0, done.output
    assert "2 runs, 0 that differ from their recording." in done.output


def test_a_run_with_score_feedback_replays_and_is_of_the_same_episode(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    for reset in ({"split": "test", "index": 4}, {"split": "test", "index": 4, **SHORT}):
        first, second = record_runs(path, "upstream_first", [reset, reset])
        assert first == second
    runs = [check_replay(run) for run in read_runs(path)]
    assert all(run.matches_recording for run in runs)
    assert len({scored_episode_from_run(run.run).episode_key for run in runs}) == 1
    assert len({run.score for run in runs}) == 1


def test_several_runs_share_a_file(recorded: Path) -> None:
    record_runs(recorded, "null", [{"seed": 4}])
    assert [run.player for run in read_runs(recorded)] == ["reference", "null"]


def rewritten(path: Path, line: int, **changes: Any) -> None:
    lines = path.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes})
    path.write_text("\n".join(lines) + "\n")


def test_a_changed_reset_shows_in_the_replay(recorded: Path) -> None:
    rewritten(recorded, 0, reset={"task_id": "medium_mixed_pair", "seed": 24})
    [run] = read_runs(recorded)
    assert not any(same for _, _, same in list(iter_replayed_steps(run))[:2])


def test_a_changed_action_shows_at_its_step(recorded: Path) -> None:
    rewritten(recorded, 2, action={"analysis_method": "list_dates"})
    [run] = read_runs(recorded)
    assert [same for _, _, same in iter_replayed_steps(run)][:3] == [True, True, False]


WORDED: dict[str, Any] = {
    "status": "analyzed",
    "message": "rows_for_date done.",
    "reward": 0.0,
    "done": False,
    "available_methods": [{"name": "rows_for_date", "description": "Rows of a date."}],
    "analysis_result": {"result": {"value": 7, "notes": "a note", "hours": [{"hour": 3}]}},
    "submission_issues": [{"index": 0, "message": "No such row."}],
}


def digest_of(reply: dict[str, Any]) -> str:
    return compute_reply_digest(reply, PROSE_FIELDS)


def changed(path: str, value: Any) -> dict[str, Any]:
    """`WORDED` with another value at a path of names and positions."""
    reply: Any = copy.deepcopy(WORDED)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at = reply
    for part in way:
        at = at[part]
    at[last] = value
    return dict(reply)


@pytest.mark.parametrize(
    "path",
    [
        "message",
        "available_methods.0.description",
        "analysis_result.result.notes",
        "submission_issues.0.message",
    ],
)
def test_a_sentence_said_better_is_the_same_reply(path: str) -> None:
    assert digest_of(changed(path, "In other words.")) == digest_of(WORDED)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "error"),
        ("reward", 0.5),
        ("done", True),
        ("analysis_result.result.value", 8),
        ("analysis_result.result.hours.0.hour", 4),
        ("submission_issues.0.index", 1),
        ("expected_row_count", 2),
    ],
)
def test_a_change_of_anything_else_is_another_reply(path: str, value: Any) -> None:
    assert digest_of(changed(path, value)) != digest_of(WORDED)


def test_a_tool_described_otherwise_is_the_same_reply() -> None:
    tools = [*WORDED["available_methods"], {"name": "another"}]
    assert digest_of(changed("available_methods", tools)) == digest_of(WORDED)


def test_a_recording_outlives_new_wording(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = EpisodeSession.step

    def reworded(session: EpisodeSession, action: Any) -> Any:
        return replace(said(session, action), message="Said better.")

    monkeypatch.setattr(EpisodeSession, "step", reworded)
    [run] = read_runs(recorded)
    assert all(same for _, _, same in iter_replayed_steps(run))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "line 1: not JSON."),
        ("[]", "line 1: not a JSON object."),
        ('{"event": "step"}', "line 1: not a line of a recorded run."),
        ('{"event": "stop"}', "line 1: unknown event 'stop'."),
        ('{"event": "start", "format": "other/1"}', "line 1: format 'other/1'; allowed: "),
    ],
)
def test_a_file_that_is_no_recording_names_its_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(RecordingError, match=expected.replace(".", r"\.")):
        read_runs(path)
