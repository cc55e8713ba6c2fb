"""Replays of recorded runs detect changed results and ignore changed wording."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.definitions.versions import VERSIONS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.environment import get_environment
from openenv_kit.recordings.atif import build_atif_trajectory
from openenv_kit.recordings.format import (
    RecordingError,
    read_runs,
)
from openenv_kit.recordings.replay import iter_replayed_steps, replay_and_compare_run
from openenv_kit.results.scored_episodes import ScoredEpisode, scored_episode_from_run
from support.command_line import run_cli
from support.recorded_runs import record_runs

VARIED = {"policy": "varied"}


SHORT = {"feedback": "score"}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    assert record_runs(path, "reference", [{"task_id": "medium_mixed_pair"}]) == [1.0]
    return path


def test_recording_with_windows_line_ends_replays(recorded: Path) -> None:
    recorded.write_bytes(recorded.read_bytes().replace(b"\n", b"\r\n"))
    (run,) = read_runs(recorded)
    assert replay_and_compare_run(run).matches_recording


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
    again = replay_and_compare_run(replace(run, steps=[*run.steps, run.steps[0]]))
    assert again.score == 1.0


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("generator", "None"),
        ("policy", "None"),
        ("grader", "None"),
        ("replies", "'1'; this is '2'"),
    ],
)
def test_run_without_a_version_is_not_replayed(recorded: Path, name: str, version: str) -> None:
    (run,) = read_runs(recorded)
    silent = {each: version for each, version in run.versions.items() if each != name}
    with pytest.raises(RecordingError, match=f"{name} version {version}"):
        replay_and_compare_run(replace(run, versions=silent))


def test_atif_of_a_run_of_another_version_is_refused(recorded: Path) -> None:
    (run,) = read_runs(recorded)
    older = replace(run, versions={**run.versions, "replies": "1"})
    with pytest.raises(RecordingError, match="replies version '1'; this is '2'"):
        build_atif_trajectory(older, get_environment())


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
    assert "2 runs, 0 " in done.output


def test_a_run_with_score_feedback_replays_and_is_of_the_same_episode(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    for reset in ({"split": "test", "index": 4}, {"split": "test", "index": 4, **SHORT}):
        first, second = record_runs(path, "upstream_first", [reset, reset])
        assert first == second
    runs = [replay_and_compare_run(run) for run in read_runs(path)]
    assert all(run.matches_recording for run in runs)
    assert len({scored_episode_from_run(run.run).episode_key for run in runs}) == 1
    assert len({run.score for run in runs}) == 1


def rewritten(path: Path, line: int, **changes: Any) -> None:
    lines = path.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes})
    path.write_text("\n".join(lines) + "\n")


def test_replay_detects_a_changed_reset(recorded: Path) -> None:
    rewritten(recorded, 0, reset={"task_id": "medium_mixed_pair", "seed": 24})
    [run] = read_runs(recorded)
    assert not any(same for _, _, same in list(iter_replayed_steps(run))[:2])


def test_replay_detects_a_changed_action_at_its_step(recorded: Path) -> None:
    rewritten(recorded, 2, action={"analysis_method": "list_dates"})
    [run] = read_runs(recorded)
    assert [same for _, _, same in iter_replayed_steps(run)][:3] == [True, True, False]


def test_recording_replays_after_rewording(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = EpisodeSession.step

    def reworded(session: EpisodeSession, action: Any) -> Any:
        return replace(said(session, action), message="Said better.")

    monkeypatch.setattr(EpisodeSession, "step", reworded)
    [run] = read_runs(recorded)
    assert all(same for _, _, same in iter_replayed_steps(run))


def test_a_recorded_run_replays_and_is_refused_under_other_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    reset = {"task_id": "hard_mixed_multi", **VARIED, "disclosure": "raw"}
    record_runs(path, "reference", [reset])
    [run] = read_runs(path)
    assert run.versions["variants"] == "1"
    again = replay_and_compare_run(run)
    assert (again.score, again.matches_recording) == (1.0, True)
    one, other = (
        ScoredEpisode("", reset, None, 0),
        ScoredEpisode("", {**reset, "policy": "standard"}, None, 0),
    )
    assert one.episode_key != other.episode_key
    monkeypatch.setitem(VERSIONS, "variants", "2")
    with pytest.raises(RecordingError, match="variants version '1'; this is '2'"):
        replay_and_compare_run(run)
