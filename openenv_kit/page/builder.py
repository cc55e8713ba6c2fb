"""The page as a whole: header, status line, tabs, and what happens when visitors come and go."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import gradio as gr

import metric_tracker_rl
from metric_tracker_rl.engine.tasks import DEFAULT_TASK_ID
from openenv_kit.page import data, debug, episode, investigate, report, scripting, watch
from openenv_kit.page.layout import html
from openenv_kit.page.markup import day_name
from openenv_kit.page.page import Page, View
from openenv_kit.page.state import Visitor
from openenv_kit.serving.settings import settings

TITLE = "Metric Tracker RL"
HERE = Path(__file__).parent
IDLE_S = 3600
"""A visitor who does nothing for this long is forgotten."""


def build_page(show_answers: bool, title: str = TITLE) -> gr.Blocks:
    """The debugger as Gradio blocks.

    Args:
        show_answers: whether the page has the Debug tab; without it, no handler reads an answer.
        title: title of the browser tab.
    """
    with gr.Blocks(title=title, analytics_enabled=False) as blocks:
        page = lay_out(show_answers)
        page.on(blocks.load, _arrive, (), list(page.views), wait_on=(), opens=True)
    return blocks


def lay_out(show_answers: bool) -> Page:
    """Header, status line and tabs, wired; inside the blocks that are being built."""
    bridge = html(
        f"<style>{(HERE / 'style.css').read_text(encoding='utf-8')}</style>{header_html()}",
        js_on_load=(HERE / "bridge.js").read_text(encoding="utf-8"),
        elem_id="mt-header",
    )
    status = html(elem_id="mt-status")
    visitor = Visitor(debug=show_answers)
    state = gr.State(visitor, time_to_live=IDLE_S, delete_callback=Visitor.clear)
    page = Page(state, bridge, show_answers)
    page.views["status"] = View([status], lambda visitor: [status_html(visitor)])
    tabs = {
        "Episode": episode.build,
        "Data": data.build,
        "Investigate": investigate.build,
        "Report": report.build,
        "Watch": watch.build,
        **({"Debug": debug.build} if show_answers else {}),
    }
    with gr.Tabs(elem_id="mt-tabs"):
        for name, build in tabs.items():
            with gr.Tab(name, id=name.lower()):
                build(page)
    scripting.build(page)
    for wire in page.wiring:
        wire()
    return page


def header_html() -> str:
    """Name, one sentence, links."""
    source = source_url()
    link = f'<a href="{escape(source)}" target="_blank" rel="noopener">Source</a>' if source else ""
    return (
        '<header class="mt-head"><div><p class="mt-eyebrow">OpenEnv environment · version '
        f"{metric_tracker_rl.__version__}</p><h1>Metric Tracker RL</h1>"
        "<p>Play an episode as an agent would: look at the funnel, ask the tools, report the "
        "roots of what went wrong, and see how the grader reads your report.</p></div>"
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


def status_html(visitor: Visitor) -> str:
    """One line that always says where one is: task, day, steps, and the last thing said."""
    session, view = visitor.session, visitor.view
    ended = " · over" if session.done else ""
    facts = (
        f"<b>{escape(session.task_id)}</b><span>{day_name(visitor.day)}</span>"
        f"<span>{session.steps} of {view.rules.max_steps} steps</span>"
        f"<span>{len(visitor.rows)} row(s) in the report{ended}</span>"
    )
    said = visitor.problem or visitor.note
    kind = "bad" if visitor.problem else ""
    return (
        f'<div class="mt-status"><div>{facts}</div>'
        f'<p class="{kind}" role="status" aria-live="polite">{escape(said)}</p></div>'
    )


def _arrive(visitor: Visitor) -> None:
    if visitor.session.view is None:
        visitor.start(task_id=DEFAULT_TASK_ID)


def use_local_fonts() -> None:
    """Take web fonts out of the framework's theme: the page asks no server but its own."""
    from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_THEME

    OPENENV_GRADIO_THEME.font = "system-ui, sans-serif"
    OPENENV_GRADIO_THEME.font_mono = "ui-monospace, monospace"
    OPENENV_GRADIO_THEME._stylesheets = []
