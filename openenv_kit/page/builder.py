"""The page as a whole: header, status line, tabs, and what happens when visitors arrive."""

from __future__ import annotations

import os
from html import escape

import gradio as gr

from openenv_kit.page import scripting
from openenv_kit.page.layout import html
from openenv_kit.page.page import Page, View
from openenv_kit.page.scenes import Scenes
from openenv_kit.page.state import Visitor
from openenv_kit.serving.settings import settings

IDLE_S = 3600
"""A visitor who does nothing for this long is forgotten."""


def build_page(scenes: Scenes, show_answers: bool) -> gr.Blocks:
    """The debugger as Gradio blocks.

    Args:
        scenes: the environment's.
        show_answers: whether this server shows answers; without it, no handler reads one.
    """
    with gr.Blocks(title=scenes.environment.title, analytics_enabled=False) as blocks:
        lay_out(scenes, show_answers, blocks)
    return blocks


def lay_out(scenes: Scenes, show_answers: bool, blocks: gr.Blocks) -> Page:
    """Header, status line, tabs and events, inside the blocks that are being built."""
    bridge = html(
        f"<style>{scenes.asset('style.css')}</style>{header_html(scenes)}",
        js_on_load=scenes.asset("bridge.js"),
        elem_id="mt-header",
    )
    status = html(elem_id="mt-status")
    visitor = scenes.visitor(scenes.environment, debug=show_answers)
    state = gr.State(visitor, time_to_live=IDLE_S, delete_callback=Visitor.clear)
    page = Page(scenes, state, bridge, show_answers)
    page.views["status"] = View([status], lambda visitor: [status_html(scenes, visitor)])
    with gr.Tabs(elem_id="mt-tabs"):
        for name, build in scenes.tabs(debug=show_answers).items():
            with gr.Tab(name, id=name.lower()):
                build(page)
    scripting.build(page)
    page.on(blocks.load, Visitor.ensure_episode, (), list(page.views), wait_on=(), opens=True)
    for add_event in page.events:
        add_event()
    return page


def header_html(scenes: Scenes) -> str:
    """Name, one sentence, links."""
    source = source_url()
    link = f'<a href="{escape(source)}" target="_blank" rel="noopener">Source</a>' if source else ""
    return (
        '<header class="mt-head"><div><p class="mt-eyebrow">OpenEnv environment · version '
        f"{escape(scenes.environment.version)}</p><h1>{escape(scenes.environment.title)}</h1>"
        f"<p>{escape(scenes.lead)}</p></div>"
        f'<nav aria-label="Links"><a href="/docs" target="_blank" rel="noopener">API docs</a>{link}'
        '<button type="button" class="mt-btn link" data-mt="theme">Light / dark</button>'
        "</nav></header>"
    )


def source_url() -> str:
    """Where the source is: as configured, else the Space this runs on, else unknown."""
    configured = settings().source_url
    if configured.startswith(("https://", "http://")):
        return configured
    space = os.environ.get("SPACE_ID")
    return f"https://huggingface.co/spaces/{space}/tree/main" if space else ""


def status_html(scenes: Scenes, visitor: Visitor) -> str:
    """One line that always shows the task, the steps taken, and the last message."""
    facts = "".join(f"<span>{escape(each)}</span>" for each in scenes.status(visitor))
    said = visitor.problem or visitor.note
    kind = "bad" if visitor.problem else ""
    return (
        f'<div class="mt-status"><div><b>{escape(visitor.session.task_id)}</b>{facts}</div>'
        f'<p class="{kind}" role="status" aria-live="polite">{escape(said)}</p></div>'
    )


def use_local_fonts() -> None:
    """Take web fonts out of the framework's theme: the page asks no server but its own."""
    from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_THEME

    OPENENV_GRADIO_THEME.font = "system-ui, sans-serif"
    OPENENV_GRADIO_THEME.font_mono = "ui-monospace, monospace"
    OPENENV_GRADIO_THEME._stylesheets = []
