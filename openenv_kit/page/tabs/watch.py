"""Watch tab of the debugger: plays back a scripted policy or a recorded run, step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from openenv_kit.environment import Environment, list_default_task_names
from openenv_kit.errors import require_name
from openenv_kit.page.components.elements import heading_html, hint_html, message_box_html
from openenv_kit.page.components.forms import (
    convert_filled_fields_to_arguments,
    form_html,
    parse_form_event,
)
from openenv_kit.page.components.playback_html import (
    convert_playback_to_recording_jsonl,
    navigation_and_current_step_html,
    self_contained_playback_page_html,
    step_list_html,
)
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.events import (
    FilenameAndText,
    Page,
    add_download,
    unstyled_html_component,
)
from openenv_kit.page.page_address import reset_of_named_task
from openenv_kit.page.playback import (
    MAX_PLAYBACK_STEPS,
    MAX_RUN_CHARACTERS,
    Playback,
    create_playback_that_checks_recording,
    parse_first_run,
    playback_of_policy,
)
from openenv_kit.page.visitor import Visitor

WATCH_VIEWS = ("scene", "frames", "watched", "refusal")
OWN_EPISODE = "the episode I am in"
SAYS = "They play an episode of their own; yours goes on where it is."
KEYS = (
    '<p class="mt-hint">Keys: <kbd>←</kbd> <kbd>→</kbd>, <kbd>e</kbd> next error, '
    "<kbd>n</kbd> <kbd>p</kbd> next run and the one before</p>"
)
MAX_FILE_BYTES = 256_000_000
"""Maximum size of a recording that the page's script reads. It sends single runs to the server."""
RECORDING = (
    f'<details id="mt-recording" data-file-bytes="{MAX_FILE_BYTES}" '
    f'data-run-bytes="{MAX_RUN_CHARACTERS}" data-moves="{MAX_PLAYBACK_STEPS}">'
    "<summary>Open recorded runs</summary>"
    + hint_html(
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


def build_watch_tab(page: Page) -> None:
    """Build the Watch tab and its event listeners."""
    unstyled_html_component(heading_html("Watch somebody play", SAYS))
    page.add_html_view("refusal", lambda _, visitor: message_box_html(visitor.problem, "bad"))
    unstyled_html_component(
        form_html(
            "policy", "watch_policy", "Watch", watch_form_schema(page.environment_view.environment)
        )
        + RECORDING
    )
    with gr.Column(elem_id="mt-watching"):
        with gr.Row(equal_height=False, elem_classes="mt-trace"):
            with gr.Column(min_width=240, scale=2, elem_classes="mt-steps"):
                unstyled_html_component(KEYS)
                page.add_html_view("frames", _adapt_playback_renderer_to_visitor(step_list_html))
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                page.add_html_view(
                    "scene", _adapt_playback_renderer_to_visitor(navigation_and_current_step_html)
                )
            with gr.Column(min_width=320, scale=4, elem_classes="mt-watch"):
                page.add_html_view(
                    "watched",
                    _adapt_playback_renderer_to_visitor(
                        lambda s, p: s.overview_html(p.visible_steps, p.reset)
                    ),
                )
        with gr.Row(elem_classes="mt-actions"):
            jsonl = gr.Button("Save as JSONL", size="sm", elem_id="mt-save")
            whole = gr.Button("Save as HTML", size="sm", elem_id="mt-html")
    page.add_page_event_handler(
        page.bridge.watch_policy, _start_watching_policy_from_form, WATCH_VIEWS
    )
    page.add_page_event_handler(page.bridge.watch_play, _watch_example_or_own_steps, WATCH_VIEWS)
    page.add_page_event_handler(page.bridge.open_run, _replay_first_run_of_recording, WATCH_VIEWS)
    # Every click counts, because two clicks on "Step" are two steps.
    page.add_page_event_handler(
        page.bridge.pick_frame, _navigate_playback, WATCH_VIEWS, trigger_mode="multiple"
    )
    add_download(
        jsonl.click,
        page.state,
        partial(_create_playback_download, "jsonl", convert_playback_to_recording_jsonl),
    )
    add_download(
        whole.click,
        page.state,
        partial(
            _create_playback_download,
            "html",
            partial(self_contained_playback_page_html, page.environment_view),
        ),
    )


def watch_form_schema(environment: Environment) -> dict[str, Any]:
    """Return the JSON Schema of the form in which visitors select a policy and an episode."""
    return {
        "properties": {
            "policy": {"enum": list(environment.policies), "default": "reference"},
            "episode": {"enum": [OWN_EPISODE, *environment.reset_arguments_by_task_id]},
        },
        "required": ["policy", "episode"],
    }


def _start_watching_policy_from_form(visitor: Visitor, form_event_json: object) -> None:
    environment = visitor.environment
    policies = environment.policies
    given = convert_filled_fields_to_arguments(
        watch_form_schema(environment), parse_form_event(form_event_json).values
    )
    chosen = policies[require_name("policy", str(given.get("policy")), policies)]
    episode = str(given.get("episode", OWN_EPISODE))
    if episode == OWN_EPISODE and not visitor.has_episode:
        episode = list_default_task_names(environment)[0]
    reset = visitor.reset if episode == OWN_EPISODE else reset_of_named_task(environment, episode)
    visitor.playback = playback_of_policy(chosen, dict(reset), environment)


def _watch_example_or_own_steps(visitor: Visitor, _: object) -> None:
    """Play back the example, or the visitor's own steps if there is no example."""
    seen = None
    if visitor.playback_steps:
        seen = Playback("you", iter(visitor.playback_steps), visitor.reset, visitor.environment)
    if seen is not None:
        seen.read_steps_to_end_and_show_last()
        visitor.playback = seen.copy_at_last_step()
        visitor.playback.show_step_clamped(0)


def _navigate_playback(visitor: Visitor, target: object) -> None:
    if visitor.playback is not None:
        visitor.playback.show_navigation_target(target)


def _replay_first_run_of_recording(visitor: Visitor, recording_jsonl_text: object) -> None:
    """Replay a recorded run that the page's script has read from a file."""
    run, problem = parse_first_run(str(recording_jsonl_text or ""))
    visitor.playback = create_playback_that_checks_recording(run, visitor.environment)
    visitor.problem = problem


def _create_playback_download(
    extension: str, render: Callable[[Playback], str], visitor: Visitor
) -> FilenameAndText:
    """Return the playback as a file to download.

    Raises:
        gr.Error: the visitor has not opened a playback.
    """
    if visitor.playback is None:
        raise gr.Error("Nobody is playing yet.", print_exception=False)
    return [f"{visitor.playback.task_id}.{extension}", render(visitor.playback)]


def _adapt_playback_renderer_to_visitor(
    render: Callable[[EnvironmentView, Playback], str],
) -> Callable[[EnvironmentView, Visitor], str]:
    """Return a function that renders a visitor's playback with the given render function.

    The new function returns an empty string if the visitor has no playback.
    """
    return lambda scenes, visitor: render(scenes, visitor.playback) if visitor.playback else ""
