"""Calling tools by hand: a form for each, and the log of what the calls cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from openenv_kit.page.forms import MakeField, build_forms
from openenv_kit.page.layout import html
from openenv_kit.page.markup import code_html, heading, hint, note, text
from openenv_kit.page.page import QUIET, Page, View
from openenv_kit.page.state import Visitor
from openenv_kit.tools.catalogue import ToolSpec

MAX_JSON = 60_000
"""Characters of JSON shown; an answer without a bound would make the page crawl."""


ALL = "All"


@dataclass(frozen=True)
class Group:
    """Tools that serve one purpose.

    Attributes:
        name: of the group.
        help: one line about it.
        tools: their names.
    """

    name: str
    help: str
    tools: Sequence[str]


def build_bench(
    page: Page,
    tools: Sequence[ToolSpec],
    *,
    label: str,
    first: str = "",
    make: MakeField = lambda *_: None,
    groups: Sequence[Group] = (),
) -> Callable[..., None]:
    """Lay out the choice of a tool, its form, the button that calls it, and the log.

    Args:
        page: gets the views `log` and `forms`.
        tools: the tools offered.
        label: of the choice.
        first: the tool chosen to begin with; empty for the first of them.
        make: makes inputs of the environment's own.
        groups: what the tools are for; with any, one can be chosen to shorten the list.

    Returns:
        Makes the button work, given the views to show and where to show the wait.
    """
    about = {tool.name: note(tool.description) for tool in tools}
    first = first or tools[0].name
    html(heading("Ask", "Each call is one step of the episode."))
    group = gr.Radio(
        [ALL, *(each.name for each in groups)],
        value=ALL,
        label="What for",
        visible=bool(groups),
        elem_id="mt-group",
    )
    helped = html(_group_help(groups, ALL) if groups else "")
    method = gr.Dropdown(list(about), value=first, label=label, elem_id="mt-method")
    described = html(about[first])
    forms = build_forms(tools, first, make)
    run = gr.Button("Run", variant="primary", elem_id="mt-run")
    log = html(elem_id="mt-log")
    fields = [field for form in forms for field in form.fields]
    following = {field.component: field.update for field in fields if field.update}
    page.views["log"] = View([log], lambda visitor: [log_html(visitor)])
    page.views["forms"] = View(
        list(following), lambda visitor: [update(visitor) for update in following.values()]
    )

    def choose(name: str) -> list[Any]:
        return [about.get(name, ""), *(gr.update(visible=name in form.tools) for form in forms)]

    def ask(visitor: Visitor, name: str, *values: Any) -> None:
        given = dict(zip(fields, values, strict=True))
        form = next((each for each in forms if name in each.tools), None)
        own = [given[field] for field in form.fields] if form else []
        visitor.call(name, form.arguments(own, visitor) if form else {})

    def call(show: Sequence[str], wait_on: Sequence[Any]) -> None:
        inputs = [method, *(field.component for field in fields)]
        page.on(run.click, ask, inputs, show, wait_on=wait_on)

    def narrow(name: str) -> list[Any]:
        chosen = next((list(each.tools) for each in groups if each.name == name), list(about))
        return [_group_help(groups, name), gr.update(choices=chosen, value=chosen[0])]

    groups_of_inputs = [form.group for form in forms]
    group.input(narrow, group, [helped, method], show_progress_on=helped, **QUIET)
    method.change(
        choose, method, [described, *groups_of_inputs], show_progress_on=described, **QUIET
    )
    return call


def _group_help(groups: Sequence[Group], chosen: str) -> str:
    told = next((each.help for each in groups if each.name == chosen), "")
    return hint(told or "Choose a purpose to see fewer methods.")


def json_html(told: Any, title: str = "JSON, as an agent reads it") -> str:
    """The fold in which an answer's JSON is shown, cut to what a page can show."""
    full = told if isinstance(told, str) else json.dumps(told, indent=1, ensure_ascii=False)
    more = len(full) - MAX_JSON
    shown = f"{full[:MAX_JSON]}\n… {more:,} more characters" if more > 0 else full
    return code_html(title, shown)


def log_html(visitor: Visitor) -> str:
    """The calls of this episode, newest first, with what each cost."""
    if not visitor.log:
        return heading("Log") + hint("No step taken yet.")
    spent = sum(entry.size for entry in visitor.log)
    lines = "".join(
        f'<li class="{entry.status}"><b>{entry.number}</b><div><code>{text(entry.call)}</code>'
        f"<small>{text(entry.message)}</small>"
        f"<small>{entry.elapsed_s * 1000:.1f} ms · {entry.size:,} characters</small></div></li>"
        for entry in reversed(visitor.log)
    )
    at = visitor.progress
    below = f"{at['step_count']} of {at['max_steps']} steps, {spent:,} characters read."
    return heading("Log", below) + f'<ol class="mt-log" tabindex="0" aria-label="Log">{lines}</ol>'
