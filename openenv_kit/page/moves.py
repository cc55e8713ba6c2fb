"""What the Watch tab shows of a play: the move looked at, its reply, and all moves so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from openenv_kit.page.markup import bar, button, hint, note, text
from openenv_kit.page.state import Visitor
from openenv_kit.page.watching import Frame, Playback, call_text

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes


def show(scenes: Scenes, visitor: Visitor) -> Sequence[Any]:
    """Values of the tab's components, in the order of `watch.build`."""
    playback = visitor.playback
    if playback is None:
        empty = note(visitor.problem, "bad") or hint("Nobody is playing yet.")
        idle = gr.update(active=False)
        return [empty, "", gr.update(visible=False), "Play", idle, *scenes.show_board(None)]
    # Asked before the frames are counted: a player in another thread adds frames, then finishes.
    more_to_come = visitor.playing or playback.waiting
    if playback.hurried:
        playback.catch_up()
    last = len(playback.frames) - 1
    return [
        note(visitor.problem, "bad") + scene_html(scenes, playback),
        frames_html(scenes, playback),
        gr.update(maximum=max(last, 1), value=playback.at, visible=last > 0),
        "Pause" if visitor.playing else "Play",
        gr.update(active=more_to_come),
        *scenes.show_board(playback),
    ]


def scene_html(scenes: Scenes, playback: Playback) -> str:
    """The move looked at: what was done, and the reply."""
    frame, last = playback.frame, len(playback.frames) - 1
    more = "" if playback.finished else "+"
    words = f"<blockquote>{escape(frame.words)}</blockquote>" if frame.words else ""
    top = (
        f'<p class="mt-eyebrow">{escape(playback.player)} · step {playback.at} of {last}{more}</p>'
        f"<h3><code>{escape(describe(scenes, frame))}</code></h3>"
        f"{words}<p>{text(str(frame.observation.get('message', '')))}</p>"
    )
    if playback.waiting:
        top += note("The model is thinking …")
    elif playback.remark and playback.at == last:
        top += note(playback.remark, "bad")
    if frame.same is not None:
        top += (
            note("The answer is the recorded one.", "good")
            if frame.same
            else note("The answer differs from the recorded one.", "bad")
        )
    return f'<section class="mt-card">{top}{_answer(scenes, frame)}</section>'


def describe(scenes: Scenes, frame: Frame) -> str:
    """A move in one line."""
    if frame.refused:
        return call_text(*frame.refused)
    if not frame.action:
        return "an answer without a tool call" if frame.words else "reset"
    return scenes.describe(frame.action)


def _answer(scenes: Scenes, frame: Frame) -> str:
    seen = frame.observation
    answer = "" if frame.refused else scenes.answer_html(seen)
    folded = f"<details open><summary>Answer</summary>{answer}</details>" if answer else ""
    return folded + score_bar(seen) + scenes.outcome_html(seen)


def score_bar(observation: Mapping[str, Any]) -> str:
    """The score, once the episode is over."""
    score = float(observation.get("reward") or 0.0)
    return bar("score", score, f"{score:.4f}") if observation.get("done") else ""


def frames_html(scenes: Scenes, playback: Playback) -> str:
    """Every move so far; each is a button that goes back to it."""
    lines = "".join(
        f'<li class="{"now" if at == playback.at else ""}">'
        + button("pick_frame", at, f"{at}. {describe(scenes, frame)}"[:120], style="link")
        + f"<small>{escape(str(frame.observation.get('status', '')))}</small></li>"
        for at, frame in enumerate(playback.frames)
    )
    return f'<ol class="mt-frames">{lines}</ol>'
