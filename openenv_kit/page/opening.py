"""What the page opens on: a finished picture, a line, a sentence, and one button."""

from __future__ import annotations

from html import escape

import gradio as gr

from openenv_kit.page.layout import html
from openenv_kit.page.markup import button
from openenv_kit.page.page import Page, View
from openenv_kit.page.scenes import Scenes
from openenv_kit.page.state import Visitor

TICKS = 14
"""Pictures of a replay, whatever the number of its steps."""
TICK_S = 0.45


def build(page: Page) -> None:
    """Lay out the opening and wire it."""
    scenes = page.scenes
    shown = html(elem_id="mt-opening")
    timer = gr.Timer(TICK_S, active=False)
    page.views["opening"] = View(
        [shown, timer], lambda v: [opening_html(scenes, v), gr.update(active=v.replaying)]
    )
    page.on_bridge(page.bridge.replay, _replay, ["opening"])
    page.on_bridge(page.bridge.watch_demo, _watch, ["opening", "watch"])
    page.on(timer.tick, _tick, (), ["opening"], trigger_mode="once")


def opening_html(scenes: Scenes, visitor: Visitor) -> str:
    """The demo as far as it is replayed; nothing once the visitor plays."""
    demo = visitor.demo
    if demo is None:
        return ""
    head = scenes.headline(demo.frames)
    picture = scenes.picture_html(demo.so_far, demo.reset)
    links = button("replay", "", "Replay", style="link")
    links += button("watch_demo", "", "Step by step", style="link")
    return (
        f'<section class="mt-opening"><div class="mt-pitch"><h2>{escape(head)}</h2>'
        f"<p>{escape(scenes.mission)}</p><div>"
        f"{button('next_episode', '', 'Play one yourself', style='primary')}{links}</div></div>"
        f'<div class="mt-picture">{picture}</div></section>'
    )


def _replay(visitor: Visitor, _: object) -> None:
    if visitor.demo is not None:
        visitor.demo.go(0)
        visitor.replaying = True


def _tick(visitor: Visitor) -> None:
    demo = visitor.demo
    if demo is None or not visitor.replaying:
        visitor.replaying = False
        return
    last = len(demo.frames) - 1
    demo.go(demo.at + max(1, -(-last // TICKS)))
    visitor.replaying = demo.at < last


def _watch(visitor: Visitor, _: object) -> None:
    if visitor.demo is not None:
        visitor.replaying = False
        visitor.demo.go(len(visitor.demo.frames) - 1)
        playback = visitor.demo.again()
        playback.go(0)
        visitor.watch(playback)
