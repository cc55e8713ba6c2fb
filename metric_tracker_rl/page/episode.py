"""Tab Episode: choose a named task of either tier or build an episode, and read its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from metric_tracker_rl.engine.config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.levels import DENSITIES, LEVELS
from metric_tracker_rl.engine.rules import (
    DEFAULT_MAX_STEPS,
    MAX_STEPS_LIMIT,
    MAX_SUBMISSIONS_LIMIT,
    EpisodeView,
)
from metric_tracker_rl.engine.tasks import DEFAULT_TASK_ID, TASKS
from metric_tracker_rl.page.drill import episode as drill
from metric_tracker_rl.page.drill.state import MetricVisitor
from metric_tracker_rl.page.rows import CUSTOM_COLUMNS, EDIT_CUSTOM
from metric_tracker_rl.page.state import FunnelVisitor
from openenv_kit.errors import InvalidValueError
from openenv_kit.page.layout import html
from openenv_kit.page.markup import day_name, facts, heading, hint, note, table, text, words
from openenv_kit.page.page import Page, View
from openenv_kit.page.rows import edited, editor_html

EVERYTHING = (
    *("status", "tier", "episode", "data", "forms", "result", "log", "report", "score", "watch"),
    *("drill_left", "drill_forms", "drill_answer", "drill_calls", "drill_log"),
    *("drill_row", "drill_changes", "drill_rows", "drill_score"),
)
"""Views of an episode; a new one changes them all."""
AUTO = "by density"
ADDED = "added to the planned ones"
INSTEAD = "instead of the planned ones"


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    tiers = (
        "Reporting: four or eight weeks of a funnel, a rule, and the rows that it asks for. "
        "Drill-down: eight weeks of counts by attributes of people, and the roots behind them."
    )
    html(heading("Choose an episode", tiers))
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300), gr.Tabs(elem_classes="mt-sources"):
            labels = [
                (f"{words(name)} · {task.difficulty}, {task.anomaly_count} anomalies", name)
                for name, task in TASKS.items()
            ]
            with gr.Tab("Reporting", id="funnel"):
                chosen = gr.Radio(
                    labels, value=DEFAULT_TASK_ID, label="Named task", elem_classes="mt-tasks"
                )
                start = gr.Button("Start this task", variant="primary", elem_id="mt-start")
                with gr.Accordion("Build your own", open=False, elem_classes="mt-fold"):
                    inputs, build_button = _custom_form(page)
            with gr.Tab("Drill-down", id="drill"):
                start_drill = drill.lay_out()
        with gr.Column(min_width=300):
            card = html()
    page.views["episode"] = View([card], _card)
    shown = [*EVERYTHING, *(["debug"] if page.debug else [])]
    for trigger, act, given in start_drill:
        page.on(trigger, act, given, shown, wait_on=[card], opens=True)
    page.on(start.click, _start_task, [chosen], shown, wait_on=[card], opens=True)
    page.on(build_button.click, _start_custom, inputs, shown, wait_on=[card], opens=True)


def _custom_form(page: Page) -> tuple[list[Any], gr.Button]:
    with gr.Row():
        seed = gr.Textbox("11", label="Seed", info="0 to 2^64 − 1; the same seed, the same data")
        family = gr.Dropdown(list(SCENARIO_FAMILIES), value="mixed", label="Family")
    with gr.Row():
        difficulty = gr.Dropdown(list(LEVELS), value="easy", label="Difficulty")
        density = gr.Dropdown(list(DENSITIES), value="low", label="Density")
        most = max(level.max_anomalies for level in LEVELS.values())
        counts = [AUTO, *(str(number) for number in range(most + 1))]
        count = gr.Dropdown(counts, value=AUTO, label="Anomalies")
    with gr.Row():
        steps = gr.Number(
            DEFAULT_MAX_STEPS,
            label="Most steps",
            info=f"1 to {MAX_STEPS_LIMIT}; empty for {DEFAULT_MAX_STEPS}",
        )
        submissions = gr.Number(
            1, label="Most submissions", info=f"1 to {MAX_SUBMISSIONS_LIMIT}; empty for 1"
        )
    html(
        hint(
            "Custom anomalies set a metric to median ± factor × its standard deviation on a date. "
            "Without rows there are planned anomalies only. "
            "The seed decides which dates the episode has."
        )
    )
    custom = html(elem_id="mt-custom")
    page.views["custom"] = View([custom], lambda visitor: [custom_html(visitor)])
    page.on_bridge(
        page.bridge.edit_custom,
        _edit,
        ["custom"],
        trigger_mode="multiple",
        concurrency_limit=1,
    )
    place = gr.Radio([ADDED, INSTEAD], value=ADDED, label="Custom anomalies are")
    button = gr.Button("Start custom episode", variant="primary", elem_id="mt-start-custom")
    return [seed, family, difficulty, density, count, steps, submissions, place], button


def _start_task(visitor: FunnelVisitor, task: str) -> None:
    visitor.start(task_id=task)


def _start_custom(visitor: FunnelVisitor, *values: Any) -> None:
    """Start the episode of the form's values, in the order of `_custom_form`."""
    seed, family, difficulty, density, count, steps, submissions, place = values
    anomalies = custom_anomalies(visitor.custom)
    planned = None if count == AUTO else _whole("anomaly_count", count)
    if anomalies and place == INSTEAD:
        planned = None
    elif anomalies and planned is None:  # left out, the engine would plan none beside them
        planned = DENSITIES[density]
    visitor.start(
        seed=_whole("seed", seed),
        scenario_family=family,
        difficulty=difficulty,
        anomaly_density=density,
        anomaly_count=planned,
        anomalies=anomalies or None,
        max_steps=steps,
        max_submissions=submissions,
    )


def custom_html(visitor: FunnelVisitor) -> str:
    """The custom anomalies of the next episode as a table to fill in."""
    return editor_html(EDIT_CUSTOM, CUSTOM_COLUMNS, visitor.custom, "Custom anomalies")


def _edit(visitor: FunnelVisitor, told: Any) -> None:
    visitor.custom, _ = edited(visitor.custom, CUSTOM_COLUMNS, told)


def custom_anomalies(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Reset arguments from the table's rows; empty ones are skipped.

    Raises:
        InvalidValueError: a factor that is not a number.
    """
    anomalies = []
    for row in rows:
        if not any(row.values()):
            continue
        metric, date, factor, direction = (row.get(each.name, "") for each in CUSTOM_COLUMNS)
        anomaly: dict[str, Any] = {"metric_name": metric, "date": date}
        if factor:
            anomaly["stddev_factor"] = _number("stddev_factor", factor)
        if direction:
            anomaly["direction"] = direction
        anomalies.append(anomaly)
    return anomalies


def _card(visitor: MetricVisitor) -> list[str]:
    return [drill.card_html(visitor) if visitor.drills else card_html(visitor)]


def card_html(visitor: FunnelVisitor) -> str:
    """What a player is told about the episode: task, dates, thresholds, policy."""
    view, config = visitor.view, visitor.view.config
    named = {
        "difficulty": "difficulty",
        "family": "scenario_family",
        "density": "anomaly_density",
        "most steps": "max_steps",
        "most submissions": "max_submissions",
        "generator version": "generator_version",
    }
    told = {n: words(each) if isinstance(each, str) else each for n, each in config.items()}
    limits = [
        [words(name), f"{least:.0%} of events" if name.endswith("absolute") else f"{least:.0%}"]
        for name, least in config["thresholds"].items()
    ]
    columns = ["deviation from the median", "reported from"]
    return (
        f'<section class="mt-card" id="mt-card">{note(visitor.problem, "bad")}'
        f'<p class="mt-eyebrow">{escape(visitor.session.task_id)}</p>'
        f"<h3>{text(config['anomaly_count'])} expected row(s) in {config['days']} days</h3>"
        f"<p>{day_name(config['start_date'])} to {day_name(config['end_date'])} "
        f"<code>{config['start_date']} … {config['end_date']}</code></p>"
        f"{facts({label: told[name] for label, name in named.items()})}"
        f"{table(columns, limits, 'Reporting thresholds', numbers=(1,))}"
        "<details><summary>The reporting policy in words</summary>"
        f"<p>{escape(view.policy)}</p></details>{_applied(view)}</section>"
    )


def _applied(view: EpisodeView) -> str:
    """What custom anomalies did to the data, which their author may know."""
    if not view.episode.applied:
        return ""
    measured = ("pre_applied_value", "target_value", "actual_value")
    columns = ("date", "metric_name", "direction", *measured)
    lines = [[text(entry[name]) for name in columns] for entry in view.episode.applied]
    return table(columns, lines, "Custom anomalies as applied", numbers=(3, 4, 5))


def _whole(name: str, value: object) -> int:
    digits = str(value).strip()
    if digits.isascii() and digits.isdigit() and len(digits) <= 20:
        return int(digits)
    raise InvalidValueError(name, value, "a whole number from 0")


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InvalidValueError(name, value, "a number") from None
