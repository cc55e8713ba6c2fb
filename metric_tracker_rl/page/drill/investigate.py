"""Tab Investigate of a drill-down episode: ask for counts, see them drawn, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from typing import Any

import gradio as gr

from metric_tracker_rl.drilldown.arguments import MOST_GROUPS
from metric_tracker_rl.drilldown.tools import EASY
from metric_tracker_rl.page.drill import answers
from metric_tracker_rl.page.drill.state import MetricVisitor, people_choices, people_of
from openenv_kit.errors import InvalidValueError
from openenv_kit.page.bench import log_html
from openenv_kit.page.layout import chart, code_box, html
from openenv_kit.page.markup import day_name, heading
from openenv_kit.page.page import QUIET, Act, Page, View

AFTER = (
    *("status", "drill_left", "drill_answer", "drill_calls"),
    *("drill_log", "drill_changes", "drill_score"),
)
"""Views that a call may change."""
WEEKDAYS, OWN = "the same weekdays of the other weeks", "other days"
QUERY = """\
SELECT date,
  sum({first}) AS {first},
  sum({second}) AS {second}
FROM counts
GROUP BY date
ORDER BY date"""


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            left = html(elem_id="dd-left")
            forms = [_slice_form(page), _sql_form()]
        with gr.Column(min_width=300, scale=3):
            html(heading("Answer"))
            with gr.Row():
                which = gr.Dropdown([], label="Reply", elem_id="dd-reply", visible=False)
                measure = gr.Dropdown([], label="Drawn", elem_id="dd-measure", visible=False)
            drawn = chart("cut", visible=False)
            table = html(elem_id="dd-answer")
    calls = html(elem_id="dd-calls")
    page.views["drill_left"] = View([left], lambda v: [answers.left_html(v.story)])
    page.views["drill_calls"] = View([calls], lambda v: [log_html(v)])
    page.views["drill_answer"] = View([which, measure, drawn, table], answers.shown)
    page.views["drill_forms"] = View(
        [each for form in forms for each in form.follows],
        lambda v: [value for form in forms for value in form.follow(v)],
    )
    for trigger, act, inputs in (call for form in forms for call in form.calls):
        page.on(trigger, act, inputs, AFTER, wait_on=[table])
    last: dict[str, Any] = {"trigger_mode": "always_last"}
    page.on(which.input, _look_at, [which], ["drill_answer"], **last)
    page.on(measure.input, _draw, [measure], ["drill_answer"], **last)
    days = ["status", "drill_days", "drill_row_days"]
    page.on_bridge(page.bridge.pick_days, MetricVisitor.choose_days, days)


Call = tuple[Callable[..., Any], Act, Sequence[Any]]
"""What a button does: its event, the act and the inputs whose values it takes."""


@dataclass(frozen=True)
class Form:
    """The inputs of some tools.

    Attributes:
        follows: components that change with the episode.
        follow: their values for a visitor, in the same order.
        calls: what its buttons do.
    """

    follows: Sequence[Any]
    follow: Callable[[MetricVisitor], Sequence[Any]]
    calls: Sequence[Call]


def _slice_form(page: Page) -> Form:
    with gr.Column() as group:
        html(heading("Ask", "A call is one step; numbers in its reply are paid for."))
        by = gr.Dropdown(
            [], multiselect=True, max_choices=MOST_GROUPS, label="Split by", elem_id="dd-by"
        )
        people = gr.Dropdown(
            [], multiselect=True, label="Only these people", info="empty for all", elem_id="dd-who"
        )
        stages = gr.Dropdown(
            [], multiselect=True, label="Stages", info="empty for all", elem_id="dd-stages"
        )
        with gr.Tabs(elem_classes="mt-sources"):
            with gr.Tab("Slice", id="dd-slice"):
                with gr.Row():
                    first, last = _day("From", "dd-from"), _day("To", "dd-to")
                every = gr.Radio(["day", "week"], value="day", label="One number for each")
                form = gr.Radio(
                    [("counts", "counts"), ("‰ of usual", "per_mille_of_usual")],
                    value="counts",
                    label="Shown as",
                    elem_id="dd-form",
                )
                cut = gr.Button("Slice", variant="primary", elem_id="dd-run-slice")
            with gr.Tab("Compare", id="dd-compare"):
                with gr.Row():
                    one, two = _day("From", "dd-now-from"), _day("To", "dd-now-to")
                place = gr.Radio([WEEKDAYS, OWN], value=WEEKDAYS, label="Beside")
                with gr.Row(visible=False) as own:
                    three, four = _day("From", "dd-then-from"), _day("To", "dd-then-to")
                against = gr.Button("Compare", variant="primary", elem_id="dd-run-compare")
    place.change(
        lambda chosen: gr.update(visible=chosen == OWN),
        place,
        own,
        **QUIET,
    )
    asked = [by, people, stages]
    calls: list[Call] = [
        (cut.click, _slice, [*asked, first, last, every, form]),
        (against.click, _compare, [*asked, one, two, place, three, four]),
    ]
    page.views["drill_days"] = View([one, two], lambda v: [*(v.days or (gr.skip(), gr.skip()))])
    days = [first, last, one, two, three, four]

    def follow(visitor: MetricVisitor) -> list[Any]:
        story = visitor.story
        choices = day_choices(story.dates)
        return [
            gr.update(visible=not story.by_sql),
            gr.update(choices=list(story.dims), value=[]),
            gr.update(choices=people_choices(story.dims), value=[]),
            gr.update(choices=list(story.stages), value=[]),
            gr.update(visible=story.config["difficulty"] == EASY, value="counts"),
            *(gr.update(choices=choices, value="") for _ in days),
        ]

    return Form([group, *asked, form, *days], follow, calls)


def _day(label: str, name: str) -> gr.Dropdown:
    return gr.Dropdown([], label=label, elem_id=name, min_width=120)


def day_choices(dates: Sequence[str]) -> list[tuple[str, str]]:
    """Dates as choices, weekday first, after the choice of none."""
    return [("–", ""), *((day_name(date), date) for date in dates)]


def _sql_form() -> Form:
    with gr.Column(visible=False) as group:
        html(heading("Ask", "One flat SELECT a call; it costs groups × aggregates, shown or not."))
        query = code_box(label="Query", lines=10, elem_id="dd-query")
        run = gr.Button("Run the query", variant="primary", elem_id="dd-run-sql")
        table = html(elem_id="dd-table")

    def follow(visitor: MetricVisitor) -> list[Any]:
        story = visitor.story
        if not story.by_sql:
            return [gr.update(visible=False), "", ""]
        first, second, *_ = story.stages
        typed = QUERY.format(first=first, second=second)
        return [gr.update(visible=True), typed, answers.sql_html(story)]

    ask: Call = (run.click, lambda v, text: v.call("sql", {"query": text or ""}), [query])
    return Form([group, query, table], follow, [ask])


def _slice(visitor: MetricVisitor, *values: Any) -> None:
    """Ask for a slice, by the values of the form in its order."""
    by, people, stages, first, last, every, form = values
    arguments = _asked(by, people, stages)
    dates = visitor.story.dates
    if first or last:
        arguments["dates"] = [[first or dates[0], last or dates[-1]]]
    if every != "day":
        arguments["every"] = every
    if form != "counts":
        arguments["form"] = form
    visitor.call("slice", arguments)


def _compare(visitor: MetricVisitor, *values: Any) -> None:
    """Ask for a comparison, by the values of the form in its order."""
    by, people, stages, first, last, place, other_first, other_last = values
    dates = visitor.story.dates
    chosen = _range(first, last)
    reference = _range(other_first, other_last) if place == OWN else same_weekdays(chosen, dates)
    visitor.call("compare", {"dates": chosen, "reference": reference, **_asked(by, people, stages)})


def _range(first: str | None, last: str | None) -> list[list[str]]:
    """A range of days; one end alone means one day.

    Raises:
        InvalidValueError: neither end was chosen.
    """
    if not (first or last):
        raise InvalidValueError("From", "", "a day; drag over days in a chart, or choose one")
    return [[first or str(last), last or str(first)]]


def same_weekdays(chosen: Sequence[Sequence[str]], dates: Sequence[str]) -> list[list[str]]:
    """A range moved by whole weeks to everywhere it fits without meeting itself."""
    found = []
    for first, last in chosen:
        days = [Date.fromisoformat(each) for each in (first, last)]
        weeks = max(-(-((days[1] - days[0]).days + 1) // 7), 1)
        for week in range(-len(dates) // 7, len(dates) // 7 + 1, weeks):
            moved = [(day + timedelta(weeks=week)).isoformat() for day in days]
            if week and moved[0] in dates and moved[1] in dates:
                found.append(moved)
    return found


def _asked(by: Any, people: Any, stages: Any) -> dict[str, Any]:
    """Arguments that both tools take; what was left empty is not sent."""
    given = {"group_by": list(by or ()), "where": people_of(people), "stages": list(stages or ())}
    return {name: value for name, value in given.items() if value}


def _look_at(visitor: MetricVisitor, at: Any) -> None:
    if isinstance(at, int) and 0 <= at < len(visitor.story.drawn):
        visitor.looked_at = at


def _draw(visitor: MetricVisitor, name: Any) -> None:
    visitor.measure = str(name or "")
