"""The page as a whole: header, status line, tabs, and what happens when visitors arrive."""

from __future__ import annotations

import json
import os
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.arrival import ARRIVED, arrive, play_yourself
from openenv_kit.page.layout import html
from openenv_kit.page.page import Act, Page, View
from openenv_kit.page.race import progress_text
from openenv_kit.page.scenes import Scenes
from openenv_kit.page.state import Visitor
from openenv_kit.play.driver import observed
from openenv_kit.play.recording import canonical
from openenv_kit.serving.settings import settings

RECORDINGS = Path(__file__).with_name("recordings.js")
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


def script_of(scenes: Scenes) -> str:
    """The page's one script: reading of recordings, its bridge, and the environment's."""
    return RECORDINGS.read_text(encoding="utf-8") + scenes.asset("bridge.js")


def lay_out(scenes: Scenes, show_answers: bool, blocks: gr.Blocks) -> Page:
    """Header, status line, tabs and events, inside the blocks that are being built."""
    bridge = html(
        header_html(scenes),
        js_on_load=script_of(scenes),
        elem_id="mt-header",
    )
    status = html(elem_id="mt-status")
    first = scenes.visitor(scenes.environment, debug=show_answers)
    state = gr.State(first, time_to_live=IDLE_S, delete_callback=Visitor.clear)
    page = Page(scenes, state, bridge, show_answers)
    page.views["status"] = View([status], lambda visitor: [status_html(scenes, visitor)])
    with gr.Tabs(elem_id="mt-tabs"):
        for name, build in scenes.tabs(debug=show_answers).items():
            with gr.Tab(name, id=name.lower()):
                build(page)
    _add_endpoints(page)
    told = gr.Textbox(visible=False)
    everything = page.whole()
    page.on(blocks.load, partial(arrive, scenes), [told], everything, opens=True, js=ARRIVED)
    page.on_bridge(bridge.play_yourself, play_yourself, everything)
    for add_event in page.events:
        add_event()
    return page


def _add_endpoints(page: Page) -> None:
    """The page's few public endpoints: `/start`, `/ask`, and the environment's own.

    They are for Gradio's clients, and act on the caller's own visitor, as the buttons do. Programs
    that play are better served by the environment's own client.
    """
    acts: dict[str, Act] = {"start": _start, "ask": _ask, **page.scenes.endpoints()}
    with gr.Column(visible=False):
        value, tool, answer = gr.JSON(), gr.Textbox(), gr.Textbox()
        buttons = {name: gr.Button(name) for name in acts}
    page.views["answer"] = View([answer], lambda visitor: [visitor.problem or _last(visitor)])
    for name, act in acts.items():
        inputs = [tool, value] if name == "ask" else [value]
        page.on(buttons[name].click, act, inputs, ["answer"], api_name=name)


def _start(visitor: Visitor, reset: Any) -> None:
    if not isinstance(reset, dict):
        raise InvalidValueError("reset arguments", reset, "an object")
    visitor.start(**{str(name): value for name, value in reset.items()})


def _ask(visitor: Visitor, tool: str, arguments: Any) -> None:
    if not isinstance(arguments, dict | None):
        raise InvalidValueError("arguments", arguments, "an object")
    visitor.call(tool, arguments or {})


def _last(visitor: Visitor) -> str:
    """The last reply as canonical JSON."""
    return canonical(observed(visitor.reply)) if visitor.reply else ""


def header_html(scenes: Scenes) -> str:
    """Name, one sentence, links: one line on a wide screen."""
    source = source_url()
    link = f'<a href="{escape(source)}" target="_blank" rel="noopener">Source</a>' if source else ""
    return (
        f'<header class="mt-head"><h1>{escape(scenes.environment.title)}</h1>'
        f"<p>{escape(scenes.lead)}</p>"
        f'<nav aria-label="Links"><span>version {escape(scenes.environment.version)}</span>'
        f'<a href="/docs" target="_blank" rel="noopener">API docs</a>{link}'
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
    """One line that always shows the task, the steps left, the score, and the last message."""
    facts = "".join(f"<span>{escape(each)}</span>" for each in scenes.status(visitor))
    at = visitor.progress
    left = max(at["max_steps"] - at["step_count"], 0)
    address = json.dumps(scenes.address(visitor))
    score = "–" if visitor.score is None else f"{visitor.score:.4f}"
    facts += f"<span>{left} steps left</span><span>score <b>{score}</b></span>"
    if visitor.race is not None:
        facts += f"<span>{escape(progress_text(visitor.race))}</span>"
    said = visitor.problem or visitor.note
    kind = "bad" if visitor.problem else ""
    opens = "watch" if visitor.shown_round else ""
    own = f'data-opens="{opens}" data-token="{visitor.token}" data-address="{escape(address)}"'
    return (
        f'<div class="mt-status" {own}><div><b>{escape(visitor.session.task_id)}</b>{facts}</div>'
        f'<p class="{kind}" role="status" aria-live="polite">{escape(said)}</p></div>'
    )
