"""Tab Watch: see a scripted policy or a recorded run play, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from openenv_kit.environment import default_tasks
from openenv_kit.errors import require_name
from openenv_kit.page.forms import arguments_of, form_html, sent
from openenv_kit.page.markup import heading, hint, note
from openenv_kit.page.page import Page, View, expect_visitor, html, saves
from openenv_kit.page.state import Visitor
from openenv_kit.page.trace import as_html, as_jsonl, frames_html, scene_html
from openenv_kit.page.watching import (
    MAX_FRAMES,
    MAX_RUN,
    Playback,
    recorded,
    run_of,
    scripted,
)

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

MINE = "the episode I am in"
SAYS = "They play an episode of their own; yours goes on where it is."
SEARCH = (
    '<label class="mt-search">Search the steps <input type="search" id="mt-search"></label>'
    '<p class="mt-hint">Keys: <kbd>←</kbd> <kbd>→</kbd>, <kbd>e</kbd> next error, '
    "<kbd>/</kbd> search, <kbd>n</kbd> <kbd>p</kbd> next run and the one before</p>"
)
MAX_FILE_BYTES = 256_000_000
"""Largest recording that the page's script reads; what it sends of it is one run."""
RECORDING = (
    hint(
        "Files that `inference.py --record` or “Save as JSONL” wrote, or a folder of them. They "
        "are read in your browser; only the run you look at is sent here, played again and "
        "compared with the recording, and not kept. An address after ?run= opens one from "
        "elsewhere."
    )
    + f'<div id="mt-recording" data-file-bytes="{MAX_FILE_BYTES}" '
    f'data-run-bytes="{MAX_RUN}" data-moves="{MAX_FRAMES}">'
    '<label>Open recorded runs <input type="file" class="mt-upload" accept=".jsonl" multiple>'
    '</label><label>or a folder of them <input type="file" class="mt-upload" webkitdirectory>'
    '</label><p role="status" aria-live="polite"></p>'
    '<div class="mt-runs" hidden><button type="button" class="mt-btn" data-mt="run_by" '
    'data-value="-1">← Run before</button> <button type="button" class="mt-btn" data-mt="run_by" '
    'data-value="1">Next run →</button><label>Search the runs <input type="search" '
    'placeholder="player, episode"></label><div class="mt-scroll" tabindex="0" role="region" '
    'aria-label="Runs by episode and player"><table class="mt-table"></table></div></div></div>'
)


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    html(heading("Watch somebody play", SAYS))
    problem = html()
    html(form_html("policy", "watch_policy", "Watch", schema_of(page.scenes)) + RECORDING)
    with gr.Column(visible=False) as shown:
        with gr.Row(equal_height=False, elem_classes="mt-trace"):
            with gr.Column(min_width=240, scale=2, elem_classes="mt-steps"):
                html(SEARCH)
                frames = html(elem_id="mt-frames")
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                scene = html(elem_id="mt-scene")
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                board = html(elem_id="mt-watched")
        with gr.Row(elem_classes="mt-actions"):
            jsonl = gr.Button("Save as JSONL", size="sm", elem_id="mt-save")
            whole = gr.Button("Save as HTML", size="sm", elem_id="mt-html")
    page.views["watch"] = View([shown, scene, frames, board], partial(show, page.scenes))
    page.views["refusal"] = View([problem], lambda v: [note(v.problem, "bad")])
    watch = ["watch", "refusal"]
    page.on_bridge(page.bridge.watch_policy, partial(_watch_policy, page.scenes), watch)
    page.on_bridge(page.bridge.open_run, _load, watch)
    # Each counts: a second click on Step is a second step.
    page.on_bridge(page.bridge.pick_frame, _go, watch, trigger_mode="multiple", concurrency_limit=1)
    saves(jsonl, page.state, partial(_file, "jsonl", as_jsonl))
    saves(whole, page.state, partial(_file, "html", partial(as_html, page.scenes)))


def schema_of(scenes: Scenes) -> dict[str, Any]:
    """Fields of the form that chooses whom to watch."""
    return {
        "properties": {
            "policy": {"enum": list(scenes.environment.policies), "default": "reference"},
            "episode": {"enum": [MINE, *scenes.environment.tasks]},
        },
        "required": ["policy", "episode"],
    }


def _watch_policy(scenes: Scenes, visitor: Visitor, told: object) -> None:
    policies = visitor.environment.policies
    given = arguments_of(schema_of(scenes), sent(told)[1])
    chosen = policies[require_name("policy", str(given.get("policy")), policies)]
    episode = str(given.get("episode", MINE))
    if episode == MINE and not visitor.started:
        episode = default_tasks(visitor.environment)[0]
    reset = visitor.reset if episode == MINE else scenes.reset_of_task(episode)
    visitor.playback = scripted(chosen, dict(reset), visitor.environment)


def _go(visitor: Visitor, at: object) -> None:
    if visitor.playback is not None:
        visitor.playback.look(at)


def _load(visitor: Visitor, text: object) -> None:
    """Play a recording again, whose text the page's own script cut out of a file."""
    run, problem = run_of(str(text or ""))
    visitor.playback = recorded(run, visitor.environment)
    visitor.problem = problem


def _file(kind: str, make: Callable[[Playback], str], visitor: Visitor) -> list[str]:
    """Name and text of a file with the play that is watched."""
    expect_visitor(visitor)
    with visitor.lock:
        if visitor.playback is None:
            raise gr.Error("Nobody is playing yet.", print_exception=False)
        return [f"{visitor.playback.task_id}.{kind}", make(visitor.playback)]


def show(scenes: Scenes, visitor: Visitor) -> Sequence[Any]:
    """Values of the tab's components, in the order of `build`."""
    playback = visitor.playback
    if playback is None:
        return [gr.update(visible=False), "", "", ""]
    return [
        gr.update(visible=True),
        scene_html(scenes, playback),
        frames_html(scenes, playback),
        scenes.picture_html(playback.so_far, playback.reset),
    ]
