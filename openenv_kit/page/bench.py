"""Calling any tool by hand: a search field and a form."""

from __future__ import annotations

from html import escape
from typing import Any

from openenv_kit.page.forms import arguments_of, form_html, sent
from openenv_kit.page.markup import note
from openenv_kit.page.scenes import Scenes
from openenv_kit.page.state import Visitor
from openenv_kit.tool import Tool


def tools_of(scenes: Scenes, visitor: Visitor) -> dict[str, Tool]:
    """Tools that are called by form; reports are handed in elsewhere where there is a report."""
    reports = scenes.report(visitor) is not None
    tools = scenes.environment.tools.tools
    return {each.name: each for each in tools if each.reads_only or not reports}


def bench_html(scenes: Scenes, visitor: Visitor) -> str:
    """A search among all tools, and the form of the one that is chosen."""
    if not visitor.started or visitor.over:
        return ""
    tools, asked = tools_of(scenes, visitor), scenes.ask(visitor)
    options = "".join(f'<option value="{escape(name)}">' for name in tools)
    chosen = tools.get(visitor.tool) or next(iter(tools.values()))
    suggested = asked.suggested if asked else {}
    known: dict[str, Any] = {name: some[0] for name, some in suggested.items() if some}
    if visitor.rows:
        known["rows"] = visitor.rows
    form = form_html(chosen.name, "run", "Run it", chosen.parameters, known, suggested)
    opened = " open" if visitor.tool or asked is None else ""
    return (
        f'<details class="mt-bench" id="mt-bench"{opened}><summary>All {len(tools)} tools, with '
        f'their arguments</summary><label class="mt-search">Search the tools <input '
        f'type="search" list="mt-tools" data-choose="choose_tool" data-key="tool" '
        f'value="{escape(chosen.name)}"></label><datalist id="mt-tools">{options}</datalist>'
        f"{note(chosen.description)}{form}</details>"
    )


def run(scenes: Scenes, visitor: Visitor, told: object) -> None:
    """Call the tool of a form."""
    name, values = sent(told)
    tool = tools_of(scenes, visitor).get(name)
    visitor.call(name, arguments_of(tool.parameters, values) if tool else values)
