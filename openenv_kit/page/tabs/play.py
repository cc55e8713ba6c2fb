"""Tab Play: a finished example, then the room in which an episode is played.

The room has the picture, questions beside it, the answer, the report, the score, and all tools.
"""

from __future__ import annotations

import json
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.components.elements import button, heading, hint, json_html, note, words
from openenv_kit.page.components.forms import arguments_of, form_html, sent
from openenv_kit.page.components.playback_html import ending_html
from openenv_kit.page.components.row_editor import edited, editor_html
from openenv_kit.page.environment_view import Ask, Move, Report, Scenes, answer_of
from openenv_kit.page.events import Page, ask_first
from openenv_kit.page.page_address import next_reset
from openenv_kit.page.visitor import Unsure, Visitor
from openenv_kit.tool import Tool

EDIT = "edit_rows"
STEP = ("status", "story", "picture", "ask", "answer", "report", "below", "bench", "steps")
"""Views that a step changes."""
PLACE = ("status", "ask", "bench", "below")
"""Views that a click on the picture changes; the page itself moves the picture's mark."""
REPORT = ("status", "picture", "answer", "report")


def build(page: Page) -> None:
    """Lay out the tab and wire it. What is not shown of it hides by the style sheet."""
    scenes = page.scenes
    page.add_view("opening", opening_html)
    with gr.Column(elem_id="mt-room"):
        page.add_view("story", lambda s, v: ending_html(s, v.frames, v.reset))
        with gr.Row(equal_height=False, elem_classes="mt-room"):
            with gr.Column(min_width=320, scale=5):
                page.add_view("picture", picture_html)
            with gr.Column(min_width=320, scale=3, elem_classes="mt-asked"):
                page.add_view("ask", lambda s, v: ask_html(s.ask(v)) if v.started else "")
                page.add_view("answer", answer_html)
        page.add_view("report", report_html)
        page.add_view("below", lambda s, v: s.below_html(v) if v.started else "")
        page.add_view("bench", bench_html, "mt-every")
        page.add_view("steps", steps_html)
    bridge = page.bridge
    each = {"trigger_mode": "multiple"}  # every click counts
    page.on_bridge(bridge.replay, _replay, ["opening"])
    page.on_bridge(bridge.pick, _pick, PLACE)
    page.on_bridge(bridge.choose_tool, _choose, ["bench"])
    page.on_bridge(bridge.run, partial(_run, scenes), STEP, **each)
    page.on_bridge(bridge.ask, partial(_ask, scenes), STEP, **each)
    page.on_bridge(bridge.add_row, partial(_add, scenes), REPORT, **each)
    page.on_bridge(bridge.edit_rows, partial(_edit, scenes), REPORT, **each)
    page.on_bridge(bridge.submit, partial(_submit, scenes), STEP, **each)


def next_episode(scenes: Scenes, visitor: Visitor, _: object = None) -> None:
    """Start an episode that the visitor has not seen; a running one is asked about first."""
    reset = next_reset(scenes, visitor)
    ask_first(visitor, "Another episode", lambda v: v.start(**reset))


def next_move(scenes: Scenes, visitor: Visitor) -> Move:
    """What the guide says, and its button."""
    if visitor.over:
        return Move(scenes.headline(visitor.frames), "Next episode", "next_episode")
    report = scenes.report(visitor)
    if report is None or not visitor.rows:
        return scenes.next_move(visitor)
    count = f"{len(visitor.rows)} row{'' if len(visitor.rows) == 1 else 's'}"
    finished = f"Your report has {count}. Add what is missing, or submit it."
    return Move(_unfinished(report) or finished, f"Submit {count}", "submit")


def opening_html(scenes: Scenes, visitor: Visitor) -> str:
    """The demo as far as it is replayed; nothing once the visitor plays."""
    demo = visitor.demo
    if demo is None:
        return ""
    links = button("replay", len(demo.frames) - 1, "Replay", style="link")
    links += button("watch_play", "", "Step by step", style="link")
    return (
        '<section class="mt-opening"><div class="mt-pitch">'
        '<p class="mt-eyebrow">An example, played to its end; score 0 to 1</p>'
        f"<h2>{escape(scenes.headline(demo.frames))}</h2><p>{escape(scenes.mission)}</p><div>"
        f"{button('next_episode', '', 'Play one yourself', style='primary')}{links}</div></div>"
        f'<div class="mt-picture">{scenes.picture_html(demo.so_far, demo.reset)}</div></section>'
    )


def picture_html(scenes: Scenes, visitor: Visitor) -> str:
    """The picture of the visitor's own play."""
    if not visitor.started:
        return ""
    return scenes.picture_html(visitor.frames, visitor.reset, visitor.place, visitor.rows)


def ask_html(asked: Ask | None) -> str:
    """Questions about the selected place, in groups."""
    if asked is None:
        return ""
    groups = ""
    for name, calls in asked.groups.items():
        buttons = "".join(
            "<li>"
            + button(
                "ask",
                json.dumps([call.tool, call.arguments], default=str),
                call.label,
                key=f"{call.tool} {call.label}",
            )
            + "</li>"
            for call in calls
        )
        groups += f"<h3>{escape(name)}</h3><ul>{buttons}</ul>" if calls else ""
    title = f"<h2>{escape(asked.title)}</h2>"
    return f'<section class="mt-asking" aria-label="Ask">{title}{asked.known}{groups}</section>'


def answer_html(scenes: Scenes, visitor: Visitor) -> str:
    """The last answer, with the rows that it points to."""
    if visitor.steps == 0 or visitor.over:
        return ""
    action, seen = visitor.frames[-1].action, visitor.reply
    shown = scenes.answer_html(seen) or note(str(seen.get("message") or ""))
    return (
        f'<section class="mt-answer" aria-label="Answer"><h2>{escape(scenes.describe(action))}</h2>'
        f"{offers_html(scenes, visitor)}{shown}"
        f"{json_html(answer_of(scenes.environment, seen))}</section>"
    )


def offers_html(scenes: Scenes, visitor: Visitor) -> str:
    """Rows that can be added to the report with a click."""
    lines, report = "", scenes.report(visitor)
    for at, row in enumerate(report.offers() if report else ()):
        text = report.offer_text(row) if report else ""
        add = '<span class="mt-in">in the report</span>'
        if row not in visitor.rows:
            name = f"Add to report: {text}"
            add = button("add_row", at, "Add to report", hint=name, key=f"add {at}")
        lines += f"<li><span>{escape(text)}</span>{add}</li>"
    return f'<ul class="mt-offers">{lines}</ul>' if lines else ""


def report_html(scenes: Scenes, visitor: Visitor) -> str:
    """The report as a table to fill in; after the end nothing."""
    report = scenes.report(visitor)
    if not visitor.started or visitor.over or report is None:
        return ""
    table = editor_html(EDIT, report.columns, visitor.rows, "Your report")
    empty = "" if visitor.rows else hint("No rows yet: add one from an answer, or fill one in.")
    bare = button("submit", "", "Nothing was wrong: submit it empty", style="link")
    return f"{heading('Your report')}{empty}{table}{'' if visitor.rows else bare}"


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


def steps_html(_: Scenes, visitor: Visitor) -> str:
    """The way to the visitor's own steps on the tab Watch."""
    if not visitor.steps:
        return ""
    return button("watch_play", "", f"Look at your steps again ({visitor.steps})", style="link")


def _replay(visitor: Visitor, at: Any) -> None:
    """Show the demo as it was after so many steps; the page's script asks for one after another."""
    if visitor.demo is not None:
        visitor.demo.look(at)


def _pick(visitor: Visitor, place: object) -> None:
    if isinstance(place, str) and len(place) < 200:
        visitor.place = place


def _choose(visitor: Visitor, tool: object) -> None:
    visitor.tool = str(tool or "")[:80]


def _ask(scenes: Scenes, visitor: Visitor, form: object) -> None:
    """Make a call; one that ends the episode only by who says so twice."""
    name, arguments = sent(form)
    if visitor.started and not visitor.over and scenes.environment.tools.find(name).finishes:
        text = f"{words(name).capitalize()}: this ends the episode."
        raise Unsure(text, "End it", lambda who: who.call(name, arguments))
    visitor.call(name, arguments)


def _run(scenes: Scenes, visitor: Visitor, form: object) -> None:
    """Call the tool of a form."""
    name, values = sent(form)
    tool = tools_of(scenes, visitor).get(name)
    visitor.call(name, arguments_of(tool.parameters, values) if tool else values)


def _report(scenes: Scenes, visitor: Visitor) -> Report:
    """Raises an InvalidValueError where there is no report to change."""
    report = scenes.report(visitor)
    if report is None or not visitor.started or visitor.over:
        raise InvalidValueError("report", "closed", "a report of a running episode")
    return report


def _add(scenes: Scenes, visitor: Visitor, index: object) -> None:
    offers = _report(scenes, visitor).offers()
    at = int(str(index)) if str(index).isdecimal() else len(offers)
    if at < len(offers) and offers[at] not in visitor.rows:
        visitor.rows = [*visitor.rows, dict(offers[at])]


def _edit(scenes: Scenes, visitor: Visitor, change: object) -> None:
    """Change one cell, add a row or delete one."""
    report = _report(scenes, visitor)
    visitor.rows, at = edited(visitor.rows, report.columns, change)
    if 0 <= at < len(visitor.rows):
        row = report.filled_in(visitor.rows[at])
        visitor.rows = [*visitor.rows[:at], row, *visitor.rows[at + 1 :]]


def _unfinished(report: Report) -> str:
    """What is wrong with the form of the report, in a sentence; empty for nothing."""
    wrong = [
        f"Row {number}: {problem}."
        for number, row in enumerate(report.visitor.rows, start=1)
        if (problem := report.unfinished(row))
    ]
    return " ".join(wrong[:2])


def _submit(scenes: Scenes, visitor: Visitor, _: object) -> None:
    """Hand in the report; an empty or unfinished one only by who says so twice."""
    report = _report(scenes, visitor)

    def act(who: Visitor) -> None:
        who.step(report.action(who.rows))

    if not visitor.rows:
        text = "The report is empty: it says that nothing was wrong, and ends the episode."
        raise Unsure(text, "Submit the empty report", act)
    if bad := _unfinished(report):
        raise Unsure(f"{bad} Like this it is refused, or loses points.", "Submit anyway", act)
    act(visitor)
