"""The room in which an episode is played: picture, questions beside it, answer, report, score."""

from __future__ import annotations

import json
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.bench import bench_html, json_html, log_html, run
from openenv_kit.page.forms import sent
from openenv_kit.page.markup import button, heading, hint, note, words
from openenv_kit.page.page import Page, Unsure, View, ask_first, expect_visitor, html, saves
from openenv_kit.page.rows import edited, editor_html
from openenv_kit.page.scenes import Ask, Call, Move, Scenes
from openenv_kit.page.state import Visitor

EDIT = "edit_rows"
STEP = ("status", "story", "picture", "ask", "answer", "report", "below", "log", "fields")
"""Views that a step changes."""
PLACE = ("status", "ask", "fields", "below")
"""Views that a click on the picture changes; the page itself moves the picture's mark."""
REPORT = ("status", "picture", "answer", "report")


def build(page: Page) -> None:
    """Lay out the room and wire it."""
    scenes = page.scenes
    with gr.Column(visible=False, elem_id="mt-room") as whole:
        story = html(elem_id="mt-story")
        with gr.Row(equal_height=False, elem_classes="mt-room"):
            with gr.Column(min_width=320, scale=5):
                picture = html(elem_id="mt-picture")
            with gr.Column(min_width=320, scale=3, elem_classes="mt-beside") as beside:
                ask, answer = html(elem_id="mt-ask"), html(elem_id="mt-answer")
        report, below = html(elem_id="mt-report"), html(elem_id="mt-below")
        bench = html(elem_id="mt-every")
        with gr.Row(visible=False, elem_classes="mt-actions") as exports:
            for label, make in scenes.exports.items():
                saves(gr.Button(label, size="sm"), page.state, partial(_file, label, make))
        log = html(elem_id="mt-log")
    views = page.views
    views["room"] = View(
        [whole, beside, exports],
        lambda v: [
            gr.update(visible=shown)
            for shown in (v.started, not v.over, v.over and bool(scenes.exports))
        ],
    )
    views["story"] = View([story], lambda v: [story_html(scenes, v)])
    views["picture"] = View([picture], lambda v: [picture_html(scenes, v)])
    views["ask"] = View([ask], lambda v: [ask_html(scenes.ask(v)) if v.started else ""])
    views["answer"] = View([answer], lambda v: [answer_html(scenes, v)])
    views["report"] = View([report], lambda v: [report_html(scenes, v)])
    views["below"] = View([below], lambda v: [scenes.below_html(v) if v.started else ""])
    views["fields"] = View([bench], lambda v: [bench_html(scenes, v)])
    views["log"] = View([log], lambda v: [log_html(scenes, v)])
    bridge = page.bridge
    # Every click counts, and one after the other, so that the last answer shows them all.
    each = {"trigger_mode": "multiple", "concurrency_limit": 1}
    page.on_bridge(bridge.pick, _pick, PLACE)
    page.on_bridge(bridge.choose_tool, _choose, ["fields"])
    page.on_bridge(bridge.run, partial(run, scenes), [*STEP, "room"], **each)
    page.on_bridge(bridge.ask, partial(_ask, scenes), [*STEP, "room"], **each)
    page.on_bridge(bridge.add_row, partial(_add, scenes), REPORT, **each)
    page.on_bridge(bridge.edit_rows, partial(_edit, scenes), REPORT, **each)
    page.on_bridge(bridge.submit, partial(_submit, scenes), [*STEP, "room"], **each)


def next_episode(scenes: Scenes, visitor: Visitor, _: object = None) -> None:
    """Start an episode that the visitor has not seen; a running one is asked about first."""
    reset = scenes.next_reset(visitor)
    ask_first(visitor, "Another episode", lambda v: v.start(**reset))


def next_move(scenes: Scenes, visitor: Visitor) -> Move:
    """What the guide says, and its button."""
    if visitor.over:
        said = scenes.headline(visitor.frames)
        return Move(said, "Next episode", "next_episode")
    if scenes.reports and visitor.rows:
        count = _count(len(visitor.rows), "row")
        bad = _unfinished(scenes, visitor)
        said = bad or f"Your report has {count}. Add what is missing, or submit it."
        return Move(said, f"Submit {count}", "submit")
    return scenes.next_move(visitor)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _file(label: str, make: Any, visitor: Visitor) -> list[str]:
    """Name and text of what is saved after the end."""
    expect_visitor(visitor)
    if not visitor.over:
        raise gr.Error("The counts are there once the episode is over.", print_exception=False)
    return [f"{visitor.task_id}-{label.lower().replace(' ', '-')}.csv", make(visitor)]


def picture_html(scenes: Scenes, visitor: Visitor) -> str:
    """The picture of the visitor's own play."""
    if not visitor.started:
        return ""
    return scenes.picture_html(visitor.frames, visitor.reset, visitor.place, visitor.rows)


def story_html(scenes: Scenes, visitor: Visitor) -> str:
    """After the end: the score's sentence, what was missed, and the parts of the score."""
    if not visitor.over:
        return ""
    return (
        f'<section class="mt-outcome">{heading(scenes.headline(visitor.frames))}'
        f"{scenes.story_html(visitor)}"
        f"<details><summary>What the score is made of</summary>{scenes.score_html(visitor)}"
        "</details></section>"
    )


def ask_html(asked: Ask | None) -> str:
    """Questions about the selected place, in groups, each with its cost."""
    if asked is None:
        return ""
    groups = ""
    for name, calls in asked.groups.items():
        buttons = "".join(f"<li>{_question(call)}</li>" for call in calls)
        costs = " · ".join(dict.fromkeys(call.cost for call in calls if call.cost))
        head = f"<h3>{escape(name)} <small>{escape(costs)}</small></h3>"
        groups += f"{head}<ul>{buttons}</ul>" if calls else ""
    title = f"<h2>{escape(asked.title)}</h2>"
    return f'<section class="mt-asking" aria-label="Ask">{title}{asked.known}{groups}</section>'


def _question(call: Call) -> str:
    value = json.dumps([call.tool, call.arguments], default=str)
    return (
        f'<button type="button" class="mt-btn" data-mt="ask" data-value="{escape(value)}" '
        f'data-key="{escape(f"{call.tool} {call.label}")}">{escape(call.label)}</button>'
    )


def answer_html(scenes: Scenes, visitor: Visitor) -> str:
    """The last answer, with the rows that it points to."""
    if visitor.problem:
        return note(visitor.problem, "bad")
    if visitor.steps == 0 or visitor.over:
        return ""
    frame = visitor.frames[-1]
    shown = scenes.answer_html(frame.observation)
    shown = shown or note(str(frame.observation.get("message") or ""))
    return (
        f'<section class="mt-told" aria-label="Answer"><h2>{escape(scenes.describe(frame.action))}'
        f"</h2>{offers_html(scenes, visitor)}{shown}"
        f"{json_html(scenes.answer(frame.observation))}</section>"
    )


def offers_html(scenes: Scenes, visitor: Visitor) -> str:
    """Rows that can be added to the report with a click."""
    lines = ""
    for at, row in enumerate(scenes.offers(visitor)):
        inside = row in visitor.rows
        add = '<span class="mt-in">in the report</span>'
        if not inside:
            label = scenes.offer_text(row)
            add = (
                f'<button type="button" class="mt-btn" data-mt="add_row" data-value="{at}" '
                f'data-key="add {at}" aria-label="{escape(f"Add to report: {label}")}">'
                "Add to report</button>"
            )
        lines += f"<li><span>{escape(scenes.offer_text(row))}</span>{add}</li>"
    return f'<ul class="mt-offers">{lines}</ul>' if lines else ""


def report_html(scenes: Scenes, visitor: Visitor) -> str:
    """The report as a table to fill in; after the end nothing."""
    if not visitor.started or visitor.over or not scenes.reports:
        return ""
    table = editor_html(EDIT, scenes.columns(visitor), visitor.rows, "Your report")
    empty = "" if visitor.rows else hint("No rows yet: they come from answers, or fill one in.")
    bare = button("submit", "", "Nothing was wrong: submit it empty", style="link")
    return f"{heading('Your report')}{empty}{table}{'' if visitor.rows else bare}"


def _pick(visitor: Visitor, place: object) -> None:
    if isinstance(place, str) and len(place) < 200:
        visitor.place = place


def _choose(visitor: Visitor, tool: object) -> None:
    visitor.tool = str(tool or "")[:80]


def _ask(scenes: Scenes, visitor: Visitor, told: object) -> None:
    """Make a call; one that ends the episode only by who says so twice."""
    name, arguments = sent(told)
    if visitor.started and not visitor.over and scenes.environment.tools.find(name).finishes:
        text = f"{words(name).capitalize()}: this ends the episode."
        raise Unsure(text, "End it", lambda who: who.call(name, arguments))
    visitor.call(name, arguments)


def _report(scenes: Scenes, visitor: Visitor) -> None:
    """Raises an InvalidValueError where there is no report to change."""
    if not (scenes.reports and visitor.started) or visitor.over:
        raise InvalidValueError("report", "closed", "a report of a running episode")


def _add(scenes: Scenes, visitor: Visitor, told: object) -> None:
    _report(scenes, visitor)
    offers = scenes.offers(visitor)
    at = int(str(told)) if str(told).isdecimal() else len(offers)
    if at < len(offers) and offers[at] not in visitor.rows:
        visitor.rows = [*visitor.rows, dict(offers[at])]


def _edit(scenes: Scenes, visitor: Visitor, told: object) -> None:
    """Change one cell, add a row or delete one."""
    _report(scenes, visitor)
    visitor.rows, at = edited(visitor.rows, scenes.columns(visitor), told)
    if 0 <= at < len(visitor.rows):
        row = scenes.filled_in(visitor, visitor.rows[at])
        visitor.rows = [*visitor.rows[:at], row, *visitor.rows[at + 1 :]]


def _unfinished(scenes: Scenes, visitor: Visitor) -> str:
    """What is wrong with the form of the report, in a sentence; empty for nothing."""
    wrong = [
        f"Row {number}: {problem}."
        for number, row in enumerate(visitor.rows, start=1)
        if (problem := scenes.unfinished(visitor, row))
    ]
    return " ".join(wrong[:2])


def _submit(scenes: Scenes, visitor: Visitor, _: object) -> None:
    """Hand in the report; an empty or unfinished one only by who says so twice."""
    _report(scenes, visitor)

    def act(who: Visitor) -> None:
        who.step(scenes.report_action(who.rows))

    if not visitor.rows:
        text = "The report is empty: it says that nothing was wrong, and ends the episode."
        raise Unsure(text, "Submit the empty report", act)
    if bad := _unfinished(scenes, visitor):
        raise Unsure(f"{bad} Like this it is refused, or loses points.", "Submit anyway", act)
    act(visitor)
