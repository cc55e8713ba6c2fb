"""Renders the result of a finished episode as HTML, and converts its steps to a recording."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from openenv_kit.page.components.elements import heading_html, message_box_html
from openenv_kit.page.environment_view import EnvironmentView, PlaybackSteps
from openenv_kit.page.playback import Playback
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import EndInfo
from openenv_kit.reset_arguments import TABLE


def episode_result_html_if_finished(
    environment_view: EnvironmentView, steps: PlaybackSteps, reset: Mapping[str, Any]
) -> str:
    """Return the result and the evidence share of an episode as HTML; empty if it has not ended.

    The evidence share is the share of correct rows whose data the player had requested.
    """
    last = steps[-1].observation if steps else {}
    if not last.get("done"):
        return ""
    is_own_table = TABLE.name in reset
    headline = (
        environment_view.own_table_headline(steps, reset)
        if is_own_table
        else environment_view.result_headline(steps)
    )
    read = EndInfo.from_info(last.get("metadata")).evidence_share
    looked_up = (
        ""
        if read is None or is_own_table
        else message_box_html(f"{read:.0%} of what is right was looked up first.")
    )
    return (
        f'<section class="mt-outcome">{heading_html(headline)}'
        f"{environment_view.score_explanation_html(steps, reset)}{looked_up}</section>"
    )


def convert_playback_to_recording_jsonl(playback: Playback) -> str:
    """Return the steps so far as a recording, in JSON Lines.

    The Runs tab and `metric-tracker replay` can read the recording.
    """
    stream = io.StringIO()
    opening, *frames = playback.steps
    recorder = RunRecorder(
        stream, playback.player, playback.reset, opening.observation, playback.environment
    )
    for frame in frames:
        recorder.record_step(frame.action, frame.observation, frame.elapsed_s)
    last = frames[-1].observation if frames else {}
    if last.get("done"):
        recorder.record_end(float(last.get("reward") or 0.0), last)
    return stream.getvalue()
