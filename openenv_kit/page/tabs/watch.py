"""Tab Watch: see a scripted policy or a recorded run play, step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from openenv_kit.environment import Environment, default_tasks
from openenv_kit.errors import require_name
from openenv_kit.page.components.elements import heading, hint, note
from openenv_kit.page.components.forms import arguments_of, form_html, sent
from openenv_kit.page.components.playback_html import as_html, as_jsonl, frames_html, scene_html
from openenv_kit.page.environment_view import Scenes
from openenv_kit.page.events import Page, html, saves
from openenv_kit.page.page_address import reset_of_task
from openenv_kit.page.playback import MAX_FRAMES, MAX_RUN, Playback, recorded, run_of, scripted
from openenv_kit.page.visitor import Visitor

WATCH = ("scene", "frames", "watched", "refusal")
MINE = "the episode I am in"
SAYS = "They play an episode of their own; yours goes on where it is."
KEYS = (
    '<p class="mt-hint">Keys: <kbd>←</kbd> <kbd>→</kbd>, <kbd>e</kbd> next error, '
    "<kbd>n</kbd> <kbd>p</kbd> next run and the one before</p>"
)
MAX_FILE_BYTES = 256_000_000
"""Largest recording that the page's script reads; what it sends of it is one run."""
RECORDING = (
    f'<details id="mt-recording" data-file-bytes="{MAX_FILE_BYTES}" '
    f'data-run-bytes="{MAX_RUN}" data-moves="{MAX_FRAMES}"><summary>Open recorded runs</summary>'
    + hint(
        "Files that inference.py --record or “Save as JSONL” wrote, or a folder of them. They "
        "are read in your browser; only the run you look at is sent here, played again and "
        "compared with the recording, and not kept. An address after ?run= opens one from "
        "elsewhere."
    )
    + '<label>Files <input type="file" class="mt-upload" accept=".jsonl" multiple>'
    '</label><label>or a folder of them <input type="file" class="mt-upload" webkitdirectory>'
    '</label><p role="status" aria-live="polite"></p>'
    '<div class="mt-runs" hidden><button type="button" class="mt-btn" data-mt="run_by" '
    'data-value="-1">← Run before</button> <button type="button" class="mt-btn" data-mt="run_by" '
    'data-value="1">Next run →</button><label>Search the runs <input type="search" '
    'placeholder="player, episode"></label><div class="mt-scroll" tabindex="0" role="region" '
    'aria-label="Runs by episode and player"><table class="mt-table"></table></div></div></details>'
)


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    html(heading("Watch somebody play", SAYS))
    page.add_view("refusal", lambda _, visitor: note(visitor.problem, "bad"))
    html(
        form_html("policy", "watch_policy", "Watch", schema_of(page.scenes.environment)) + RECORDING
    )
    with gr.Column(elem_id="mt-watching"):
        with gr.Row(equal_height=False, elem_classes="mt-trace"):
            with gr.Column(min_width=240, scale=2, elem_classes="mt-steps"):
                html(KEYS)
                page.add_view("frames", _shown(frames_html))
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                page.add_view("scene", _shown(scene_html))
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                page.add_view("watched", _shown(lambda s, p: s.picture_html(p.so_far, p.reset)))
        with gr.Row(elem_classes="mt-actions"):
            jsonl = gr.Button("Save as JSONL", size="sm", elem_id="mt-save")
            whole = gr.Button("Save as HTML", size="sm", elem_id="mt-html")
    page.on_bridge(page.bridge.watch_policy, _watch_policy, WATCH)
    page.on_bridge(page.bridge.watch_play, _watch_play, WATCH)
    page.on_bridge(page.bridge.open_run, _load, WATCH)
    # Each counts: a second click on Step is a second step.
    page.on_bridge(page.bridge.pick_frame, _go, WATCH, trigger_mode="multiple")
    saves(jsonl, page.state, partial(_file, "jsonl", as_jsonl))
    saves(whole, page.state, partial(_file, "html", partial(as_html, page.scenes)))


def schema_of(environment: Environment) -> dict[str, Any]:
    """Fields of the form that chooses whom to watch."""
    return {
        "properties": {
            "policy": {"enum": list(environment.policies), "default": "reference"},
            "episode": {"enum": [MINE, *environment.tasks]},
        },
        "required": ["policy", "episode"],
    }


def _watch_policy(visitor: Visitor, form: object) -> None:
    environment = visitor.environment
    policies = environment.policies
    given = arguments_of(schema_of(environment), sent(form)[1])
    chosen = policies[require_name("policy", str(given.get("policy")), policies)]
    episode = str(given.get("episode", MINE))
    if episode == MINE and not visitor.started:
        episode = default_tasks(environment)[0]
    reset = visitor.reset if episode == MINE else reset_of_task(environment, episode)
    visitor.playback = scripted(chosen, dict(reset), environment)


def _watch_play(visitor: Visitor, _: object) -> None:
    """Look at the example that the page opens on, or at the visitor's own play so far."""
    seen = visitor.demo
    if seen is None and visitor.frames:
        seen = Playback("you", iter(visitor.frames), visitor.reset, visitor.environment)
    if seen is not None:
        seen.run_to_end()
        visitor.playback = seen.again()
        visitor.playback.go(0)


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
    if visitor.playback is None:
        raise gr.Error("Nobody is playing yet.", print_exception=False)
    return [f"{visitor.playback.task_id}.{kind}", make(visitor.playback)]


def _shown(draw: Callable[[Scenes, Playback], str]) -> Callable[[Scenes, Visitor], str]:
    """Draws the play that a visitor watches; nothing where there is none."""
    return lambda scenes, visitor: draw(scenes, visitor.playback) if visitor.playback else ""
