"""A watched play as a trace: its steps in a list, and the step looked at with all that it holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from openenv_kit.environment import ERROR
from openenv_kit.page.bench import json_html
from openenv_kit.page.markup import bar, button, note, text
from openenv_kit.page.watching import Frame, Playback
from openenv_kit.play.recording import RunRecorder
from openenv_kit.session import GROUNDED

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

MOST_SEARCHED = 400
"""Characters of a step's call and message that the search looks at."""


def scene_html(scenes: Scenes, playback: Playback) -> str:
    """The move looked at: what was done, and the reply."""
    frame, last = playback.frame, len(playback.frames) - 1
    more = "" if playback.finished else "+"
    top = (
        f'<p class="mt-eyebrow">{escape(playback.player)} · step {playback.at} of {last}{more}</p>'
        f"<h3><code>{escape(describe(scenes, frame))}</code></h3>"
        f"{took_html(frame)}"
        f"<p>{text(str(frame.observation.get('message', '')))}</p>"
    )
    if frame.same is not None:
        told = "is" if frame.same else "differs from"
        top += note(f"The answer {told} the recorded one.", "good" if frame.same else "bad")
    seen = frame.observation
    answer = scenes.answer_html(seen)
    if answer:
        top += f"<details open><summary>Answer</summary>{answer}</details>"
    whole = json_html(frame.action, "Call, as it was made") if frame.action else ""
    whole += json_html(scenes.answer(seen))
    outcome = score_bar(seen) + scenes.outcome_html(seen)
    return f'<section class="mt-card" data-step="{playback.at}">{top}{outcome}{whole}</section>'


def took_html(frame: Frame) -> str:
    """The time of the step, where it was measured."""
    return f'<p class="mt-took">took {1000 * frame.elapsed_s:.1f} ms</p>' if frame.elapsed_s else ""


def describe(scenes: Scenes, frame: Frame) -> str:
    """A move in one line."""
    return scenes.describe(frame.action) if frame.action else "reset"


def score_bar(observation: Mapping[str, Any]) -> str:
    """The score, once the episode is over, and how much of what is right is no guess."""
    if not observation.get("done"):
        return ""
    score = float(observation.get("reward") or 0.0)
    read = (observation.get("metadata") or {}).get(GROUNDED)
    told = "" if read is None else note(f"Of what is right, {read:.0%} had been read beforehand.")
    return bar("score", score, f"{score:.4f}") + told


def is_error(frame: Frame) -> bool:
    """Whether a call failed, or the reply is not the recorded one."""
    return frame.observation.get("status") == ERROR or frame.same is False


def next_error(playback: Playback) -> int | None:
    """Index of the next step with an error, from the beginning again after the last; or None."""
    count, at = len(playback.frames), playback.at
    places = [(at + 1 + step) % count for step in range(count)]
    return next((place for place in places if is_error(playback.frames[place])), None)


def frames_html(scenes: Scenes, playback: Playback) -> str:
    """Every step so far; each is a button that goes to it."""
    lines = "".join(
        _frame_line(at, frame, describe(scenes, frame), at == playback.at)
        for at, frame in enumerate(playback.frames)
    )
    return f'<ol class="mt-frames" aria-label="Steps">{lines}</ol>'


def _frame_line(at: int, frame: Frame, told: str, now: bool) -> str:
    seen = frame.observation
    searched = f"{told} {seen.get('message', '')}".lower()[:MOST_SEARCHED]
    style = " ".join(["now"] * now + ["error"] * is_error(frame))
    current = ' aria-current="step"' if now else ""
    return (
        f'<li class="{style}" data-text="{escape(searched)}"{current}>'
        + button("pick_frame", at, f"{at}. {told}"[:120], style="link")
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
