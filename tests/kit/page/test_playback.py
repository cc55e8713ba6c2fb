"""Playbacks: recordings of them, and limits of their duration."""

from __future__ import annotations

import time

import pytest

from metric_tracker_rl.policies import get_policy
from openenv_kit.page.components.playback_html import convert_playback_to_recording_jsonl
from openenv_kit.page.playback import (
    Playback,
    create_playback_of_policy,
    create_playback_that_checks_recording,
)
from openenv_kit.recordings.format import RecordedRun, parse_runs_until_error


def record(playback: Playback) -> RecordedRun:
    runs, error = parse_runs_until_error(convert_playback_to_recording_jsonl(playback))
    assert error is None
    return runs[0]


def test_recording_of_a_playback_replays_with_the_same_replies() -> None:
    played = create_playback_of_policy(get_policy("reference"), {"task_id": "medium_mixed_pair"})
    run = record(played)
    assert (run.player, run.score) == ("reference", 1.0)
    again = create_playback_that_checks_recording(run)
    assert [step.action for step in again.steps] == [step.action for step in played.steps]
    assert all(step.matches_recording for step in again.steps)


def test_replay_stops_at_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    run = record(create_playback_of_policy(get_policy("reference"), {}))
    monkeypatch.setattr(time, "monotonic", iter(range(10_000)).__next__)
    assert len(create_playback_that_checks_recording(run, max_duration_s=1.5).steps) == 2
