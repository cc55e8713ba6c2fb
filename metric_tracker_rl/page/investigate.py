"""Tab Investigate: every analysis method with a form, its result, and the log.

Some inputs follow the episode: its dates, and the report's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from metric_tracker_rl.analysis_tools.lookup import THRESHOLD_SEARCH_SPACE
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.vocabulary import ROW_GENERATORS
from metric_tracker_rl.page.state import FunnelVisitor, key_of
from metric_tracker_rl.page.units import with_unit
from metric_tracker_rl.tools import FUNNEL_TOOLS
from openenv_kit.page.bench import Group, build_bench, json_html
from openenv_kit.page.forms import Field, Schema, as_given, as_list, number, number_input
from openenv_kit.page.layout import html
from openenv_kit.page.markup import button, day_name, heading, hint, note, table, text, words
from openenv_kit.page.page import Page, View
from openenv_kit.page.results import result_html
from openenv_kit.page.same_call import same_call_html

VALUES = ("observed_value", "baseline_value", "severity")
FIRST = "list_suspicious_dates"
METHODS = [tool for tool in FUNNEL_TOOLS if tool.reads_only]
COMPARE = (
    *("compare_rate_to_median", "compare_count_to_median", "get_metric_median"),
    *("get_metric_std_dev_from_median", "get_rows_with_abs_diff_from_median_gt"),
)
DETECT = ("list_suspicious_dates", "detect_funnel_break", "check_impossible_counts")
CHECK = ("preview_submission",)


def _groups() -> list[Group]:
    """Methods by what they are for; one that is in no list makes rows or shows what is there."""
    listed = (*COMPARE, *DETECT, *CHECK)
    rest = [tool.name for tool in METHODS if tool.name not in listed]
    makes = [name for name in rest if name == "payload_generator" or name in GENERATING]
    look = [name for name in rest if name not in makes]
    return [
        Group("Look", "What there is: the task, its dates, entities and counts.", look),
        Group("Compare", "One metric beside its median, or how far metrics stray.", COMPARE),
        Group("Detect", "Where something may be wrong: days, broken steps, bad data.", DETECT),
        Group("Generate", "Report rows by rule of thumb; many are echoes of a root.", makes),
        Group("Submit", "Check the report's form here; the Report tab submits it.", CHECK),
    ]


GENERATING = [f"get_{name}_rows" for name in ROW_GENERATORS]
GROUPS = _groups()


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            call = build_bench(
                page,
                METHODS,
                label="Analysis method",
                first=FIRST,
                make=make_field,
                groups=GROUPS,
            )
        with gr.Column(min_width=300, scale=3):
            html(heading("Answer"))
            add_all = gr.Button("Add to report", visible=False, elem_id="mt-add-all")
            answer = html(elem_id="mt-answer")
    page.views["result"] = View([answer, add_all], _result)
    call(["status", "result", "log", "data", "forms", "score"], [answer])
    after = ["status", "result", "report", "map"]
    page.on(add_all.click, lambda v: _add(v, range(len(v.offers))), (), after)
    # Every click counts, and one after the other, so that the last answer shows them all.
    one_by_one = {"trigger_mode": "multiple", "concurrency_limit": 1}
    page.on_bridge(page.bridge.pick_row, lambda v, at: _add(v, [at]), after, **one_by_one)


def make_field(name: str, schema: Schema, shared: dict[str, Any]) -> Field | None:
    """The input of one argument; see `openenv_kit.page.forms.MakeField`."""
    if name == "dates":
        choice = gr.Dropdown([], multiselect=True, **shared)
        return Field(name, choice, as_list, lambda v: gr.update(choices=_dates(v), value=[]))
    if name == "date":
        # Typed dates are let through, so that the engine can say what is wrong with one.
        choice = gr.Dropdown([], allow_custom_value=True, **shared)
        return Field(name, choice, as_given, lambda v: gr.update(choices=_dates(v), value=v.day))
    if name in ("metric_name", "metric_names"):
        several = name == "metric_names"
        names = ORDERING_APP.metrics if several else ["", *ORDERING_APP.metrics]
        choice = gr.Dropdown(list(names), multiselect=several, **shared)
        return Field(name, choice, as_list if several else as_given)
    if name == "rows":
        html(hint("Looks at the rows on the Report tab as they stand."))
        hidden = gr.Textbox(visible=False)
        return Field(name, hidden, lambda _, visitor: [dict(row) for row in visitor.rows])
    if name in THRESHOLD_SEARCH_SPACE:
        space = THRESHOLD_SEARCH_SPACE[name]
        value = schema.get("default", space["default"])
        typed = number_input(value, schema, shared, space["step"])
        return Field(name, typed, number(str(schema["type"])))
    return None


def _dates(visitor: FunnelVisitor) -> list[tuple[str, str]]:
    """The episode's dates as choices, weekday first."""
    return [(f"{day_name(date)} · {date}", date) for date in visitor.view.episode.dates]


def cell(column: str, value: Any, row: Mapping[str, Any]) -> str:
    """HTML of a value in a result's table; a date is a button that selects the day."""
    if column == "date" and isinstance(value, str):
        return _day_button(value)
    return with_unit(column, value, row)


def _day_button(date: str) -> str:
    return button("pick_day", date, day_name(date), style="link", hint=f"Select {date}")


def _add(visitor: FunnelVisitor, places: Sequence[Any]) -> None:
    """Add offered rows by their place in the list of offers."""
    wanted = [int(place) for place in places if str(place).isdigit()]
    rows = [visitor.offers[at] for at in wanted if at < len(visitor.offers)]
    added = visitor.add_rows(rows)
    also = f"; {len(rows) - added} already there" if len(rows) > added else ""
    visitor.note = f"{added} row(s) added to the report{also}."


def _result(visitor: FunnelVisitor) -> Sequence[Any]:
    if visitor.result is None:
        empty = hint("Nothing asked yet. Choose a method and run it.")
        return [note(visitor.problem, "bad") or empty, gr.update(visible=False)]
    result, taken = visitor.result["result"], visitor.keys
    free = sum(key_of(row) not in taken for row in visitor.offers)
    left_out = ["generated_rows"] if visitor.offers else []
    return [
        offers_html(visitor)
        + result_html(result, left_out, cell)
        + json_html(result)
        + same_call_html(visitor.environment, visitor.reset, visitor.acted),
        gr.update(visible=free > 0, value=f"Add all {free} row(s) to the report"),
    ]


def offers_html(visitor: FunnelVisitor) -> str:
    """The rows a result points to, each with a button that puts it in the report."""
    if not visitor.offers:
        return ""
    lines = []
    for at, row in enumerate(visitor.offers):
        add = '<span class="mt-in">in report</span>'
        if key_of(row) not in visitor.keys:
            add = button("pick_row", at, "Add", hint=f"Add {row['entity_name']} on {row['date']}")
        names = [text(words(row[name])) for name in ("entity_name", "anomaly_type")]
        values = [with_unit(name, row[name], row) for name in VALUES]
        lines.append([add, _day_button(row["date"]), *names, *values])
    columns = ["report", "date", "entity", "anomaly", "observed", "median", "severity"]
    return table(columns, lines, f"Rows you could report ({len(lines)})", numbers=(4, 5))
