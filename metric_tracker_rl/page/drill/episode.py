"""Tab Episode for drill-down: choose a named task, build an episode, or take one of a split."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from metric_tracker_rl.drilldown import words as told
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.session import (
    DEFAULT_MAX_STEPS,
    FULL_FEEDBACK,
    MAX_STEPS_LIMIT,
    SCORE_FEEDBACK,
)
from metric_tracker_rl.drilldown.tasks import DEFAULT_TASK_ID, SPLITS, TASKS
from metric_tracker_rl.page.drill.investigate import Call
from metric_tracker_rl.page.drill.state import MetricVisitor
from metric_tracker_rl.page.drill.story import Story
from openenv_kit.errors import InvalidValueError
from openenv_kit.page.layout import html
from openenv_kit.page.markup import day_name, facts, hint, note, table, words


def lay_out() -> list[Call]:
    """Lay out the forms that start a drill-down episode; returns what their buttons do."""
    labels = [
        (f"{words(config.difficulty)}: {words(config.product)}", name)
        for name, config in TASKS.items()
    ]
    task = gr.Dropdown(labels, value=DEFAULT_TASK_ID, label="Named task", elem_id="dd-task")
    start = gr.Button("Start this task", variant="primary", elem_id="dd-start")
    with gr.Accordion("Another episode of a level", open=False, elem_classes="mt-fold"):
        with gr.Row():
            level = gr.Dropdown(list(LEVELS), value="drill_easy", label="Level", elem_id="dd-level")
            product = gr.Dropdown(list(DOMAINS), value="saas_trial", label="Product")
        with gr.Row():
            seed = gr.Textbox("11", label="Seed of the episode", info="0 to 2^64 − 1")
            steps = gr.Number(
                DEFAULT_MAX_STEPS,
                label="Most calls",
                info=f"1 to {MAX_STEPS_LIMIT}; empty for {DEFAULT_MAX_STEPS}",
            )
        custom = gr.Button("Start it", elem_id="dd-start-custom")
    with gr.Accordion("One of a split", open=False, elem_classes="mt-fold"):
        html(hint("Drawn episodes of every level and product; one in six holds no root."))
        names = SPLITS.names()
        split = gr.Dropdown(
            [(f"{name}: {SPLITS.size(name):,} episodes", name) for name in names],
            value=names[0],
            label="Split",
            elem_id="dd-split",
        )
        index = gr.Number(0, precision=0, label="Place in the split", info="from 0")
        draw = gr.Button("Start it", elem_id="dd-start-split")
    return [
        (start.click, lambda visitor, name: visitor.start(**reset_of_task(name)), [task]),
        (custom.click, _start_custom, [level, product, seed, steps]),
        (draw.click, _start_drawn, [split, index]),
    ]


def reset_of_task(name: str) -> dict[str, Any]:
    """Arguments that start a named task so that its roots are told after the end."""
    return {"task_id": name, "feedback": FULL_FEEDBACK}


def _start_custom(
    visitor: MetricVisitor, level: str, product: str, seed: str, steps: float | None
) -> None:
    digits = (seed or "").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise InvalidValueError("seed", seed, "a whole number from 0 to 2^64 − 1")
    visitor.start(
        difficulty=level,
        product=product,
        seed=int(digits),
        max_steps=None if steps is None else int(steps) if steps == int(steps) else steps,
        feedback=FULL_FEEDBACK,
    )


def _start_drawn(visitor: MetricVisitor, split: str, index: float | None) -> None:
    feedback = SCORE_FEEDBACK if split == SPLITS.sealed else FULL_FEEDBACK
    visitor.start(split=split, index=int(index or 0), feedback=feedback)


def card_html(visitor: MetricVisitor) -> str:
    """What a player is told about the episode: names, dates, rules, budget."""
    story = Story(visitor.frames)
    config, limits = story.config, story.limits
    names = {
        "product": words(config["product"]),
        "level": config["difficulty"],
        **{f"most {unit}": limits[unit] for unit in limits},
        **{words(n): most for n, most in config["budget"].items() if n.endswith("one_reply")},
    }
    dims = [[escape(name), escape(", ".join(values))] for name, values in story.dims.items()]
    components = config["components"]
    stages = [[escape(stage), escape(components[stage])] for stage in story.stages]
    row = [[escape(name), escape(holds)] for name, holds in config["row_format"].items()]
    return (
        f'<section class="mt-card" id="mt-card">{note(visitor.problem, "bad")}'
        f'<p class="mt-eyebrow">{escape(visitor.session.task_id)}</p>'
        f"<h3>{len(story.dates)} days of {escape(words(config['product']))}</h3>"
        f"<p>{day_name(story.dates[0])} to {day_name(story.dates[-1])} "
        f"<code>{story.dates[0]} … {story.dates[-1]}</code>. {escape(told.TASK)}</p>"
        f"{facts(names)}{table(['attribute', 'values'], dims, 'Attributes of people')}"
        f"{table(['stage', 'component'], stages, 'Stages, in order')}"
        f"{_folded('What a root is', told.DEFINITION)}{_folded('Grading', told.GRADING)}"
        f"<details><summary>A row of the report</summary>{table(['field', 'holds'], row)}</details>"
        f"{_folded('What a model is told first', told.BRIEF)}</section>"
    )


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><blockquote>{escape(text)}</blockquote></details>"
