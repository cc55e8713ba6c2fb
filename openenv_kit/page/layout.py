"""Layout of the page: header, status line and tabs, and the events outside the tabs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import gradio as gr

from openenv_kit.episode_clients.protocol import EpisodeClient
from openenv_kit.page.components.elements import button_html
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.events import Page, unstyled_html_component
from openenv_kit.page.page_address import (
    READ_ADDRESS_JS,
    build_query_parameters_of_reset,
    restore_or_start_episode_on_page_load,
)
from openenv_kit.page.tabs import episodes, play, runs, watch
from openenv_kit.page.visitor import Visitor

SCRIPTS = [Path(__file__).with_name("static") / name for name in ("recordings.js", "bridge.js")]
IDLE_S = 3600
"""Seconds without an event after which a visitor's state is discarded."""


@dataclass(frozen=True)
class EnvironmentLink:
    """Link to the page of an environment.

    Attributes:
        environment_view: view of the environment.
        href: relative URL of the environment's page; empty for the current page.
    """

    environment_view: EnvironmentView
    href: str = ""


def build_page(
    environment_view: EnvironmentView,
    blocks: gr.Blocks,
    environment_links: Sequence[EnvironmentLink] = (),
    connect: Callable[[], EpisodeClient] | None = None,
) -> Page:
    """Build the page with its header, status line, tabs and events.

    Args:
        environment_view: view of the environment.
        blocks: Gradio blocks to which the page is added.
        environment_links: links to the pages of all environments of this server.
        connect: creates a client for a visitor's episode; None to play in this process.
    """
    bridge = unstyled_html_component(
        header_html(environment_view, environment_links or [EnvironmentLink(environment_view)]),
        js_on_load="".join(each.read_text(encoding="utf-8") for each in SCRIPTS),
        elem_id="mt-header",
    )
    first = Visitor(environment_view.environment, connect)
    state = gr.State(first, time_to_live=IDLE_S, delete_callback=Visitor.close_episode_and_clear)
    page = Page(environment_view, state, bridge)
    page.add_html_view("status", status_line_html)
    with gr.Tabs(elem_id="mt-tabs"):
        with gr.Tab("Play", id="play"):
            play.build_play_tab(page)
        with gr.Tab("Episodes", id="episodes"):
            episodes.build_episodes_tab(page)
        with gr.Tab("Runs", id="runs"):
            runs.build_runs_tab()
        with gr.Tab("Watch", id="watch"):
            watch.build_watch_tab(page)
    arrival = gr.Textbox(visible=False)
    # A button that starts an episode changes every view.
    page.add_load_handler(
        blocks.load,
        partial(restore_or_start_episode_on_page_load, environment_view),
        arrival,
        READ_ADDRESS_JS,
    )
    page.add_page_event_handler(bridge.yes, _run_confirmed_action, page.views)
    page.add_page_event_handler(bridge.no, _cancel_confirmation, ["status"])
    page.add_page_event_handler(
        bridge.next_episode, partial(play.start_unseen_episode_or_ask, environment_view), page.views
    )
    for add_event in page.events:
        add_event()
    return page


def _run_confirmed_action(visitor: Visitor, _: object) -> None:
    confirmation, visitor.pending_confirmation = visitor.pending_confirmation, None
    if confirmation is not None:
        confirmation.on_confirm(visitor)


def _cancel_confirmation(visitor: Visitor, _: object) -> None:
    visitor.pending_confirmation = None


def header_html(
    environment_view: EnvironmentView, environment_links: Sequence[EnvironmentLink]
) -> str:
    """Return the header with the links to the environments and the light/dark button."""
    title = escape(environment_view.environment.title)
    links = "".join(map(_environment_link_html, environment_links))
    return (
        f'<header class="mt-head"><h1 class="mt-unseen">{title}</h1>'
        f'<nav class="mt-doors" aria-label="Environments">{links}</nav>'
        f"{button_html('theme', '', 'Light / dark', css_class='link')}</header>"
    )


def _environment_link_html(link: EnvironmentLink) -> str:
    """Return a link to an environment. The page's script adds the progress of a running episode."""
    here = "" if link.href else ' aria-current="page"'
    return (
        f'<a class="mt-door" href="{escape(link.href or "./")}"{here}>'
        f'<svg viewBox="0 0 24 24" aria-hidden="true">{link.environment_view.icon}</svg>'
        f"<b>{escape(link.environment_view.link_title)}<em></em></b><span>{escape(link.environment_view.link_description)}</span></a>"
    )


def status_line_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the status line: progress, an error or a hint, and a button or a confirmation."""
    kept, address = visitor.to_saved_json(), {}
    if visitor.has_episode:
        address = build_query_parameters_of_reset(
            environment_view.environment.name, visitor.reset
        ) | {"place": visitor.selection}
    own = f'data-kept="{escape(kept)}" data-address="{escape(json.dumps(address))}"'
    if not visitor.has_episode:
        problem = f'<p class="bad" role="status">{escape(visitor.problem)}</p>'
        return f'<div class="mt-status" {own}>{problem if visitor.problem else ""}</div>'
    move = play.choose_next_step_hint(environment_view, visitor)
    most = int(visitor.episode_state.get("max_steps") or 0)
    share = 100 * visitor.step_count / (most or 1)
    budget = (
        f'<span class="mt-budget"><i><b style="width:{min(share, 100):.0f}%"></b></i>'
        f"step {visitor.step_count} of {most}</span>"
    )
    said = visitor.problem or move.text
    kind = "bad" if visitor.problem else ""
    # A pending confirmation has its own primary button, which replaces that of the hint.
    is_confirming = visitor.pending_confirmation is not None
    primary = (
        ""
        if is_confirming
        else button_html(move.event, move.value, move.label, css_class="primary")
    )
    return (
        f'<div class="mt-status" {own}><div>{budget}</div>'
        f'<p class="{kind}" role="status" aria-live="polite">{escape(said)}</p>'
        f"{primary}{_confirmation_html(visitor)}</div>"
    )


def _confirmation_html(visitor: Visitor) -> str:
    asked = visitor.pending_confirmation
    if asked is None:
        return ""
    return (
        f'<section class="mt-question" role="alertdialog" aria-label="{escape(asked.text)}">'
        f"<p>{escape(asked.text)}</p>{button_html('no', '', 'Go back', css_class='primary')}"
        f"{button_html('yes', '', asked.button_label)}</section>"
    )
