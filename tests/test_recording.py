"""Recorded runs replay bit for bit, and a change anywhere shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.policies import get_policy
from openenv_kit.play.driver import observed
from openenv_kit.play.recording import RecordingError, RunRecorder, read_runs, replay
from openenv_kit.play.regrade import regrade

SHORT = {"feedback": "score"}


def record(path: Path, name: str = "reference", **reset: Any) -> float:
    """Play a policy and write it down."""
    session = EpisodeSession()
    seen = observed(session.reset(**reset))
    with path.open("a") as stream:
        recorder = RunRecorder(stream, name, reset, seen)
        moves = get_policy(name).play(seen)
        action = next(moves)
        while True:
            seen = observed(session.step(action))
            recorder.step(action, seen)
            if seen["done"]:
                break
            action = moves.send(seen)
        recorder.end(seen["reward"])
    return float(seen["reward"])


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    assert record(path, task_id="medium_mixed_pair") == 1.0
    return path


def test_a_recorded_run_replays_bit_for_bit(recorded: Path) -> None:
    [run] = read_runs(recorded)
    assert (run.player, run.score, run.reset) == (
        "reference",
        1.0,
        {"task_id": "medium_mixed_pair"},
    )
    again = list(replay(run))
    assert len(again) == 1 + len(run.steps)
    assert all(same for _, _, same in again)


def test_a_run_with_score_feedback_replays_and_is_of_the_same_episode(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    for reset in ({"split": "test", "index": 4}, {"split": "test", "index": 4, **SHORT}):
        assert record(path, "upstream_first", **reset) == record(path, "upstream_first", **reset)
    runs = [regrade(run) for run in read_runs(path)]
    assert all(run.same for run in runs)
    assert len({run.episode for run in runs}) == 1
    assert len({run.score for run in runs}) == 1


def test_several_runs_share_a_file(recorded: Path) -> None:
    record(recorded, "null", seed=4)
    assert [run.player for run in read_runs(recorded)] == ["reference", "null"]


def rewritten(path: Path, line: int, **changes: Any) -> None:
    lines = path.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes})
    path.write_text("\n".join(lines) + "\n")


def test_a_changed_reset_shows_in_the_replay(recorded: Path) -> None:
    rewritten(recorded, 0, reset={"task_id": "medium_mixed_pair", "seed": 24})
    [run] = read_runs(recorded)
    assert not any(same for _, _, same in list(replay(run))[:2])


def test_a_changed_action_shows_at_its_step(recorded: Path) -> None:
    rewritten(recorded, 2, action={"analysis_method": "list_dates"})
    [run] = read_runs(recorded)
    assert [same for _, _, same in replay(run)][:3] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "line 1: not JSON."),
        ("[]", "line 1: not a JSON object."),
        ('{"event": "step"}', "line 1: not a line of a recorded run."),
        ('{"event": "stop"}', "line 1: unknown event 'stop'."),
        ('{"event": "start", "format": "other/1"}', "line 1: format 'other/1'; allowed: "),
    ],
)
def test_a_file_that_is_no_recording_names_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(RecordingError, match=told.replace(".", r"\.")):
        read_runs(path)
