"""Calling any tool by hand: a search field, a form, and the log of what calls cost."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from openenv_kit.environment import ERROR
from openenv_kit.page.forms import arguments_of, form_html, sent
from openenv_kit.page.markup import code_html, note, text
from openenv_kit.page.state import Visitor
from openenv_kit.tool import Tool

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

MAX_JSON = 60_000
"""Characters of JSON shown; an answer without a bound would make the page crawl."""


def tools_of(scenes: Scenes) -> dict[str, Tool]:
    """Tools that are called by form; reports are handed in elsewhere where there is a report."""
    tools = scenes.environment.tools.tools
    return {each.name: each for each in tools if each.reads_only or not scenes.reports}


def bench_html(scenes: Scenes, visitor: Visitor) -> str:
    """A search among all tools, and the form of the one that is chosen."""
    if not visitor.started or visitor.over:
        return ""
    tools = tools_of(scenes)
    options = "".join(f'<option value="{escape(name)}">' for name in tools)
    chosen = tools.get(visitor.tool) or next(iter(tools.values()))
    suggested = scenes.suggestions(visitor)
    known = {name: some[0] for name, some in suggested.items() if some}
    form = form_html(
        chosen.name,
        "run",
        "Run it",
        chosen.parameters,
        {**known, **({"rows": visitor.rows} if visitor.rows else {})},
        suggested,
    )
    opened = " open" if visitor.tool or scenes.ask(visitor) is None else ""
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
    tool = tools_of(scenes).get(name)
    visitor.call(name, arguments_of(tool.parameters, values) if tool else values)


def json_html(told: Any, title: str = "JSON, as a model reads it") -> str:
    """The fold in which an answer's JSON is shown, cut to what a page can show."""
    full = told if isinstance(told, str) else json.dumps(told, indent=1, ensure_ascii=False)
    more = len(full) - MAX_JSON
    shown = f"{full[:MAX_JSON]}\n… {more:,} more characters" if more > 0 else full
    return code_html(title, shown)


def log_html(scenes: Scenes, visitor: Visitor) -> str:
    """The calls of this episode, newest first, with what each cost."""
    if not visitor.steps:
        return ""
    lines, spent = "", 0
    for number, frame in enumerate(visitor.frames[1:], start=1):
        seen = frame.observation
        size = len(json.dumps(scenes.answer(seen), default=str))
        spent += size
        kind = "error" if seen.get("status") == ERROR else ""
        lines = (
            f'<li class="{kind}"><b>{number}</b><div><code>{escape(scenes.describe(frame.action))}'
            f"</code><small>{text(str(seen.get('message') or ''))}</small><small>"
            f"{1000 * frame.elapsed_s:.1f} ms · {size:,} characters</small></div></li>{lines}"
        )
    title = f"Your calls ({visitor.steps}), {spent:,} characters that a model would read"
    return (
        f'<details class="mt-calls"><summary>{title}</summary>'
        f'<ol class="mt-log" tabindex="0" aria-label="Log">{lines}</ol></details>'
    )
