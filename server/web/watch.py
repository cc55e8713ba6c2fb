"""Tab Watch: see a scripted policy, a model or a recorded run play, step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from metric_tracker_rl.errors import ConfigurationError
from metric_tracker_rl.policies import POLICIES, get_policy
from metric_tracker_rl.tasks import TASKS
from server.web import charts
from server.web.drafts import drafts
from server.web.markup import bar, button, heading, hint, note, text
from server.web.page import Page, View
from server.web.results import result_html, rows_table
from server.web.state import Visitor
from server.web.watching import Frame, Playback, recorded, runs_of, scripted

SAME_EPISODE = "my episode"
TICK_S = 0.7
"""Pause between two steps while a player plays on its own."""


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    gr.HTML(heading("Watch somebody play", "Players have a session of their own; yours stays as it is."))
    with gr.Row(equal_height=False):
        with gr.Column(min_width=280, scale=1):
            with gr.Tabs(elem_classes="mt-sources"):
                with gr.Tab("Policy"):
                    policy = gr.Radio(
                        [(f"{each.name}: {each.description}", name) for name, each in POLICIES.items()],
                        value="reference",
                        label="Scripted policy",
                        elem_classes="mt-tasks",
                    )
                    episodes = [("The episode I am in", SAME_EPISODE), *((t, t) for t in TASKS)]
                    episode = gr.Dropdown(episodes, value=SAME_EPISODE, label="Episode")
                    seat = gr.Button("Take a seat", variant="primary", elem_id="mt-seat")
                with gr.Tab("Recording"):
                    upload = gr.File(
                        label="Recorded run (.jsonl)", file_types=[".jsonl"], elem_id="mt-upload"
                    )
                    which = gr.Dropdown([], label="Run in the file", visible=False)
        with gr.Column(min_width=300, scale=2, elem_classes="mt-watch"):
            with gr.Row(elem_classes="mt-actions"):
                back = gr.Button("← Back", size="sm", min_width=80, elem_id="mt-back")
                step = gr.Button("Step →", size="sm", min_width=80, elem_id="mt-step")
                play = gr.Button("Play", size="sm", min_width=80, elem_id="mt-play")
                end = gr.Button("To the end", size="sm", min_width=100, elem_id="mt-end")
            scrub = gr.Slider(0, 1, 0, step=1, label="Step", visible=False, elem_id="mt-scrub")
            scene = gr.HTML(elem_id="mt-scene")
            counts = gr.Plot(show_label=False, visible=False, elem_classes="mt-chart", container=False)
            rates = gr.Plot(show_label=False, visible=False, elem_classes="mt-chart", container=False)
            frames = gr.HTML(elem_id="mt-frames")
    timer = gr.Timer(TICK_S, active=False)

    page.views["watch"] = View([scene, frames, scrub, play, timer, counts, rates], _show)
    page.views["runs"] = View([which], _run_choice)

    def wire() -> None:
        watch = ["watch"]
        page.on(seat.click, _seat, [policy, episode], watch, wait_on=[scene])
        page.on(step.click, _step, (), watch, wait_on=())
        page.on(back.click, _back, (), watch, wait_on=())
        page.on(play.click, _toggle, (), watch, wait_on=())
        page.on(end.click, _to_end, (), watch, wait_on=[scene])
        page.on(timer.tick, _tick, (), watch, wait_on=(), trigger_mode="once")
        page.on(scrub.input, _scrub, [scrub], watch, wait_on=(), trigger_mode="always_last")
        page.on(upload.upload, _load, [upload], ["runs", "watch"], wait_on=[scene])
        page.on(which.input, _choose_run, [which], watch, wait_on=[scene])
        page.on_bridge(page.bridge.pick_frame, _jump, watch)

    page.wiring.append(wire)


def _seat(visitor: Visitor, policy: str, episode: str) -> None:
    visitor.view  # noqa: B018 - makes sure that there is an episode
    reset = visitor.reset if episode == SAME_EPISODE else {"task_id": episode}
    visitor.playing = False
    visitor.playback = scripted(get_policy(policy), reset)


def _step(visitor: Visitor) -> None:
    visitor.playing = False
    _advance(visitor)


def _advance(visitor: Visitor) -> None:
    playback = _playback(visitor)
    playback.advance()
    if playback.finished and playback.at == len(playback.frames) - 1:
        visitor.playing = False


def _back(visitor: Visitor) -> None:
    visitor.playing = False
    playback = _playback(visitor)
    playback.go(playback.at - 1)


def _toggle(visitor: Visitor) -> None:
    _playback(visitor)
    visitor.playing = not visitor.playing


def _tick(visitor: Visitor) -> None:
    if visitor.playing:
        _advance(visitor)


def _to_end(visitor: Visitor) -> None:
    visitor.playing = False
    playback = _playback(visitor)
    playback.run_to_end()
    playback.go(len(playback.frames) - 1)


def _scrub(visitor: Visitor, at: float) -> None:
    if visitor.playback:
        visitor.playing = False
        visitor.playback.go(int(at))


def _jump(visitor: Visitor, at: object) -> None:
    if str(at).isdigit():
        _scrub(visitor, int(str(at)))


def _load(visitor: Visitor, path: str | None) -> None:
    if path is None:
        return
    visitor.playing = False
    visitor.runs = runs_of(Path(path))
    visitor.playback = recorded(visitor.runs[0])


def _choose_run(visitor: Visitor, at: int) -> None:
    visitor.playing = False
    if isinstance(at, int) and 0 <= at < len(visitor.runs):
        visitor.playback = recorded(visitor.runs[at])


def _playback(visitor: Visitor) -> Playback:
    if visitor.playback is None:
        raise ConfigurationError("Nobody plays yet: choose a policy and take a seat, or load a run.")
    return visitor.playback


def _run_choice(visitor: Visitor) -> list[Any]:
    runs = visitor.runs
    choices = [(f"{at + 1}. {run.player}: {_episode_of(run.reset)}", at) for at, run in enumerate(runs)]
    return [gr.update(choices=choices, value=0 if runs else None, visible=len(runs) > 1)]


def _episode_of(reset: Mapping[str, Any]) -> str:
    return str(reset.get("task_id") or f"seed {reset.get('seed', 'of the default task')}")


def _show(visitor: Visitor) -> list[Any]:
    playback = visitor.playback
    hidden = gr.update(visible=False)
    if playback is None:
        empty = note(visitor.problem, "bad") or hint("Nobody plays yet.")
        return [empty, "", hidden, "Play", gr.update(active=False), hidden, hidden]
    last = len(playback.frames) - 1
    episode, findings = playback.view.episode, _findings(playback)
    day = _day(playback) or episode.dates[0]
    return [
        (note(visitor.problem, "bad") if visitor.problem else "") + scene_html(playback),
        frames_html(playback),
        gr.update(maximum=max(last, 1), value=playback.at, visible=last > 0),
        "Pause" if visitor.playing else "Play",
        gr.update(active=visitor.playing),
        gr.update(value=charts.daily_counts(episode, day, findings), visible=True),
        gr.update(value=charts.conversion_rates(episode, day, findings), visible=True),
    ]


def _findings(playback: Playback) -> list[dict[str, Any]]:
    """What the player's tools have flagged up to the frame that is looked at."""
    rows: list[dict[str, Any]] = []
    for frame in playback.frames[: playback.at + 1]:
        answered = frame.observation.get("analysis_result")
        if answered:
            rows.extend(drafts(playback.view, answered["result"]))
    return rows


def _day(playback: Playback) -> str | None:
    """The day that the player last looked at."""
    for frame in reversed(playback.frames[: playback.at + 1]):
        date = frame.action.get("analysis_args", {}).get("date")
        if date in playback.view.episode.day_of:
            return str(date)
    return None


def scene_html(playback: Playback) -> str:
    """The move that is looked at: what was done, what came back."""
    frame, last = playback.frame, len(playback.frames) - 1
    more = "" if playback.finished else "+"
    top = (
        f'<p class="mt-eyebrow">{escape(playback.player)} · step {playback.at} of {last}{more}</p>'
        f"<h3><code>{escape(describe(frame))}</code></h3>"
        f"<p>{text(str(frame.observation.get('message', '')))}</p>"
    )
    if frame.remark:
        top += f"<blockquote>{escape(frame.remark)}</blockquote>"
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
        return "reset"
    if action.get("analysis_method"):
        arguments = action.get("analysis_args") or {}
        inner = ", ".join(f"{name}={json.dumps(value)}" for name, value in arguments.items())
        return f"{action['analysis_method']}({inner})"
    if action.get("payload_generators"):
        return f"submit what {len(action['payload_generators'])} generator(s) find"
    return f"submit {len(action.get('classifications') or [])} row(s)"


def _answer(frame: Frame) -> str:
    seen = frame.observation
    parts = []
    if seen.get("analysis_result"):
        parts.append(f"<details open><summary>Answer</summary>{result_html(seen['analysis_result']['result'])}</details>")
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
