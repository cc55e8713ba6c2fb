"""A watched play: its steps are shown, saved and opened again."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from metric_tracker_rl.policies import get_policy
from openenv_kit.page.components.playback_html import (
    current_step_html,
    playback_page_html,
    recording_jsonl,
)
from openenv_kit.page.environment_view import environment_view_of
from openenv_kit.page.events import run_for_visitor
from openenv_kit.page.playback import (
    MAX_RUN_CHARACTERS,
    PlaybackStep,
    parse_first_run,
    playback_of_policy,
    playback_of_recording,
)
from openenv_kit.page.tabs.watch import _open_recording
from openenv_kit.page.visitor import Visitor
from openenv_kit.recordings.format import RecordingError


def visitor() -> Visitor:
    new = Visitor()
    new.is_page_loaded = True
    return new


@pytest.mark.parametrize(
    "arguments", [["2024-01-01"], '{"date": ', {"date": ["2024-01-01"]}, {"date": {}}, None, 7]
)
def test_no_arguments_of_a_watched_call_break_the_page(arguments: Any) -> None:
    who, playback = visitor(), playback_of_policy(get_policy("null"), {})
    playback.run_to_end()
    said = {"status": "error", "message": "no"}
    action = {"analysis_method": "rows_for_date", "analysis_args": arguments}
    playback.steps.append(PlaybackStep(action, said))
    playback.run_to_end()
    who.playback = playback
    assert "rows_for_date(" in current_step_html(environment_view_of(), playback)


def test_a_watched_play_is_saved_as_a_recording_that_plays_again() -> None:
    played = playback_of_policy(get_policy("reference"), {"task_id": "medium_mixed_pair"})
    played.run_to_end()
    run, broken = parse_first_run(recording_jsonl(played))
    assert (run.player, run.score, broken) == ("reference", 1.0, "")
    again = playback_of_recording(run)
    assert [frame.action for frame in again.steps] == [frame.action for frame in played.steps]
    assert all(frame.matches_recording for frame in again.steps)


def test_of_a_file_that_was_cut_off_the_rest_is_shown_and_the_line_named() -> None:
    played = playback_of_policy(get_policy("reference"), {})
    played.run_to_end()
    whole, who = recording_jsonl(played), visitor()
    lines = whole.splitlines()
    _open_recording(who, whole[: len(whole) - len(lines[-1]) - len(lines[-2]) // 2])
    assert f"line {len(lines) - 1}: not JSON. What stands before it is shown." in who.problem
    assert who.playback is not None
    assert f"step 0 of {len(played.steps) - 2}" in current_step_html(
        environment_view_of(), who.playback
    )
    with pytest.raises(RecordingError, match="line 1: not JSON"):
        _open_recording(who, lines[0][:40])
    with pytest.raises(RecordingError, match="allowed: 900,000"):
        _open_recording(who, " " * (MAX_RUN_CHARACTERS + 1))


def test_a_slow_recording_is_played_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 96 kB ran 45 seconds, also when its visitor had left."""
    played = playback_of_policy(get_policy("reference"), {})
    played.run_to_end()
    run, _ = parse_first_run(recording_jsonl(played))
    monkeypatch.setattr(time, "monotonic", iter(range(10_000)).__next__)
    slow = playback_of_recording(run)
    first = len(slow.steps)
    assert 1 < first < len(played.steps)
    slow.run_to_end()
    assert len(slow.steps) > first
    while not slow.is_finished:
        slow.run_to_end()
    assert [frame.matches_recording for frame in slow.steps] == [True] * len(played.steps)


def test_a_play_that_is_made_again_stops_when_its_visitor_leaves() -> None:
    """Else it would go on for as long as it takes, for nobody."""
    played = playback_of_policy(get_policy("reference"), {})
    played.run_to_end()
    run, _ = parse_first_run(recording_jsonl(played))
    who = visitor()
    who.playback = again = playback_of_recording(run)
    again.steps, again.index, again.is_finished = again.steps[:1], 0, False

    def source() -> Iterator[PlaybackStep]:
        for number in range(len(played.steps)):
            if number == 2:
                who.clear()  # in another thread, while this one plays
            yield played.steps[number]

    again._source = source()
    again.run_to_end(3600.0)
    assert len(again.steps) == 1 + 3
    assert who.playback is None


async def test_a_visitor_takes_one_thread_and_none_after_leaving() -> None:
    busy, done = list[int](), list[int]()

    def work(who: Visitor, number: int) -> list[Any]:
        busy.append(number)
        time.sleep(0.01 * (5 - number))
        done.append(number)
        who.is_disconnected = number == 3
        assert busy.pop() == number
        return [len(busy)]

    who = visitor()
    asked = (run_for_visitor(who, work, number) for number in range(5))
    *answers, late = await asyncio.gather(*asked, return_exceptions=True)
    assert (answers, done) == ([[0]] * 4, [0, 1, 2, 3])
    assert isinstance(late, gr.Error)


def test_a_click_leads_on_back_and_to_the_end_and_nothing_else_does() -> None:
    played = playback_of_policy(get_policy("null"), {})
    for at, now in (("on", 1), ("0", 0), ("end", 1), ("9" * 99, 1), ("-1", 1), (None, 1), ({}, 1)):
        played.handle_navigation(at)
        assert played.index == now, at


@pytest.mark.parametrize(("at", "off"), [(0, ["← Back"]), (1, ["Step →", "Play", "To the end"])])
def test_a_button_that_would_do_nothing_says_so(at: int, off: list[str]) -> None:
    played = playback_of_policy(get_policy("null"), {})
    played.run_to_end()
    played.seek(at)
    shown = current_step_html(environment_view_of(), played)
    assert re.findall(r'aria-disabled="true">(.*?)</button>', shown) == off


def test_a_saved_page_loads_nothing_and_holds_every_step() -> None:
    played = playback_of_policy(get_policy("reference"), {"task_id": "medium_mixed_pair"})
    played.run_to_end()
    html = playback_page_html(environment_view_of(), played)
    assert html.count("<details><summary>") >= len(played.steps)
    assert f"<p>{environment_view_of().result_headline(played.steps)}</p>" in html
    assert re.findall(r"(?:src|href|url)[=(]", html) == []
