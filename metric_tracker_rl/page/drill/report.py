"""Tab Report of a drill-down episode: its rows, the score, and the roots on the data."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from metric_tracker_rl.drilldown.change_log import UNATTRIBUTED
from metric_tracker_rl.drilldown.levels import KINDS
from metric_tracker_rl.drilldown.report import FIELDS
from metric_tracker_rl.page.confirm import confirmation, confirmed_submit
from metric_tracker_rl.page.drill.investigate import day_choices
from metric_tracker_rl.page.drill.roots import roots_figure, told_roots
from metric_tracker_rl.page.drill.rows import COLUMNS, row_cells
from metric_tracker_rl.page.drill.score import score_html
from metric_tracker_rl.page.drill.state import (
    MetricVisitor,
    episode_of,
    people_choices,
    segment_of,
)
from metric_tracker_rl.page.drill.story import Story, segment_text
from openenv_kit.environment import Session
from openenv_kit.errors import KitError
from openenv_kit.page import reveal
from openenv_kit.page.layout import chart, html
from openenv_kit.page.markup import button, day_name, heading, hint, note, table, words
from openenv_kit.page.page import Page, View
from openenv_kit.page.state import OVER


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    score, roots = html(elem_id="dd-score"), chart("roots", visible=False)
    revealing = reveal.lay_out("dd")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            html(heading("A row", "Who, which days, which step, what kind, because of what."))
            kind = gr.Dropdown(
                [(words(each), each) for each in KINDS], label="Kind", elem_id="dd-kind"
            )
            stage = gr.Dropdown(
                [],
                label="Stage",
                info="the step into it; the first one for traffic and mix",
                elem_id="dd-stage",
            )
            people = gr.Dropdown(
                [],
                multiselect=True,
                label="Segment",
                info="exactly these people, at most three values; empty for everybody",
                elem_id="dd-segment",
            )
            with gr.Row():
                first = gr.Dropdown([], label="From", elem_id="dd-row-from", min_width=120)
                last = gr.Dropdown([], label="To", elem_id="dd-row-to", min_width=120)
            change = gr.Dropdown(
                [],
                label="Change",
                info="an entry of the change log, once it was read",
                allow_custom_value=True,
                elem_id="dd-change",
            )
            add = gr.Button("Add the row", elem_id="dd-add")
        with gr.Column(min_width=300, scale=3):
            html(heading("Your report"))
            rows = html(elem_id="dd-rows")
            with gr.Row(elem_classes="mt-actions"):
                submit = gr.Button("Submit report", variant="primary", elem_id="dd-submit")
                clear = gr.Button("Empty the report", elem_id="dd-clear")
            sure = confirmation("dd-sure")
    fields = [kind, stage, people, first, last, change]
    page.views["drill_row"] = View([stage, people, first, last], _choices)
    page.views["drill_row_days"] = View([first, last], _days)
    # The next row is of other people; what could not be added is kept to be mended.
    page.views["drill_people"] = View(
        [people], lambda v: [gr.skip() if v.problem else gr.update(value=[])]
    )
    page.views["drill_rows"] = View([rows], lambda visitor: [rows_html(visitor)])
    page.views["drill_changes"] = View([change], _changes)
    page.views["drill_score"] = View(
        [score, roots, *revealing],
        lambda v: [*scored(v.story, v.session), *reveal.show(page.scenes, v)],
    )
    reveal.wire(page, revealing[0], "drill_score", revealing[1])
    shown = ["status", "drill_rows", "drill_log"]
    page.on(add.click, _add, fields, [*shown, "drill_people"])
    page.on(clear.click, _clear, (), shown)
    after = ["drill_left", "drill_calls", "drill_score"]
    confirmed_submit(page, submit, sure, [*shown, *after], score)
    one_by_one = {"trigger_mode": "multiple", "concurrency_limit": 1}
    page.on_bridge(page.bridge.drop_row, _drop, shown, **one_by_one)


def _choices(visitor: MetricVisitor) -> list[Any]:
    story = visitor.story
    days = day_choices(story.dates)
    return [
        gr.update(choices=list(story.stages), value=story.stages[0]),
        gr.update(choices=people_choices(story.dims), value=[]),
        *(gr.update(choices=days, value="") for _ in range(2)),
    ]


def _days(visitor: MetricVisitor) -> Sequence[Any]:
    return visitor.days or (gr.skip(), gr.skip())


def _changes(visitor: MetricVisitor) -> list[Any]:
    """The entries that a row may name: those that were read."""
    entries = [
        (
            f"{e['id']} · {day_name(e['date'])} · {e['component']} · {segment_text(e['scope'])}",
            e["id"],
        )
        for e in visitor.story.entries
    ]
    return [gr.update(choices=[UNATTRIBUTED, *entries])]


def _add(visitor: MetricVisitor, *values: Any) -> None:
    """Add the row of the form's values, in the order of `FIELDS`."""
    if visitor.session.done:
        visitor.problem = OVER
        return
    kind, stage, people, first, last, change = values
    ends = [first or last or "", last or first or ""]
    told = [kind, stage, segment_of(people), *ends, change or UNATTRIBUTED]
    row = dict(zip(FIELDS, told, strict=True))
    if row in visitor.rows:
        visitor.note = "That row is in the report already."
        return
    visitor.rows = [*visitor.rows, row]
    visitor.note = f"{len(visitor.rows)} row(s) in the report."


def _drop(visitor: MetricVisitor, at: Any) -> None:
    """Take a row out, by its place."""
    if str(at).isdigit() and int(at) < len(visitor.rows):
        visitor.rows = [row for place, row in enumerate(visitor.rows) if place != int(at)]
        visitor.note = f"{len(visitor.rows)} row(s) in the report."


def _clear(visitor: MetricVisitor) -> None:
    visitor.rows, visitor.unsure = [], False
    visitor.note = "The report is empty."


def rows_html(visitor: MetricVisitor) -> str:
    """The report as it stands, and how it would be read; nothing of right or wrong."""
    if not visitor.rows:
        return hint("No rows yet. Where there is no root, the empty report is right.")
    over = visitor.session.done
    lines = []
    for at, row in enumerate(visitor.rows):
        drop = "" if over else button("drop_row", at, "Remove", hint=f"Remove row {at + 1}")
        lines.append([drop, *row_cells(row)])
    shown = table(["", *COLUMNS], lines)
    try:
        seen = visitor.check()
    except KitError as problem:
        return shown + note(str(problem), "bad")
    bad = seen["invalid_rows"] or seen["repeated_places"]
    summary = (
        f"{len(visitor.rows)} row(s): {seen['valid_rows']} well formed, {seen['invalid_rows']} "
        f"not, {seen['repeated_places']} in a repeated place."
    )
    issues = "".join(f"<li>{escape(each)}</li>" for each in seen["issues"])
    told = f'<ul class="mt-issues">{issues}</ul>' if issues else ""
    return shown + note(summary, "bad" if bad else "good") + told


def scored(story: Story, session: Session) -> list[Any]:
    """The score in words and the roots on the data; nothing before the end."""
    episode = episode_of(session)
    roots = gr.update(visible=False)
    if told_roots(story.breakdown):
        roots = gr.update(value=roots_figure(episode), visible=True)
    return [score_html(story, episode), roots]
