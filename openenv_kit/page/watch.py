"""Tab Watch: see a scripted policy or a recorded run play, step by step."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from openenv_kit.environment import default_tasks
from openenv_kit.errors import ConfigurationError, require_name
from openenv_kit.page.forms import arguments_of, form_html, sent
from openenv_kit.page.layout import html, saves
from openenv_kit.page.markup import heading, hint, note
from openenv_kit.page.page import Page, View, expect_visitor
from openenv_kit.page.state import Visitor
from openenv_kit.page.trace import as_jsonl, frames_html, next_error, scene_html
from openenv_kit.page.watching import MAX_FRAMES, MAX_RUN, Playback, recorded, run_of, scripted

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

MINE = "the episode I am in"
NOBODY = "Nobody is playing yet: choose a policy and press Watch, or open a recorded run."
SAYS = "They play an episode of their own; yours goes on where it is."
SEARCH = (
    '<label class="mt-search">Search the steps <input type="search" id="mt-search"></label>'
    '<p class="mt-hint">Keys: <kbd>←</kbd> <kbd>→</kbd>, <kbd>e</kbd> next error, '
    "<kbd>/</kbd> search</p>"
)
MAX_FILE_BYTES = 256_000_000
"""Largest recording that the page's script reads; what it sends of it is one run."""
RECORDING = (
    hint(
        "A .jsonl file that `inference.py --record` or “Save as JSONL” wrote. It is read in your "
        "browser; of its runs only the one you look at is sent here, played again and compared "
        "with the recording, and not kept. An address after ?run= opens one from elsewhere."
    )
    + f'<div id="mt-recording" data-file-bytes="{MAX_FILE_BYTES}" '
    f'data-run-bytes="{MAX_RUN}" data-moves="{MAX_FRAMES}">'
    '<label>Open a recorded run <input type="file" id="mt-upload" accept=".jsonl"></label>'
    '<p role="status" aria-live="polite"></p>'
    '<progress max="1" value="0" aria-label="Reading the recording" hidden></progress>'
    '<div class="mt-runs" hidden>'
    '<label>Search the runs <input type="search" placeholder="player, episode, number"></label>'
    "<label>Run in the file <select></select></label></div></div>"
)
TICK_S = 0.7
"""Pause between two steps while a player plays on its own."""


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    html(heading("Watch somebody play", SAYS))
    problem = html()
    html(form_html("policy", "watch_policy", "Watch", schema_of(page.scenes)) + RECORDING)
    with gr.Column(visible=False) as shown:
        with gr.Row(elem_classes="mt-actions"):
            back = gr.Button("← Back", size="sm", min_width=80, elem_id="mt-back")
            step = gr.Button("Step →", size="sm", min_width=80, elem_id="mt-step")
            play = gr.Button("Play", size="sm", min_width=80, elem_id="mt-play")
            end = gr.Button("To the end", size="sm", min_width=100, elem_id="mt-end")
            error = gr.Button("Next error", size="sm", min_width=100, elem_id="mt-error")
            save = gr.Button("Save as JSONL", size="sm", min_width=120, elem_id="mt-save")
        with gr.Row(equal_height=False, elem_classes="mt-trace"):
            with gr.Column(min_width=240, scale=2, elem_classes="mt-steps"):
                html(SEARCH)
                frames = html(elem_id="mt-frames")
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                scene = html(elem_id="mt-scene")
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                board = html(elem_id="mt-watched")
    timer = gr.Timer(TICK_S, active=False)

    page.views["watch"] = View(
        [shown, scene, frames, play, timer, board], lambda v: show(page.scenes, v)
    )
    page.views["refusal"] = View([problem], lambda v: [note(v.problem, "bad")])
    watch = ["watch", "refusal"]
    page.on_bridge(page.bridge.watch_policy, partial(_watch_policy, page.scenes), watch)
    page.on(step.click, _step, (), watch)
    page.on(back.click, _back, (), watch)
    page.on(play.click, _toggle, (), watch)
    page.on(error.click, _to_error, (), watch)
    saves(save, page.state, _file)
    page.on(end.click, _to_end, (), watch, wait_on=[scene])
    page.on(timer.tick, _tick, (), watch, trigger_mode="once")
    page.on_bridge(page.bridge.open_run, _load, watch)
    page.on_bridge(page.bridge.pick_frame, _go, watch)


def schema_of(scenes: Scenes) -> dict[str, Any]:
    """Fields of the form that chooses whom to watch."""
    policies = scenes.environment.policies
    said = "; ".join(f"{name}: {each.description}" for name, each in policies.items())
    return {
        "properties": {
            "policy": {"enum": list(policies), "default": "reference"},
            "episode": {"enum": [MINE, *scenes.environment.tasks]},
        },
        "required": ["policy", "episode"],
        "description": said,
    }


def _watch_policy(scenes: Scenes, visitor: Visitor, told: object) -> None:
    policies = visitor.environment.policies
    given = arguments_of(schema_of(scenes), sent(told)[1])
    chosen = policies[require_name("policy", str(given.get("policy")), policies)]
    episode = str(given.get("episode", MINE))
    if episode == MINE and not visitor.started:
        episode = default_tasks(visitor.environment)[0]
    reset = visitor.reset if episode == MINE else scenes.reset_of_task(episode)
    visitor.watch(scripted(chosen, dict(reset), visitor.environment))


def _advance(visitor: Visitor) -> None:
    playback = _playback(visitor)
    playback.advance()
    if playback.finished and playback.at == len(playback.frames) - 1:
        visitor.playing = False


def _step(visitor: Visitor) -> None:
    visitor.playing = False
    _advance(visitor)


def _back(visitor: Visitor) -> None:
    _go(visitor, _playback(visitor).at - 1)


def _toggle(visitor: Visitor) -> None:
    _playback(visitor)
    visitor.playing = not visitor.playing


def _tick(visitor: Visitor) -> None:
    if visitor.playing:
        _advance(visitor)


def _to_end(visitor: Visitor) -> None:
    visitor.playing = False
    _playback(visitor).run_to_end()


def _to_error(visitor: Visitor) -> None:
    visitor.playing = False
    playback = _playback(visitor)
    place = next_error(playback)
    if place is None:
        raise ConfigurationError("No step so far has an error.")
    playback.go(place)


def _file(visitor: Visitor) -> list[str]:
    """Name and text of the recording of the play that is watched."""
    expect_visitor(visitor)
    with visitor.lock:
        if visitor.playback is None:
            raise gr.Error(NOBODY, print_exception=False)
        return [f"{visitor.playback.task_id}.jsonl", as_jsonl(visitor.playback)]


def _go(visitor: Visitor, at: Any) -> None:
    """Look at a move, by its index from the slider or as text from the list."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):  # a call past the page
        index = int(at)
        if visitor.playback:
            visitor.playing = False
            visitor.playback.go(index)


def _load(visitor: Visitor, text: object) -> None:
    """Play a recording again, whose text the page's own script cut out of a file."""
    run, problem = run_of(str(text or ""))
    visitor.watch(recorded(run, visitor.environment))
    visitor.problem = problem


def _playback(visitor: Visitor) -> Playback:
    if visitor.playback is None:
        raise ConfigurationError(NOBODY)
    return visitor.playback


def show(scenes: Scenes, visitor: Visitor) -> Sequence[Any]:
    """Values of the tab's components, in the order of `watch.build`."""
    playback = visitor.playback
    if playback is None:
        hidden = [gr.update(visible=False), "", "", "Play"]
        return [*hidden, gr.update(active=False), ""]
    last = len(playback.frames) - 1
    waits = "" if playback.finished else " To the end plays on."
    return [
        gr.update(visible=True),
        scene_html(scenes, playback) + (hint(f"{last} steps so far.{waits}") if waits else ""),
        frames_html(scenes, playback),
        "Pause" if visitor.playing else "Play",
        gr.update(active=visitor.playing),
        scenes.picture_html(playback.so_far, playback.reset),
    ]
