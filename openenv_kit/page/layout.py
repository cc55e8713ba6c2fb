"""Layout of the page: header and tabs, and the events outside the tabs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import gradio as gr

from openenv_kit.episode_clients.protocol import EpisodeClient
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.events import (
    Page,
    run_or_ask_before_ending_episode,
    unstyled_html_component,
)
from openenv_kit.page.first_screen import first_screen_html
from openenv_kit.page.header import EnvironmentLink, header_html
from openenv_kit.page.page_address import (
    READ_ADDRESS_JS,
    build_query_parameters_of_reset,
    restore_or_start_episode_on_page_load,
)
from openenv_kit.page.tabs import connect as connect_tab
from openenv_kit.page.tabs import leaderboard, play, runs, your_data
from openenv_kit.page.tabs.play_views import saved_state_html
from openenv_kit.page.visitor import Visitor
from openenv_kit.reset_arguments import PRODUCT

SCRIPTS = [
    Path(__file__).with_name("static") / f"{name}.js"
    for name in ("bridge", "saved_episode", "connection", "grid", "charts")
]
"""Scripts of the header component. They are joined, because a component has one script."""
IDLE_S = 3600
"""Seconds without an event after which a visitor's state is discarded."""


def build_page(
    environment_view: EnvironmentView,
    blocks: gr.Blocks,
    environment_links: Sequence[EnvironmentLink] = (),
    connect: Callable[[], EpisodeClient] | None = None,
    *,
    is_debug: bool = False,
    board_path: str = "",
    has_token: bool = False,
    own_data: your_data.OwnDataOptions | None = None,
) -> Page:
    """Build the page with its header, tabs and events.

    Args:
        environment_view: view of the environment.
        blocks: Gradio blocks to which the page is added.
        environment_links: links to the pages of all environments of this server.
        connect: creates a client for a visitor's episode; None to play in this process.
        is_debug: whether the server sends the correct answers; if so, the header says this.
        board_path: path of the leaderboard's `board.json`; empty for the one in the package.
        has_token: whether the server requires a token.
        own_data: options of the tab "Your data"; None if visitors cannot import tables.
    """
    links = list(environment_links) or [EnvironmentLink(environment_view)]
    bridge = unstyled_html_component(
        header_html(environment_view, links, is_debug=is_debug),
        js_on_load="".join(each.read_text(encoding="utf-8") for each in SCRIPTS),
        elem_id="mt-header",
    )
    first = Visitor(environment_view.environment, connect)
    state = gr.State(first, time_to_live=IDLE_S, delete_callback=Visitor.close_episode_and_clear)
    page = Page(environment_view, state, bridge)
    page.add_html_view("saved", _saved_episode_and_address_html)
    titles = [link.environment_view.link_title for link in links]
    with gr.Tabs(elem_id="mt-tabs"):
        with gr.Tab("Play", id="play"):
            play.build_play_tab(page, lambda view, _: first_screen_html(view, titles))
        with gr.Tab("Runs", id="runs"):
            runs.build_runs_tab()
        with gr.Tab("Leaderboard", id="leaderboard"):
            leaderboard.build_leaderboard_tab(environment_view.environment, board_path)
        with gr.Tab("Connect", id="connect"):
            connect_tab.build_connect_tab(environment_view.environment, has_token=has_token)
        with gr.Tab("Your data", id="your-data"):
            your_data.build_your_data_tab(page, own_data or your_data.OwnDataOptions())
    arrival = gr.Textbox(visible=False)
    # A button that starts an episode changes every view.
    page.add_load_handler(
        blocks.load,
        partial(restore_or_start_episode_on_page_load, environment_view),
        arrival,
        READ_ADDRESS_JS,
    )
    page.add_page_event_handler(bridge.yes, _run_confirmed_action, page.views)
    page.add_page_event_handler(bridge.home, _return_to_first_screen_or_ask, page.views)
    page.add_page_event_handler(bridge.no, _cancel_confirmation, ["guide"])
    for add_event in page.events:
        add_event()
    return page


def _run_confirmed_action(visitor: Visitor, _: object) -> None:
    confirmation, visitor.pending_confirmation = visitor.pending_confirmation, None
    if confirmation is not None:
        confirmation.on_confirm(visitor)


def _return_to_first_screen_or_ask(visitor: Visitor, _: object) -> None:
    """Close the episode and show the first screen, after confirmation if one is running."""

    def show_first_screen(who: Visitor) -> None:
        who.close_episode_and_clear()
        who.is_page_loaded = True

    run_or_ask_before_ending_episode(visitor, "The first screen", show_first_screen)


def _cancel_confirmation(visitor: Visitor, _: object) -> None:
    visitor.pending_confirmation = None


def _saved_episode_and_address_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the element that contains the episode and its URL, for the page's script to save."""
    address = {}
    if visitor.has_episode:
        name = environment_view.environment.name
        address = build_query_parameters_of_reset(name, visitor.reset)
        address["place"] = visitor.selection
        if visitor.is_private or isinstance(visitor.reset.get(PRODUCT.name), Mapping):
            # The URL must not contain numbers from a table. It also omits a product, which may
            # take up to 16 kB.
            address = dict.fromkeys(address, "")
    return saved_state_html(json.dumps(address), visitor)
