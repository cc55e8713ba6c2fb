"""Versions of the funnel: which ones recordings and results carry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metric_tracker_rl.engine.definitions.versions import VERSIONS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.recordings.format import RecordingError, read_runs
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.recordings.replay import replay_and_compare_run
from openenv_kit.rollouts.run_policy import observation_from_reply

RESET = {"task_id": "easy_single_spike"}


def record_empty_report(path: Path) -> None:
    session = EpisodeSession()
    with path.open("w") as stream:
        reset_observation = observation_from_reply(session.reset(**RESET))
        recorder = RunRecorder(stream, "null", RESET, reset_observation)
        action = {"classifications": []}
        recorder.record_step(action, observation_from_reply(session.step(action)))
        recorder.record_end(0.0)


def test_versions_of_the_environment_include_the_replies() -> None:
    assert ENVIRONMENT.versions["replies"] == "2"


def test_recording_states_the_version_of_the_replies(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    record_empty_report(path)
    header = json.loads(path.read_text().splitlines()[0])
    assert header["versions"]["replies"] == "2"


def test_replay_of_another_version_of_the_replies_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    record_empty_report(path)
    [run] = read_runs(path)
    assert replay_and_compare_run(run).matches_recording
    monkeypatch.setitem(VERSIONS, "replies", "3")
    with pytest.raises(RecordingError, match="replies version '2'; this is '3'"):
        replay_and_compare_run(run)
