"""HTML of a playback: the list of steps, the current step, and files to save."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import Any

from openenv_kit.page.components.elements import (
    button_html,
    collapsed_truncated_json_html,
    heading_html,
    message_box_html,
    value_html,
)
from openenv_kit.page.environment_view import (
    EnvironmentView,
    PlaybackSteps,
    read_page_and_environment_css,
    tool_result_from_observation,
)
from openenv_kit.page.playback import Playback, PlaybackStep
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import EndInfo, ReplyStatus

STANDALONE_CSS = (
    ":root { --body-text-color: #1d2430; --body-text-color-subdued: #566; --color-accent: #1a7f37;"
    " --background-fill-primary: #fff; --background-fill-secondary: #f3f5f8;"
    " --border-color-primary: #d9dee6; --font-mono: ui-monospace, monospace; }"
    " body { max-width: 1200px; margin: 0 auto; padding: 16px; color: var(--body-text-color);"
    " font: 15px/1.5 system-ui, sans-serif; }"
)
"""Values for the CSS variables of Gradio's theme, for pages that are saved to a file."""


def _navigation_html(playback: Playback) -> str:
    """Return the navigation buttons. The page's script handles the events `back` and `play`."""
    over = playback.is_finished and playback.index == len(playback.steps) - 1
    buttons = (
        ("pick_frame", "back", "← Back", playback.index == 0),
        ("pick_frame", "on", "Step →", over),
        ("play", "", "Play", over),
        ("pick_frame", "end", "To the end", over),
    )
    return "".join(button_html(*each, css_class="off" if off else "") for *each, off in buttons)


def navigation_and_current_step_html(environment_view: EnvironmentView, playback: Playback) -> str:
    """Return the navigation buttons and the current step."""
    last, waits = len(playback.steps) - 1, not playback.is_finished
    top = f"{playback.player} · step {playback.index} of {last}{'+' if waits else ''}"
    return (
        f'<section class="mt-card" data-step="{playback.index}"><div class="mt-transport">'
        f'{_navigation_html(playback)}</div><p class="mt-eyebrow">{escape(top)}</p>'
        f"{step_action_and_reply_html(environment_view, playback, playback.index)}</section>"
    )


def step_action_and_reply_html(
    environment_view: EnvironmentView, playback: Playback, step_index: int
) -> str:
    """Return a step's action and reply, followed by the result if the episode has ended."""
    frame = playback.steps[step_index]
    seen = frame.observation
    took = f"took {1000 * frame.elapsed_s:.1f} ms" if frame.elapsed_s else ""
    heading = (
        f"<h3><code>{escape(format_action_or_reset_title(environment_view, frame))}</code></h3>"
    )
    top = f'{heading}<p class="mt-took">{took}</p>'
    if frame.matches_recording is not None:
        same = message_box_html("The same answer as in the recording.", "good")
        top += (
            same
            if frame.matches_recording
            else message_box_html("In the recording the answer is another one.", "bad")
        )
    answer = (
        environment_view.reply_html_without_status_and_message(seen)
        or f"<p>{value_html(str(seen.get('message', '')))}</p>"
    )
    # Each step has a different element name. Otherwise Gradio would update the element in place and
    # keep the scroll position of the previous step.
    tag, place = f"mt-reply-{step_index}", 'tabindex="0" role="region" aria-label="Answer"'
    top += f'<{tag} class="mt-reply" {place}>{answer}</{tag}>'
    whole = (
        collapsed_truncated_json_html(frame.action, "Call, as it was made") if frame.action else ""
    )
    ending = episode_result_html_if_finished(
        environment_view, playback.steps[: step_index + 1], playback.reset
    )
    return (
        top
        + ending
        + whole
        + collapsed_truncated_json_html(
            tool_result_from_observation(environment_view.environment, seen)
        )
    )


def format_action_or_reset_title(environment_view: EnvironmentView, step: PlaybackStep) -> str:
    """Return the action of a step in one line, or `reset` for the first step."""
    return environment_view.format_action_for_display(step.action) if step.action else "reset"


def episode_result_html_if_finished(
    environment_view: EnvironmentView, steps: PlaybackSteps, reset: Mapping[str, Any]
) -> str:
    """Return the result and the evidence share of an episode; empty if it has not ended."""
    last = steps[-1].observation if steps else {}
    if not last.get("done"):
        return ""
    read = EndInfo.from_info(last.get("metadata")).evidence_share
    looked_up = (
        ""
        if read is None
        else message_box_html(f"{read:.0%} of what is right was looked up first.")
    )
    return (
        f'<section class="mt-outcome">{heading_html(environment_view.result_headline(steps))}'
        f"{environment_view.score_explanation_html(steps, reset)}{looked_up}</section>"
    )


def step_list_html(environment_view: EnvironmentView, playback: Playback) -> str:
    """Return the list of steps. A click on an entry shows its step."""
    lines = "".join(
        _step_link_html(
            at,
            frame,
            format_action_or_reset_title(environment_view, frame),
            is_current=at == playback.index,
        )
        for at, frame in enumerate(playback.steps)
    )
    return f'<ol class="mt-frames" aria-label="Steps">{lines}</ol>'


def _step_link_html(index: int, step: PlaybackStep, title: str, *, is_current: bool) -> str:
    seen = step.observation
    wrong = seen.get("status") == ReplyStatus.ERROR or step.matches_recording is False
    style = " ".join(["now"] * is_current + ["error"] * wrong)
    current = ' aria-current="step"' if is_current else ""
    return (
        f'<li class="{style}"{current}>'
        + button_html("pick_frame", index, f"{index}. {title}"[:120], css_class="link")
        + f"<small>{escape(str(seen.get('status', '')))}</small></li>"
    )


def convert_playback_to_recording_jsonl(playback: Playback) -> str:
    """Return the steps so far as a recording, in JSON Lines.

    The Watch tab and `metric-tracker replay` can read the recording.
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


def self_contained_playback_page_html(environment_view: EnvironmentView, playback: Playback) -> str:
    """Return a self-contained HTML page with the overview and the steps so far."""
    title = f"{playback.player}: {playback.task_id}"
    steps = ""
    for index, step in enumerate(playback.steps):
        summary = escape(format_action_or_reset_title(environment_view, step))
        step_html = step_action_and_reply_html(environment_view, playback, index)
        steps += (
            f"<details><summary>{index}. {summary}</summary>"
            f'<div class="mt-card">{step_html}</div></details>'
        )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STANDALONE_CSS}{read_page_and_environment_css(environment_view)}</style>"
        f'<body class="gradio-container"><main><h1>{escape(title)}</h1>'
        f"<p>{escape(environment_view.result_headline(playback.steps))}</p>"
        f"{environment_view.overview_html(playback.steps, playback.reset)}{steps}"
        "</main></body></html>"
    )
