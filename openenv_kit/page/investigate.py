"""Tab Investigate: every analysis method with a form, its result, and the running log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from metric_tracker_rl.analysis_tools import TOOLS
from openenv_kit.page.forms import Form, build_forms, date_choices
from openenv_kit.page.layout import html
from openenv_kit.page.markup import button, day_name, heading, hint, note, table, text
from openenv_kit.page.page import Page, View
from openenv_kit.page.results import result_html
from openenv_kit.page.state import Visitor, key_of

FIRST = "list_suspicious_dates"
MAX_JSON = 60_000
"""Characters of JSON shown; an hourly dump of the whole episode would make the page crawl."""


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            html(heading("Ask", "Each call is one step of the episode."))
            method = gr.Dropdown(
                list(TOOLS), value=FIRST, label="Analysis method", elem_id="mt-method"
            )
            about = html(_about(FIRST))
            forms = build_forms(FIRST)
            run = gr.Button("Run", variant="primary", elem_id="mt-run")
            log = html(elem_id="mt-log")
        with gr.Column(min_width=300, scale=3):
            html(heading("Answer"))
            add_all = gr.Button("Add to report", visible=False, elem_id="mt-add-all")
            answer = html(elem_id="mt-answer")
            with gr.Accordion("JSON, as an agent reads it", open=False, elem_classes="mt-fold"):
                raw = gr.Code(language="json", interactive=False, show_label=False, max_lines=30)
    dated = [field for form in forms for field in form.fields if field.of_date]
    page.views["result"] = View([answer, add_all, raw], _result)
    page.views["log"] = View([log], lambda visitor: [log_html(visitor)])
    page.views["dates"] = View(
        [field.component for field in dated],
        lambda visitor: [_dates(visitor, field.single) for field in dated],
    )
    method.change(
        lambda name: [_about(name), *_visible(forms, name)],
        inputs=method,
        outputs=[about, *(form.group for form in forms)],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=None,
    )
    every = [field.component for form in forms for field in form.fields]

    def ask(visitor: Visitor, name: str, *values: Any) -> None:
        form, own = _own(forms, name, values)
        visitor.analyse(name, form.arguments(own, visitor) if form else {})

    def wire() -> None:
        shown = ["status", "result", "log", "data", "dates", "score"]
        page.on(run.click, ask, [method, *every], shown, wait_on=[answer])
        after = ["status", "result", "report"]
        page.on(add_all.click, lambda v: _add(v, range(len(v.offers))), (), after, wait_on=())
        # Every click counts, and one after the other, so that the last answer shows them all.
        page.on_bridge(
            page.bridge.pick_row,
            lambda v, at: _add(v, [at]),
            after,
            trigger_mode="multiple",
            concurrency_limit=1,
        )

    page.wiring.append(wire)


def _own(forms: Sequence[Form], name: str, values: Sequence[Any]) -> tuple[Form | None, list[Any]]:
    """The form of a method, and its part of all forms' values."""
    tool, start = TOOLS.get(name), 0
    for form in forms:
        stop = start + len(form.fields)
        if tool and form.model is tool.arguments:
            return form, list(values[start:stop])
        start = stop
    return None, []


def _add(visitor: Visitor, places: Sequence[Any]) -> None:
    """Add offered rows by their place in the list of offers."""
    wanted = [int(place) for place in places if str(place).isdigit()]
    rows = [visitor.offers[at] for at in wanted if at < len(visitor.offers)]
    added = visitor.add_rows(rows)
    known = len(rows) - added
    visitor.note = f"{added} row(s) added to the report" + (
        f"; {known} already there." if known else "."
    )


def _about(name: str) -> str:
    tool = TOOLS.get(name)
    return note(tool.description) if tool else ""


def _visible(forms: Sequence[Form], name: str) -> list[Any]:
    model = TOOLS[name].arguments if name in TOOLS else None
    return [gr.update(visible=form.model is model) for form in forms]


def _dates(visitor: Visitor, single: bool) -> Any:
    choices = date_choices(visitor)
    return gr.update(choices=choices, value=visitor.day if single else [])


def _result(visitor: Visitor) -> Sequence[Any]:
    if visitor.result is None:
        empty = note(visitor.problem, "bad") or hint(
            "Nothing asked yet. Choose a method and run it."
        )
        return [empty, gr.update(visible=False), ""]
    result = visitor.result["result"]
    taken = {key_of(row) for row in visitor.rows}
    free = sum(key_of(row) not in taken for row in visitor.offers)
    full = json.dumps(result, indent=1)
    if len(full) > MAX_JSON:
        full = f"{full[:MAX_JSON]}\n… {len(full) - MAX_JSON:,} more characters"
    label = f"Add all {free} row(s) to the report"
    return [
        offers_html(visitor) + result_html(result, ["generated_rows"] if visitor.offers else []),
        gr.update(visible=free > 0, value=label),
        full,
    ]


def offers_html(visitor: Visitor) -> str:
    """The rows a result points to, each with a button that puts it in the report."""
    if not visitor.offers:
        return ""
    taken = {key_of(row) for row in visitor.rows}
    lines = []
    for at, row in enumerate(visitor.offers):
        there = key_of(row) in taken
        name = f"Add {row['entity_name']} on {row['date']}"
        lines.append(
            [
                '<span class="mt-in">in report</span>'
                if there
                else button("pick_row", at, "Add", hint=name),
                button(
                    "pick_day",
                    row["date"],
                    day_name(row["date"]),
                    style="link",
                    hint=f"Select {row['date']}",
                ),
                text(row["entity_name"].replace("_", " ")),
                text(row["anomaly_type"].replace("_", " ")),
                text(row["observed_value"]),
                text(row["baseline_value"]),
                text(row["severity"]),
            ]
        )
    columns = ["report", "date", "entity", "anomaly", "observed", "median", "severity"]
    return table(columns, lines, f"Rows you could report ({len(lines)})", numbers=(4, 5))


def log_html(visitor: Visitor) -> str:
    """The calls of this episode, newest first, with what each cost."""
    if not visitor.log:
        return heading("Log") + hint("No step taken yet.")
    most = visitor.view.rules.max_steps
    spent = sum(entry.size for entry in visitor.log)
    lines = "".join(
        f'<li class="{entry.status}"><b>{entry.number}</b><div><code>{text(entry.call)}</code>'
        f"<small>{text(entry.message)}</small>"
        f"<small>{entry.elapsed_s * 1000:.1f} ms · {entry.size:,} characters</small></div></li>"
        for entry in reversed(visitor.log)
    )
    below = f"{visitor.session.steps} of {most} steps, {spent:,} characters read."
    return heading("Log", below) + f'<ol class="mt-log">{lines}</ol>'
