"""Tab Incident: the services live, the actions, what they came to, and the score at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from firewatch_env.page import charts, deeds, panels
from firewatch_env.page.score import courses_of, score_html
from firewatch_env.page.state import FirewatchVisitor
from openenv_kit.page import reveal
from openenv_kit.page.bench import json_html
from openenv_kit.page.layout import chart, html
from openenv_kit.page.markup import heading, hint, note
from openenv_kit.page.page import Page, View
from openenv_kit.page.same_call import same_call_html
from openenv_kit.play.driver import observed

LIVE = ("status", "headline", "looked_at", "timeline", "result", "score")
"""Views that an action may change."""


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    headline = html(elem_id="fw-headline")
    score, harm = html(elem_id="fw-score"), chart("harm", visible=False)
    revealing = reveal.lay_out("fw")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=3):
            html(heading("Services", "Calls run downwards. Click a service to look at it."))
            graph = chart("graph")
        with gr.Column(min_width=300, scale=2):
            html(heading("Act", "Every action lets one tick of 30 seconds pass."))
            wire = deeds.build(page)
            # Below the forms, so that an answer's length does not move the buttons.
            answer = html(elem_id="mt-answer")
    html(heading("Metrics", "Over ticks, one line a service; each column has one scale."))
    services = html(elem_id="fw-services")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            detail_title, detail = html(elem_id="fw-detail"), chart("detail")
        with gr.Column(min_width=300):
            html(heading("Error budget", "100 % are ten ticks of full outage."))
            budget = chart("budget")
            html(heading("Logs", "As fetched last."))
            logs = html(elem_id="fw-logs")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            html(heading("Alerts"))
            alerts = html(elem_id="fw-alerts")
        with gr.Column(min_width=300):
            moves = html(elem_id="fw-moves")

    page.views["headline"] = View([headline], lambda v: [panels.headline_html(v.story)])
    target = page.views.pop("target")
    page.views["looked_at"] = View(
        [*target.outputs, graph, services, detail_title, detail, logs],
        lambda visitor: [*target.show(visitor), *_looked_at(visitor)],
    )
    page.views["timeline"] = View([alerts, budget, moves], _timeline)
    page.views["result"] = View([answer], lambda visitor: [_result_html(page, visitor)])
    page.views["score"] = View(
        [score, harm, *revealing], lambda v: [*scored(v), *reveal.show(page.scenes, v)]
    )
    reveal.wire(page, revealing[0], "score", revealing[1])
    wire(LIVE, [answer])
    page.on_bridge(page.bridge.pick_service, FirewatchVisitor.select, ["looked_at"])


def _looked_at(visitor: FirewatchVisitor) -> Sequence[Any]:
    story = visitor.story
    below = "Dotted: ticks in which something was changed."
    return [
        charts.service_graph(story),
        panels.services_html(story, choose=True),
        heading(story.service, below),
        charts.service_metrics(story),
        panels.logs_html(story),
    ]


def _timeline(visitor: FirewatchVisitor) -> Sequence[Any]:
    story = visitor.story
    return [panels.alerts_html(story), charts.budget(story), panels.moves_html(story)]


def _result_html(page: Page, visitor: FirewatchVisitor) -> str:
    if visitor.problem or visitor.reply is None or not visitor.log:
        return note(visitor.problem, "bad") or hint("Nothing done yet.")
    seen, scenes = observed(visitor.reply), page.scenes
    told = note(visitor.reply.message) + scenes.answer_html(seen)
    same = same_call_html(scenes.environment, visitor.reset, visitor.acted)
    return told + json_html(scenes.answer(seen)) + same


def scored(visitor: FirewatchVisitor) -> Sequence[Any]:
    """The score in words and the curves of harm; nothing before the end."""
    story = visitor.story
    found = courses_of(visitor.session, story)
    if found is None:
        return ["", gr.update(visible=False)]
    shown = gr.update(value=charts.harm(found, "you"), visible=True)
    return [score_html(story, found, "you"), shown]
