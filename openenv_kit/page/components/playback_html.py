"""A watched play as a trace: its steps in a list, and the step looked at with all that it holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import Any

from openenv_kit.environment import ERROR
from openenv_kit.page.components.elements import button, heading, json_html, note, text
from openenv_kit.page.environment_view import Frames, Scenes, answer_of, style_of_page
from openenv_kit.page.playback import Frame, Playback
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.session import GROUNDED

PAPER = (
    ":root { --body-text-color: #1d2430; --body-text-color-subdued: #566; --color-accent: #1a7f37;"
    " --background-fill-primary: #fff; --background-fill-secondary: #f3f5f8;"
    " --border-color-primary: #d9dee6; --font-mono: ui-monospace, monospace; }"
    " body { max-width: 1200px; margin: 0 auto; padding: 16px; color: var(--body-text-color);"
    " font: 15px/1.5 system-ui, sans-serif; }"
)
"""What Gradio's theme gives the page's style sheet, for a file of its own."""


def _transport_html(playback: Playback) -> str:
    """Buttons that go to another step; `back` and `play` are done by the page's script."""
    over = playback.finished and playback.at == len(playback.frames) - 1
    buttons = (
        ("pick_frame", "back", "← Back", playback.at == 0),
        ("pick_frame", "on", "Step →", over),
        ("play", "", "Play", over),
        ("pick_frame", "end", "To the end", over),
    )
    return "".join(button(*each, style="off" if off else "") for *each, off in buttons)


def scene_html(scenes: Scenes, playback: Playback) -> str:
    """The move looked at, below the buttons that go to another."""
    last, waits = len(playback.frames) - 1, not playback.finished
    top = f"{playback.player} · step {playback.at} of {last}{'+' if waits else ''}"
    return (
        f'<section class="mt-card" data-step="{playback.at}"><div class="mt-transport">'
        f'{_transport_html(playback)}</div><p class="mt-eyebrow">{escape(top)}</p>'
        f"{step_html(scenes, playback, playback.at)}</section>"
    )


def step_html(scenes: Scenes, playback: Playback, at: int) -> str:
    """What was done in a step, and all of the reply."""
    frame = playback.frames[at]
    seen = frame.observation
    took = f"took {1000 * frame.elapsed_s:.1f} ms" if frame.elapsed_s else ""
    top = f'<h3><code>{escape(describe(scenes, frame))}</code></h3><p class="mt-took">{took}</p>'
    if frame.same is not None:
        same = note("The same answer as in the recording.", "good")
        top += same if frame.same else note("In the recording the answer is another one.", "bad")
    answer = scenes.answer_html(seen) or f"<p>{text(str(seen.get('message', '')))}</p>"
    # A tag of its own: of one of the same tag Gradio would change the text, and leave it scrolled.
    tag, place = f"mt-reply-{at}", 'tabindex="0" role="region" aria-label="Answer"'
    top += f'<{tag} class="mt-reply" {place}>{answer}</{tag}>'
    whole = json_html(frame.action, "Call, as it was made") if frame.action else ""
    ending = ending_html(scenes, playback.frames[: at + 1], playback.reset)
    return top + ending + whole + json_html(answer_of(scenes.environment, seen))


def describe(scenes: Scenes, frame: Frame) -> str:
    """A move in one line."""
    return scenes.describe(frame.action) if frame.action else "reset"


def ending_html(scenes: Scenes, frames: Frames, reset: Mapping[str, Any]) -> str:
    """What a play came to, and how much of what is right is no guess; empty before its end."""
    last = frames[-1].observation if frames else {}
    if not last.get("done"):
        return ""
    read = (last.get("metadata") or {}).get(GROUNDED)
    looked_up = "" if read is None else note(f"{read:.0%} of what is right was looked up first.")
    return (
        f'<section class="mt-outcome">{heading(scenes.headline(frames))}'
        f"{scenes.story_html(frames, reset)}{looked_up}</section>"
    )


def frames_html(scenes: Scenes, playback: Playback) -> str:
    """Every step so far; each is a button that goes to it."""
    lines = "".join(
        _frame_line(at, frame, describe(scenes, frame), at == playback.at)
        for at, frame in enumerate(playback.frames)
    )
    return f'<ol class="mt-frames" aria-label="Steps">{lines}</ol>'


def _frame_line(at: int, frame: Frame, title: str, now: bool) -> str:
    seen = frame.observation
    wrong = seen.get("status") == ERROR or frame.same is False
    style = " ".join(["now"] * now + ["error"] * wrong)
    current = ' aria-current="step"' if now else ""
    return (
        f'<li class="{style}"{current}>'
        + button("pick_frame", at, f"{at}. {title}"[:120], style="link")
        + f"<small>{escape(str(seen.get('status', '')))}</small></li>"
    )


def as_jsonl(playback: Playback) -> str:
    """The play so far as a recording, which this page and `metric-tracker replay` play again."""
    stream = io.StringIO()
    opening, *frames = playback.frames
    recorder = RunRecorder(
        stream, playback.player, playback.reset, opening.observation, playback.environment
    )
    for frame in frames:
        recorder.step(frame.action, frame.observation, frame.elapsed_s)
    last = frames[-1].observation if frames else {}
    if last.get("done"):
        recorder.end(float(last.get("reward") or 0.0), last)
    return stream.getvalue()


def as_html(scenes: Scenes, playback: Playback) -> str:
    """The play so far as one file that loads nothing else: its picture and every step."""
    title = f"{playback.player}: {playback.task_id}"
    steps = "".join(
        f"<details><summary>{at}. {escape(describe(scenes, frame))}</summary>"
        f'<div class="mt-card">{step_html(scenes, playback, at)}</div></details>'
        for at, frame in enumerate(playback.frames)
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{PAPER}{style_of_page(scenes)}</style>"
        f'<body class="gradio-container"><main><h1>{escape(title)}</h1>'
        f"<p>{escape(scenes.headline(playback.frames))}</p>"
        f"{scenes.picture_html(playback.frames, playback.reset)}{steps}</main></body></html>"
    )
