"""Replies of a drill-down play on the page: what is left of the budget, charts, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from metric_tracker_rl.page.drill import charts
from metric_tracker_rl.page.drill.panels import (
    compare_changes,
    panels_of,
    slice_dates,
    slice_measures,
)
from metric_tracker_rl.page.drill.state import MetricVisitor
from metric_tracker_rl.page.drill.story import DRAWN, Answer, Story, segment_text
from openenv_kit.page.bench import json_html
from openenv_kit.page.markup import bar, day_name, heading, hint, note, table, text
from openenv_kit.page.same_call import same_call_html
from openenv_kit.page.watching import call_text

BRUSH = (
    "Dotted, where the reply holds three weeks or more: the same weekday's median in it. "
    "Drag over days to choose them."
)
MOST_ROWS = 300
"""Rows of a table on the page; one reply of `sql` has no more."""


def left_html(story: Story) -> str:
    """What is left of the budget, a bar for each unit."""
    lines = "".join(
        bar(f"{unit} left", left / most, f"{left:,} of {most:,}")
        for (unit, left), most in zip(story.left.items(), story.limits.values(), strict=True)
    )
    return f'<div class="dd-left">{lines}</div>'


def shown(visitor: MetricVisitor) -> Sequence[Any]:
    """Values of the reply's drop-down, the measure's, the chart, and the table with the JSON."""
    story = visitor.story
    hidden = gr.update(visible=False)
    drawn = story.drawn
    choices = [
        (f"{at + 1}. {call_text(each.method, each.arguments)}"[:120], at)
        for at, each in enumerate(drawn)
    ]
    at = visitor.looked_at if 0 <= visitor.looked_at < len(drawn) else len(drawn) - 1
    which = gr.update(choices=choices, value=at, visible=len(drawn) > 1)
    problem = note(visitor.problem, "bad")
    if not drawn:
        return [hidden, hidden, hidden, problem or hint("Nothing asked yet.")]
    answer = drawn[at]
    names = measures(story, answer)
    name = visitor.measure if visitor.measure in names else (names[0] if names else None)
    figure = chart_of(story, answer, visitor.measure)
    return [
        which,
        gr.update(choices=names, value=name, visible=len(names) > 1),
        gr.update(value=figure, visible=True) if figure else hidden,
        problem
        + (hint(BRUSH) if _has_days(answer) else "")
        + answer_html(answer)
        + json_html(json.dumps(answer.result, ensure_ascii=False))
        + same_call_html(visitor.environment, visitor.reset, _action_of(answer)),
    ]


def _action_of(answer: Answer) -> dict[str, Any]:
    return {"analysis_method": answer.method, "analysis_args": dict(answer.arguments)}


def _has_days(answer: Answer) -> bool:
    """Whether several days of a reply are drawn."""
    return answer.method == "slice" and len(slice_dates(answer.result)) > 1


def measures(story: Story, answer: Answer) -> list[str]:
    """Measures of which one is drawn; none where all are drawn at once, or nothing is."""
    if not answer.result.get("rows"):
        return []
    if answer.method == "slice":
        told = slice_measures(answer.result, story.stages)
        return [each.name for each in told] if len(told[0].by_segment) > 1 else []
    return list(compare_changes(answer.result, story.stages)) if answer.method == "compare" else []


def chart_of(story: Story, answer: Answer, measure: str) -> Any:
    """The picture of a reply; None where it has none.

    Args:
        story: the play.
        answer: the reply.
        measure: name of the measure that is drawn; the first one where it holds none of that name.
    """
    result = answer.result
    if answer.method == "slice" and result["rows"]:
        dates = slice_dates(result)
        told = slice_measures(result, story.stages)
        panels = panels_of(told, measure, dates, weekly="weeks_from" in result)
        names = [each.name for each in told]
        name = measure if measure in names else names[0]
        if len(dates) == 1:
            return charts.one_period(name, panels)
        return charts.small_multiples(name if len(told[0].by_segment) > 1 else "", panels)
    if answer.method == "compare" and result["rows"]:
        found = compare_changes(result, story.stages)
        name = measure if measure in found else next(iter(found))
        return charts.changes(name, found[name])
    return None


def answer_html(answer: Answer) -> str:
    """The numbers of a reply as a table."""
    result = answer.result
    if answer.method == "change_log":
        return log_html(result["entries"])
    if answer.method not in DRAWN:
        return ""
    caption = f"{len(result['rows']):,} row(s)"
    if answer.method != "slice":
        return _table(result["columns"], result["rows"], caption)
    columns = result["columns"][:-1]
    rows = [[*row[:-1], *row[-1]] for row in result["rows"]]
    body = _table([*columns, *slice_dates(result)], rows, caption)
    return f"<details><summary>The numbers</summary>{body}</details>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> str:
    numbers = [
        at
        for at in range(len(columns))
        if rows and all(isinstance(row[at], int | float) for row in rows)
    ]
    cells = [[text(value) for value in row] for row in rows[:MOST_ROWS]]
    return table(columns, cells, caption, numbers)


def log_html(entries: Sequence[Mapping[str, Any]]) -> str:
    """The change log as a table."""
    lines = [
        [
            escape(entry["id"]),
            escape(day_name(entry["date"])),
            escape(entry["component"]),
            escape(segment_text(entry["scope"])),
        ]
        for entry in entries
    ]
    return table(["id", "date", "component", "scope"], lines, f"Change log ({len(lines)} entries)")


def sql_html(story: Story) -> str:
    """The table that queries read, and what they may use."""
    told = story.config["sql"]
    columns = [[f"<code>{escape(n)}</code>", escape(t)] for n, t in told["columns"].items()]
    functions = [[escape(kind), escape(names)] for kind, names in told["functions"].items()]
    return (
        heading(f"Table {told['table']}", f"One row is {told['one_row']}.")
        + table(["column", "holds"], columns)
        + f"<details><summary>What queries may use</summary><p>{escape(told['rules'])}</p>"
        + f"{table(['kind', 'functions'], functions)}</details>"
    )
