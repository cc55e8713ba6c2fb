"""Playbacks: shown, saved and opened again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from metric_tracker_rl.policies import get_policy
from openenv_kit.page.components.playback_html import (
    convert_playback_to_recording_jsonl,
    navigation_and_current_step_html,
)
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.playback import (
    PlaybackStep,
    create_playback_that_checks_recording,
    parse_first_run,
    playback_of_policy,
)
from openenv_kit.page.visitor import Visitor


def visitor() -> Visitor:
    new = Visitor()
    new.is_page_loaded = True
    return new


@pytest.mark.parametrize(
    "arguments", [["2024-01-01"], '{"date": ', {"date": ["2024-01-01"]}, {"date": {}}, None, 7]
)
def test_no_arguments_of_a_watched_call_break_the_page(arguments: Any) -> None:
    who, playback = visitor(), playback_of_policy(get_policy("null"), {})
    playback.read_steps_to_end_and_show_last()
    said = {"status": "error", "message": "no"}
    action = {"analysis_method": "rows_for_date", "analysis_args": arguments}
    playback.steps.append(PlaybackStep(action, said))
    playback.read_steps_to_end_and_show_last()
    who.playback = playback
    assert "rows_for_date(" in navigation_and_current_step_html(
        get_environment_view_or_default(), playback
    )


def test_a_watched_play_is_saved_as_a_recording_that_plays_again() -> None:
    played = playback_of_policy(get_policy("reference"), {"task_id": "medium_mixed_pair"})
    played.read_steps_to_end_and_show_last()
    run, broken = parse_first_run(convert_playback_to_recording_jsonl(played))
    assert (run.player, run.score, broken) == ("reference", 1.0, "")
    again = create_playback_that_checks_recording(run)
    assert [frame.action for frame in again.steps] == [frame.action for frame in played.steps]
    assert all(frame.matches_recording for frame in again.steps)


def test_a_slow_recording_is_played_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 96 kB ran 45 seconds, also when its visitor had left."""
    played = playback_of_policy(get_policy("reference"), {})
    played.read_steps_to_end_and_show_last()
    run, _ = parse_first_run(convert_playback_to_recording_jsonl(played))
    monkeypatch.setattr(time, "monotonic", iter(range(10_000)).__next__)
    slow = create_playback_that_checks_recording(run)
    first = len(slow.steps)
    assert 1 < first < len(played.steps)
    slow.read_steps_to_end_and_show_last()
    assert len(slow.steps) > first
    while not slow.is_finished:
        slow.read_steps_to_end_and_show_last()
    assert [frame.matches_recording for frame in slow.steps] == [True] * len(played.steps)


def test_a_play_that_is_made_again_stops_when_its_visitor_leaves() -> None:
    """Else it would go on for as long as it takes, for nobody."""
    played = playback_of_policy(get_policy("reference"), {})
    played.read_steps_to_end_and_show_last()
    run, _ = parse_first_run(convert_playback_to_recording_jsonl(played))
    who = visitor()
    who.playback = again = create_playback_that_checks_recording(run)
    again.steps, again.index, again.is_finished = again.steps[:1], 0, False

    def source() -> Iterator[PlaybackStep]:
        for number in range(len(played.steps)):
            if number == 2:
                who.close_episode_and_clear()  # in another thread, while this one plays
            yield played.steps[number]

    again._source = source()
    again.read_steps_to_end_and_show_last(3600.0)
    assert len(again.steps) == 1 + 3
    assert who.playback is None
