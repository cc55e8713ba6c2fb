"""Tab Watch: see a scripted policy, a model or a recorded run play, step by step."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from openenv_kit.errors import ConfigurationError, require_name
from openenv_kit.page import race
from openenv_kit.page.layout import html, saves
from openenv_kit.page.markup import button, heading, hint, note
from openenv_kit.page.model import ModelPlayback, model_settings
from openenv_kit.page.page import Page, View, expect_episode
from openenv_kit.page.state import Visitor
from openenv_kit.page.trace import as_jsonl, frames_html, next_error, scene_html
from openenv_kit.page.watching import MAX_FRAMES, Playback, recorded, runs_of, scripted
from openenv_kit.serving.settings import MAX_RECORDING_BYTES

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

SAME_EPISODE = "my episode"
NOBODY = "Nobody is playing yet: choose a policy and press Watch, or open a recorded run."
SEARCH = (
    '<label class="mt-search">Search the steps <input type="search" id="mt-search"></label>'
    '<p class="mt-hint">Keys: <kbd>j</kbd> next, <kbd>k</kbd> previous, <kbd>e</kbd> next error, '
    "<kbd>/</kbd> search</p>"
)
FIRST = (
    '<section class="mt-first"><p><b>A run plays by itself.</b> On the left its calls, in '
    "the middle what each was told, on the right the data that it touched; it ends in its score."
    "</p>" + button("play_yourself", "", "Play it yourself", style="primary") + "</section>"
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
    f'data-run-bytes="{MAX_RECORDING_BYTES}" data-moves="{MAX_FRAMES}">'
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
    environment = page.scenes.environment
    policies = environment.policies
    episodes = [("The episode I am in", SAME_EPISODE), *((t, t) for t in environment.tasks)]
    html(heading("Watch somebody play", "They play an episode of their own; yours stays as it is."))
    first = html(elem_id="mt-first")
    with gr.Tabs(elem_classes="mt-sources"):
        with gr.Tab("Policy"), gr.Row(equal_height=False, elem_classes="mt-source"):
            policy = gr.Dropdown(
                [(f"{p.name}: {p.description}", name) for name, p in policies.items()],
                value="reference",
                label="Scripted policy",
                elem_id="mt-policy",
                scale=3,
            )
            episode = gr.Dropdown(episodes, value=SAME_EPISODE, label="Episode", scale=2)
            watch_policy = gr.Button("Watch", variant="primary", elem_id="mt-watch-policy")
        with gr.Tab("Model"), gr.Row(equal_height=False, elem_classes="mt-source"):
            url = gr.Textbox(
                "https://router.huggingface.co/v1", label="OpenAI-compatible endpoint", scale=2
            )
            model = gr.Textbox(label="Model", placeholder="name as the endpoint knows it", scale=2)
            key = gr.Textbox(
                label="Key",
                type="password",
                elem_id="mt-key",
                info="Kept for this visit only, never logged; leave empty to use it again",
                scale=2,
            )
            arena = gr.Dropdown(episodes, value=SAME_EPISODE, label="Episode", scale=2)
            watch_model = gr.Button("Watch", variant="primary", elem_id="mt-watch-model")
            forget = gr.Button("Forget the key", elem_id="mt-forget")
        with gr.Tab("Recording"):
            html(RECORDING)
            # Takes the run that the page's own script cuts out of a file.
            upload = gr.UploadButton(file_types=[".jsonl"], elem_classes="mt-never")
            closed = gr.Checkbox(
                label="Keep it back, to race against it without having seen it",
                elem_id="mt-keep-back",
            )
        with gr.Tab("Race"):
            race.build(page, [url, key, model])
    with gr.Row(elem_classes="mt-actions"):
        back = gr.Button("← Back", size="sm", min_width=80, elem_id="mt-back")
        step = gr.Button("Step →", size="sm", min_width=80, elem_id="mt-step")
        play = gr.Button("Play", size="sm", min_width=80, elem_id="mt-play")
        end = gr.Button("To the end", size="sm", min_width=100, elem_id="mt-end")
        error = gr.Button("Next error", size="sm", min_width=100, elem_id="mt-error")
        save = gr.Button("Save as JSONL", size="sm", min_width=120, elem_id="mt-save")
    scrub = gr.Slider(0, 1, 0, step=1, label="Step", elem_id="mt-scrub")
    with gr.Row(equal_height=False, elem_classes="mt-trace"):
        with gr.Column(min_width=240, scale=2, elem_classes="mt-steps"):
            html(SEARCH)
            frames = html(elem_id="mt-frames")
        with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
            scene = html(elem_id="mt-scene")
        with gr.Column(min_width=320, scale=4, elem_classes="mt-watch", elem_id="mt-board"):
            board = page.scenes.board()
    timer = gr.Timer(TICK_S, active=False)

    page.views["watch"] = View(
        [scene, frames, scrub, play, timer, first, *board], lambda v: show(page.scenes, v)
    )
    # The field is emptied once the key is taken, so that no page and no copy of one holds it.
    page.views["key"] = View([key], lambda _: [""])
    watch = ["watch"]
    page.on(
        watch_policy.click,
        partial(_watch_policy, page.scenes),
        [policy, episode],
        watch,
        wait_on=[scene],
    )
    page.on(
        watch_model.click,
        partial(_watch_model, page.scenes),
        [url, key, model, arena],
        ["watch", "key"],
        wait_on=[scene],
    )
    page.on(forget.click, _forget_key, (), ["status", "watch", "key"])
    page.on(step.click, _step, (), watch)
    page.on(back.click, _back, (), watch)
    page.on(play.click, _toggle, (), watch)
    page.on(error.click, _to_error, (), watch)
    saves(save, page.state, _file)
    page.on(end.click, _to_end, (), watch, wait_on=[scene])
    page.on(timer.tick, _tick, (), watch, trigger_mode="once")
    page.on(scrub.input, _go, [scrub], watch, trigger_mode="always_last")
    page.on(
        upload.upload, _load, [upload, closed], watch, wait_on=[scene], trigger_mode="always_last"
    )
    page.on_bridge(page.bridge.pick_frame, _go, watch)


def _watch_policy(scenes: Scenes, visitor: Visitor, policy: str, episode: str) -> None:
    policies = visitor.environment.policies
    chosen = policies[require_name("policy", policy, policies)]
    visitor.watch(scripted(chosen, _reset_of(scenes, visitor, episode), visitor.environment))


def _watch_model(
    scenes: Scenes, visitor: Visitor, url: str, key: str, model: str, episode: str
) -> None:
    """Watch a model; the key is kept for this visit, and for nothing else."""
    url = (url or "").strip()
    settings = model_settings(url, visitor.key_for(url, (key or "").strip()), model or "")
    reset = _reset_of(scenes, visitor, episode)
    visitor.watch(ModelPlayback(settings, reset, visitor.environment))
    visitor.playing = True


def _forget_key(visitor: Visitor) -> None:
    visitor.forget_key()
    visitor.watch(None)
    visitor.note = "The key is forgotten."


def _reset_of(scenes: Scenes, visitor: Visitor, episode: str) -> dict[str, Any]:
    visitor.ensure_episode()
    if episode == SAME_EPISODE:
        return dict(visitor.reset)
    return dict(scenes.reset_of_task(episode))


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
    if visitor.playback and visitor.playback.hurried:
        visitor.playback.catch_up()
    elif visitor.playing:
        _advance(visitor)


def _to_end(visitor: Visitor) -> None:
    visitor.playing = False
    playback = _playback(visitor)
    playback.run_to_end()
    playback.catch_up()


def _to_error(visitor: Visitor) -> None:
    visitor.playing = False
    playback = _playback(visitor)
    place = next_error(playback)
    if place is None:
        raise ConfigurationError("No step so far has an error.")
    playback.go(place)


def _file(visitor: Visitor) -> list[str]:
    """Name and text of the recording of the play that is watched."""
    expect_episode(visitor)
    with visitor.lock:
        if visitor.playback is None:
            raise gr.Error(NOBODY, print_exception=False)
        return [f"{visitor.playback.session.task_id}.jsonl", as_jsonl(visitor.playback)]


def _go(visitor: Visitor, at: Any) -> None:
    """Look at a move, by its index from the slider or as text from the list."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):  # a call past the page
        index = int(at)
        if visitor.playback:
            visitor.playing = False
            visitor.playback.go(index)


def _load(visitor: Visitor, path: str | None, keep_back: bool = False) -> None:
    if path is not None:
        runs, visitor.problem = runs_of(Path(path))
        playback = recorded(runs[0], visitor.environment)
        playback.kept_back = keep_back is True
        visitor.watch(playback)


def _playback(visitor: Visitor) -> Playback:
    if visitor.playback is None:
        raise ConfigurationError(NOBODY)
    return visitor.playback


def show(scenes: Scenes, visitor: Visitor) -> Sequence[Any]:
    """Values of the tab's components, in the order of `watch.build`."""
    playback = visitor.playback
    if playback is None or playback.kept_back:
        told = "Nobody is playing yet."
        if playback is not None:
            told = f"The play of {playback.player} is kept back: start a race on the tab Race."
        empty = note(visitor.problem, "bad") + hint(told)
        idle = gr.update(active=False)
        scrub = gr.update(maximum=1, value=0)
        return [empty, "", scrub, "Play", idle, "", *scenes.show_board(None)]
    # Asked before the frames are counted: a player in another thread adds frames, then finishes.
    more_to_come = visitor.playing or playback.waiting
    if playback.hurried:
        playback.catch_up()
    last = len(playback.frames) - 1
    return [
        note(visitor.problem, "bad") + scene_html(scenes, playback),
        frames_html(scenes, playback),
        gr.update(maximum=max(last, 1), value=playback.at),
        "Pause" if visitor.playing else "Play",
        gr.update(active=more_to_come),
        FIRST if visitor.shown_round else "",
        *scenes.show_board(playback),
    ]
