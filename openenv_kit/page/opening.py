"""What the page opens on: a finished picture, a line, a sentence, and one button."""

from __future__ import annotations

from html import escape
from typing import Any

from openenv_kit.page.markup import button
from openenv_kit.page.page import Page
from openenv_kit.page.scenes import Scenes
from openenv_kit.page.state import Visitor

EXAMPLE = "An example, played to its end"


def build(page: Page) -> None:
    """Lay out the opening and wire it."""
    page.add_view("opening", opening_html)
    page.on_bridge(page.bridge.replay, _replay, ["opening"])


def opening_html(scenes: Scenes, visitor: Visitor) -> str:
    """The demo as far as it is replayed; nothing once the visitor plays."""
    demo = visitor.demo
    if demo is None:
        return ""
    head = scenes.headline(demo.frames)
    picture = scenes.picture_html(demo.so_far, demo.reset)
    links = button("replay", len(demo.frames) - 1, "Replay", style="link")
    links += button("watch_play", "", "Step by step", style="link")
    return (
        f'<section class="mt-opening"><div class="mt-pitch"><p class="mt-eyebrow">{EXAMPLE}</p>'
        f"<h2>{escape(head)}</h2><p>{escape(scenes.mission)}</p><div>"
        f"{button('next_episode', '', 'Play one yourself', style='primary')}{links}</div></div>"
        f'<div class="mt-picture">{picture}</div></section>'
    )


def _replay(visitor: Visitor, at: Any) -> None:
    """Show the demo as it was after so many steps; the page's script asks for one after another."""
    if visitor.demo is not None:
        visitor.demo.look(at)
