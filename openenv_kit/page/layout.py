"""The page as a whole: doors, status line, tabs, and what happens when visitors arrive."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import gradio as gr

from openenv_kit.episode_clients.websocket import Link
from openenv_kit.page.components.elements import button
from openenv_kit.page.environment_view import Scenes
from openenv_kit.page.events import Page, html
from openenv_kit.page.page_address import ARRIVED, address_of, arrive
from openenv_kit.page.tabs import episodes, play, watch
from openenv_kit.page.visitor import Visitor

SCRIPTS = [Path(__file__).with_name("static") / name for name in ("recordings.js", "bridge.js")]
IDLE_S = 3600
"""A visitor who does nothing for this long is forgotten."""


@dataclass(frozen=True)
class Door:
    """The way to an environment's page.

    Attributes:
        scenes: the environment's.
        href: its page, seen from this one; empty for this one.
    """

    scenes: Scenes
    href: str = ""


def build_page(
    scenes: Scenes,
    blocks: gr.Blocks,
    doors: Sequence[Door] = (),
    connect: Callable[[], Link] | None = None,
) -> Page:
    """Doors, status line, tabs and events, inside the Gradio blocks that are being built.

    Args:
        scenes: the environment's.
        blocks: these.
        doors: to the pages of this server, this one's among them.
        connect: opens the session that a visitor's episode is played in; None for in process.
    """
    bridge = html(
        header_html(scenes, doors or [Door(scenes)]),
        js_on_load="".join(each.read_text(encoding="utf-8") for each in SCRIPTS),
        elem_id="mt-header",
    )
    first = Visitor(scenes.environment, connect)
    state = gr.State(first, time_to_live=IDLE_S, delete_callback=Visitor.clear)
    page = Page(scenes, state, bridge)
    page.add_view("status", status_html)
    with gr.Tabs(elem_id="mt-tabs"):
        with gr.Tab("Play", id="play"):
            play.build(page)
        with gr.Tab("Episodes", id="episodes"):
            episodes.build_episode(page)
        with gr.Tab("Watch", id="watch"):
            watch.build(page)
    arrival = gr.Textbox(visible=False)
    # A click on a button that starts an episode changes everything.
    page.on_load(blocks.load, partial(arrive, scenes), arrival, ARRIVED)
    page.on_bridge(bridge.yes, _yes, page.views)
    page.on_bridge(bridge.no, _no, ["status"])
    page.on_bridge(bridge.next_episode, partial(play.next_episode, scenes), page.views)
    for add_event in page.events:
        add_event()
    return page


def _yes(visitor: Visitor, _: object) -> None:
    asked, visitor.question = visitor.question, None
    if asked is not None:
        asked.act(visitor)


def _no(visitor: Visitor, _: object) -> None:
    visitor.question = None


def header_html(scenes: Scenes, doors: Sequence[Door]) -> str:
    """The doors, a name and a line each, and the switch between light and dark."""
    return (
        f'<header class="mt-head"><h1 class="mt-unseen">{escape(scenes.environment.title)}</h1>'
        f'<nav class="mt-doors" aria-label="Environments">{"".join(map(_door_html, doors))}</nav>'
        f"{button('theme', '', 'Light / dark', style='link')}</header>"
    )


def _door_html(door: Door) -> str:
    """A link to an environment; the script adds the step of an episode that runs there."""
    here = "" if door.href else ' aria-current="page"'
    return (
        f'<a class="mt-door" href="{escape(door.href or "./")}"{here}>'
        f'<svg viewBox="0 0 24 24" aria-hidden="true">{door.scenes.icon}</svg>'
        f"<b>{escape(door.scenes.door)}<em></em></b><span>{escape(door.scenes.line)}</span></a>"
    )


def status_html(scenes: Scenes, visitor: Visitor) -> str:
    """The guide: how far the episode is, the next move with its button, and what is asked first."""
    kept, address = visitor.kept(), {}
    if visitor.started:
        address = address_of(scenes.environment.name, visitor.reset) | {"place": visitor.place}
    own = f'data-kept="{escape(kept)}" data-address="{escape(json.dumps(address))}"'
    if not visitor.started:
        problem = f'<p class="bad" role="status">{escape(visitor.problem)}</p>'
        return f'<div class="mt-status" {own}>{problem if visitor.problem else ""}</div>'
    move = play.next_move(scenes, visitor)
    most = int(visitor.progress.get("max_steps") or 0)
    share = 100 * visitor.steps / (most or 1)
    budget = (
        f'<span class="mt-budget"><i><b style="width:{min(share, 100):.0f}%"></b></i>'
        f"step {visitor.steps} of {most}</span>"
    )
    said = visitor.problem or move.text
    kind = "bad" if visitor.problem else ""
    asked = visitor.question is not None  # whose button is then the one to press
    primary = "" if asked else button(move.event, move.value, move.label, style="primary")
    return (
        f'<div class="mt-status" {own}><div>{budget}</div>'
        f'<p class="{kind}" role="status" aria-live="polite">{escape(said)}</p>'
        f"{primary}{_question_html(visitor)}</div>"
    )


def _question_html(visitor: Visitor) -> str:
    asked = visitor.question
    if asked is None:
        return ""
    return (
        f'<section class="mt-question" role="alertdialog" aria-label="{escape(asked.text)}">'
        f"<p>{escape(asked.text)}</p>{button('no', '', 'Go back', style='primary')}"
        f"{button('yes', '', asked.label)}</section>"
    )
