"""Tab Data: the map of what calls have told, the selected day; in a fold the counts themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date as Date
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from metric_tracker_rl.engine.episode import Episode
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.page import charts
from metric_tracker_rl.page.hero import scene
from metric_tracker_rl.page.hero.day import day_html
from metric_tracker_rl.page.state import FunnelVisitor
from metric_tracker_rl.page.units import with_unit
from openenv_kit.page.layout import chart, html, saves
from openenv_kit.page.markup import day_name, heading, hint, table, words
from openenv_kit.page.page import Page, View, expect_episode

WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
SATURDAY = 5
FRAMES = ("daily", "hourly")
FREE = "Every count of the episode, without a call"


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    hero = html(elem_id="mt-map")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            html(heading("Days", "Click a day here, on the map or in any chart."))
            with gr.Row(elem_classes="mt-daynav"):
                previous = gr.Button("← Previous day", size="sm", min_width=120)
                following = gr.Button("Next day →", size="sm", min_width=120)
            calendar = html(elem_id="mt-calendar")
        with gr.Column(min_width=300, scale=5):
            day_facts = html(elem_id="mt-day")
    multiples = html(elem_id="mt-multiples")
    with gr.Accordion(FREE, open=False, elem_classes="mt-fold", elem_id="mt-free") as fold:
        html(hint("An agent sees none of this: it pays a step for each look at the data."))
        with gr.Row(elem_classes="mt-actions"):
            _downloads(page)
        html(heading("Events per day", "Daily counts by stage. Weekends are shaded."))
        counts = chart("counts")
        numbers = html(elem_id="mt-numbers")
        html(heading("Conversion rates", "Each step in percent, and the two composites."))
        rates = chart("rates")
        html(heading("Every hour of every day"))
        names = [(words(name), name) for name in ORDERING_APP.counts]
        stage = gr.Dropdown(names, value=names[0][1], label="Stage shown by the hour")
        heat = chart("heat")

    page.views["hourly"] = View([day_facts, heat], _hourly)
    page.views["day"] = View([calendar, day_facts], _of_day)
    free = [counts, numbers, rates, stage, heat]
    page.views["free"] = View(free, _free)
    page.views["data"] = View([hero, multiples, calendar, day_facts, *free], _everything)
    page.views["map"] = View([hero], lambda visitor: [scene.own(visitor)[0]])
    # The map and the large charts stay as they are: the page itself moves their mark.
    shown = ["status", "day", "forms"]
    page.on_bridge(page.bridge.pick_day, FunnelVisitor.select_day, shown)
    page.on_bridge(page.bridge.pick_cell, _pick_cell, shown)
    page.on(previous.click, lambda v: _move(v, -1), (), shown)
    page.on(following.click, lambda v: _move(v, +1), (), shown)
    page.on(fold.expand, partial(_unfold, unfolded=True), (), ["free"])
    page.on(fold.collapse, partial(_unfold, unfolded=False), (), ["status"])
    last: dict[str, Any] = {"trigger_mode": "always_last"}
    page.on(stage.input, _select_stage, [stage], ["hourly"], wait_on=[heat], **last)


def _downloads(page: Page) -> None:
    """Buttons that save the episode's frames; each file is made on demand."""
    for name in FRAMES:
        button = gr.Button(f"{name.title()} counts as CSV", size="sm", elem_id=f"mt-csv-{name}")
        saves(button, page.state, partial(csv_file, name))


def csv_file(name: str, visitor: FunnelVisitor) -> list[str]:
    """Name and text of the file that holds `Episode.daily` or `Episode.hourly`."""
    expect_episode(visitor)
    with visitor.lock:
        text: str = getattr(visitor.view.episode, name).to_csv()
        return [f"{visitor.session.task_id}-{name}.csv", text]


def _everything(visitor: FunnelVisitor) -> Sequence[Any]:
    return [*scene.own(visitor), *_of_day(visitor), *_free(visitor)]


def _free(visitor: FunnelVisitor) -> Sequence[Any]:
    """What stands in the fold, which is sent only to those who opened it."""
    if not visitor.unfolded:
        return [gr.skip() for _ in range(5)]
    episode, day = visitor.view.episode, visitor.day
    findings = list(visitor.findings.values())
    counts = charts.daily_counts(episode, day, findings)
    rates = charts.conversion_rates(episode, day, findings)
    heat = charts.hourly_heat(episode, day, visitor.stage)
    return [counts, numbers_html(episode), rates, visitor.stage, heat]


def _unfold(visitor: FunnelVisitor, *, unfolded: bool) -> None:
    visitor.unfolded = unfolded


def _of_day(visitor: FunnelVisitor) -> Sequence[Any]:
    return [calendar_html(visitor), _day(visitor)]


def _day(visitor: FunnelVisitor) -> str:
    seen, verdicts, _ = scene.of_visitor(visitor)
    return day_html(seen, visitor.day, visitor.stage, verdicts)


def _hourly(visitor: FunnelVisitor) -> Sequence[Any]:
    heat = charts.hourly_heat(visitor.view.episode, visitor.day, visitor.stage)
    return [_day(visitor), heat]


def _move(visitor: FunnelVisitor, days: int) -> None:
    episode = visitor.view.episode
    at = min(max(episode.day_of[visitor.day] + days, 0), len(episode.dates) - 1)
    visitor.select_day(episode.dates[at])


def _pick_cell(visitor: FunnelVisitor, told: object) -> None:
    """Select the day of a cell, `date/column`; of an event count also its stage's hours."""
    date, _, column = str(told).partition("/")
    visitor.select_day(date)
    stages = visitor.view.episode.config.funnel_spec.counts
    if column.isdecimal() and int(column) < len(stages):
        visitor.stage = stages[int(column)]


def _select_stage(visitor: FunnelVisitor, stage: str) -> None:
    if stage in visitor.view.episode.config.funnel_spec.counts:
        visitor.stage = stage


def calendar_html(visitor: FunnelVisitor) -> str:
    """The episode as weeks of buttons; a dot where a tool of the visitor flagged something."""
    dates = visitor.view.episode.dates
    flagged = {row["date"] for row in visitor.findings.values()}
    blank = "<span></span>" * Date.fromisoformat(dates[0]).weekday()
    head = "".join(f"<b>{name}</b>" for name in WEEKDAYS)
    days = "".join(_day_button(date, date == visitor.day, date in flagged) for date in dates)
    return f'<div class="mt-calendar" role="group" aria-label="Days">{head}{blank}{days}</div>'


def _day_button(date: str, chosen: bool, flagged: bool) -> str:
    day = Date.fromisoformat(date)
    style = " weekend" if day.weekday() >= SATURDAY else ""
    style += " flagged" if flagged else ""
    hint = f"{day_name(date)}{', flagged by your tools' if flagged else ''}"
    return (
        f'<button type="button" class="mt-day{style}" data-mt="pick_day" data-value="{date}" '
        f'aria-pressed="{str(chosen).lower()}" aria-label="{hint}" title="{hint}">'
        f"{day.day}</button>"
    )


def numbers_html(episode: Episode) -> str:
    """What the two charts of days show, as a table: a line a day, counts and rates with units."""
    names = episode.config.funnel_spec.metrics
    lines = [
        [
            escape(day_name(date)),
            *(with_unit(n, v, {}) for n, v in zip(names, episode.series.rows[at], strict=False)),
        ]
        for at, date in enumerate(episode.dates)
    ]
    body = table(["day", *names], lines, numbers=range(1, len(names) + 1))
    return f"<details><summary>Counts and rates of all days as a table</summary>{body}</details>"
