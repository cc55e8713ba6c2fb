"""Saved pages of a playback, and files that were cut off."""

from __future__ import annotations

import re

import pytest

from metric_tracker_rl.policies import get_policy
from openenv_kit.page.components.playback_html import (
    convert_playback_to_recording_jsonl,
    navigation_and_current_step_html,
    self_contained_playback_page_html,
)
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.playback import MAX_RUN_CHARACTERS, playback_of_policy
from openenv_kit.page.tabs.watch import _replay_first_run_of_recording
from openenv_kit.page.visitor import Visitor
from openenv_kit.recordings.format import RecordingError


def visitor() -> Visitor:
    new = Visitor()
    new.is_page_loaded = True
    return new


def test_cut_off_recording_is_shown_up_to_the_named_line() -> None:
    played = playback_of_policy(get_policy("reference"), {})
    played.read_steps_to_end_and_show_last()
    whole, who = convert_playback_to_recording_jsonl(played), visitor()
    lines = whole.splitlines()
    _replay_first_run_of_recording(who, whole[: len(whole) - len(lines[-1]) - len(lines[-2]) // 2])
    assert f"line {len(lines) - 1}: not JSON" in who.problem
    assert who.playback is not None
    assert f"step 0 of {len(played.steps) - 2}" in navigation_and_current_step_html(
        get_environment_view_or_default(), who.playback
    )
    with pytest.raises(RecordingError, match="line 1: not JSON"):
        _replay_first_run_of_recording(who, lines[0][:40])
    with pytest.raises(RecordingError, match="allowed: 900,000"):
        _replay_first_run_of_recording(who, " " * (MAX_RUN_CHARACTERS + 1))


def test_a_saved_page_loads_nothing_and_holds_every_step() -> None:
    played = playback_of_policy(get_policy("reference"), {"task_id": "medium_mixed_pair"})
    played.read_steps_to_end_and_show_last()
    html = self_contained_playback_page_html(get_environment_view_or_default(), played)
    assert html.count("<details><summary>") >= len(played.steps)
    assert f"<p>{get_environment_view_or_default().result_headline(played.steps)}</p>" in html
    assert re.findall(r"(?:src|href|url)[=(]", html) == []
