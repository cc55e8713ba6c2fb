"""What the Watch tab shows of a play: the move, its answer, the charts, all moves so far."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from openenv_kit.page import charts
from openenv_kit.page.drafts import drafts
from openenv_kit.page.markup import bar, button, hint, note, text
from openenv_kit.page.results import result_html, rows_table
from openenv_kit.page.state import Visitor
from openenv_kit.page.watching import Frame, Playback


def show(visitor: Visitor) -> Sequence[Any]:
    """Values of the tab's components, in the order of `watch.build`."""
    playback = visitor.playback
    hidden = gr.update(visible=False)
    if playback is None:
        empty = note(visitor.problem, "bad") or hint("Nobody is playing yet.")
        return [empty, "", hidden, "Play", gr.update(active=False), hidden, hidden]
    # Asked before the frames are counted: a player in another thread adds frames, then finishes.
    more_to_come = visitor.playing or playback.waiting
    if playback.hurried:
        playback.catch_up()
    last = len(playback.frames) - 1
    episode, findings = playback.view.episode, _findings(playback)
    day = _day(playback) or episode.dates[0]
    return [
        (note(visitor.problem, "bad") if visitor.problem else "") + scene_html(playback),
        frames_html(playback),
        gr.update(maximum=max(last, 1), value=playback.at, visible=last > 0),
        "Pause" if visitor.playing else "Play",
        gr.update(active=more_to_come),
        gr.update(value=charts.daily_counts(episode, day, findings), visible=True),
        gr.update(value=charts.conversion_rates(episode, day, findings), visible=True),
    ]


def _findings(playback: Playback) -> list[dict[str, Any]]:
    """What the player's tools have flagged, and what it reported, up to the frame looked at."""
    rows: list[dict[str, Any]] = []
    for frame in playback.frames[: playback.at + 1]:
        answered = frame.observation.get("analysis_result")
        if answered:
            rows.extend(drafts(playback.view, answered["result"]))
        rows.extend(frame.observation.get("submitted_rows") or ())
    return rows


def _day(playback: Playback) -> str | None:
    """The day that the player last looked at."""
    for frame in reversed(playback.frames[: playback.at + 1]):
        arguments = frame.action.get("analysis_args")
        date = arguments.get("date") if isinstance(arguments, Mapping) else None
        if isinstance(date, str) and date in playback.view.episode.day_of:
            return date
    return None


def scene_html(playback: Playback) -> str:
    """The move that is looked at: what was done, what came back."""
    frame, last = playback.frame, len(playback.frames) - 1
    more = "" if playback.finished else "+"
    words = f"<blockquote>{escape(frame.words)}</blockquote>" if frame.words else ""
    top = (
        f'<p class="mt-eyebrow">{escape(playback.player)} · step {playback.at} of {last}{more}</p>'
        f"<h3><code>{escape(describe(frame))}</code></h3>"
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
    return f'<section class="mt-card">{top}{_answer(frame)}</section>'


def describe(frame: Frame) -> str:
    """An action in one line."""
    action = frame.action
    if not action:
        return "an answer without a tool call" if frame.words else "reset"
    if action.get("analysis_method"):
        arguments = action.get("analysis_args") or {}
        if not isinstance(arguments, Mapping):
            return f"{action['analysis_method']}({arguments})"
        inner = ", ".join(f"{name}={json.dumps(value)}" for name, value in arguments.items())
        return f"{action['analysis_method']}({inner})"
    if action.get("payload_generators"):
        return f"submit what {len(action['payload_generators'])} generator(s) find"
    return f"submit {len(action.get('classifications') or [])} row(s)"


def _answer(frame: Frame) -> str:
    seen = frame.observation
    parts = []
    if seen.get("analysis_result"):
        answer = result_html(seen["analysis_result"]["result"])
        parts.append(f"<details open><summary>Answer</summary>{answer}</details>")
    if seen.get("done"):
        score = float(seen.get("reward") or 0.0)
        parts.append(bar("score", score, f"{score:.4f}"))
    if seen.get("submitted_rows"):
        parts.append(rows_table(seen["submitted_rows"], "submitted rows"))
    return "".join(parts)


def frames_html(playback: Playback) -> str:
    """Every move so far; each is a button that goes back to it."""
    lines = "".join(
        f'<li class="{"now" if at == playback.at else ""}">'
        + button("pick_frame", at, f"{at}. {describe(frame)}"[:120], style="link")
        + f"<small>{escape(str(frame.observation.get('status', '')))}</small></li>"
        for at, frame in enumerate(playback.frames)
    )
    return f'<ol class="mt-frames">{lines}</ol>'
