"""Tab Data: the episode as charts; a day selected in one of them is selected everywhere."""

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
from metric_tracker_rl.page.state import FunnelVisitor
from metric_tracker_rl.page.units import with_unit
from openenv_kit.page.layout import chart, html, saves
from openenv_kit.page.markup import day_name, heading, table, words
from openenv_kit.page.page import Page, View, expect_episode

WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
SATURDAY = 5
FRAMES = ("daily", "hourly")


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            html(heading("Days", "Click a day here or in any chart; the whole page follows."))
            with gr.Row(elem_classes="mt-daynav"):
                previous = gr.Button("← Previous day", size="sm", min_width=120)
                following = gr.Button("Next day →", size="sm", min_width=120)
            calendar = html(elem_id="mt-calendar")
            with gr.Row(elem_classes="mt-actions"):
                _downloads(page)
        with gr.Column(min_width=300, scale=3):
            day_facts = html(elem_id="mt-day")
    html(heading("Events per day", "Daily counts by stage. Weekends are shaded."))
    counts = chart("counts")
    numbers = html(elem_id="mt-numbers")
    html(heading("Conversion rates", "Each step in percent, and the two composites."))
    rates = chart("rates")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            html(heading("Shape of the funnel", "The chosen day beside the median day."))
            funnel = chart("funnel")
        with gr.Column(min_width=300):
            html(heading("Hours of the day", "The chosen day against the median hour."))
            profile = chart("profile")
    html(heading("Every hour of every day"))
    names = [(words(name), name) for name in ORDERING_APP.counts]
    stage = gr.Dropdown(names, value=names[0][1], label="Stage shown by the hour")
    heat = chart("heat")

    page.views["hourly"] = View([profile, heat], _hourly)
    page.views["day"] = View([calendar, day_facts, funnel, profile], _of_day)
    page.views["data"] = View(
        [calendar, day_facts, counts, numbers, rates, funnel, stage, profile, heat], _everything
    )
    # The large charts stay as they are: the page itself moves their mark.
    shown = ["status", "day", "forms"]
    page.on_bridge(page.bridge.pick_day, FunnelVisitor.select_day, shown)
    page.on(previous.click, lambda v: _move(v, -1), (), shown)
    page.on(following.click, lambda v: _move(v, +1), (), shown)
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
    episode, day = visitor.view.episode, visitor.day
    days, told, funnel, profile = _of_day(visitor)
    findings = list(visitor.findings.values())
    counts = charts.daily_counts(episode, day, findings)
    rates = charts.conversion_rates(episode, day, findings)
    heat = charts.hourly_heat(episode, day, visitor.stage)
    numbers = numbers_html(episode)
    return [days, told, counts, numbers, rates, funnel, visitor.stage, profile, heat]


def _of_day(visitor: FunnelVisitor) -> Sequence[Any]:
    episode, day = visitor.view.episode, visitor.day
    profile = charts.day_profile(episode, day, visitor.stage)
    return [calendar_html(visitor), day_html(visitor), charts.funnel_shape(episode, day), profile]


def _hourly(visitor: FunnelVisitor) -> Sequence[Any]:
    episode, day, stage = visitor.view.episode, visitor.day, visitor.stage
    return [charts.day_profile(episode, day, stage), charts.hourly_heat(episode, day, stage)]


def _move(visitor: FunnelVisitor, days: int) -> None:
    episode = visitor.view.episode
    at = min(max(episode.day_of[visitor.day] + days, 0), len(episode.dates) - 1)
    visitor.select_day(episode.dates[at])


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


def day_html(visitor: FunnelVisitor) -> str:
    """Every daily metric of the chosen day beside its median."""
    episode = visitor.view.episode
    series, index = episode.series, episode.day_of[visitor.day]
    names = [*episode.config.funnel_spec.metrics, "daytime_share"]
    lines = []
    for column, name in enumerate(names):
        value, base = series.rows[index][column], series.baseline_rows[index][column]
        change = (value - base) / base if base else 0.0
        row = {"metric_name": name}
        told = [with_unit("value", each, row) for each in (value, base)]
        if name == "daytime_share":
            told = [with_unit(name, each, {}) for each in (value, base)]
        lines.append([escape(words(name)), *told, f"{change:+.1%}"])
    day = Date.fromisoformat(visitor.day)
    title = f"{day:%A} {day.day} {day:%B %Y}"
    return f'<h3 class="mt-daytitle">{title}</h3>' + table(
        ["metric", "value", "median", "of the median"], lines, numbers=(1, 2, 3)
    )
