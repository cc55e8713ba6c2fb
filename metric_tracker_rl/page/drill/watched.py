"""How a drill-down play is drawn that the visitor watches: the reply looked at, then the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from metric_tracker_rl.page.drill import charts
from metric_tracker_rl.page.drill.answers import chart_of, left_html
from metric_tracker_rl.page.drill.report import scored
from metric_tracker_rl.page.drill.story import Story
from openenv_kit.page.layout import chart, html
from openenv_kit.page.watching import Playback


def board() -> Sequence[Any]:
    """Components below the move, in the order of `show`."""
    return [
        html(elem_id="dd-watched-left"),
        html(elem_id="dd-watched-score"),
        chart("watched-roots", visible=False),
        chart("watched-cut", visible=False),
        chart("watched-time", visible=False),
    ]


def show(playback: Playback | None) -> Sequence[Any]:
    """Their values, for a drill-down play or for none."""
    hidden = gr.update(visible=False)
    if playback is None:
        return ["", "", hidden, hidden, hidden]
    story = Story(playback.frames[: playback.at + 1])
    drawn = [] if story.frames[-1].observation.get("done") else story.drawn
    figure = chart_of(story, drawn[-1], "") if drawn else None
    line = charts.timeline(story, story.rows) if story.entries else None
    return [
        left_html(story),
        *scored(story, playback.session),
        gr.update(value=figure, visible=True) if figure else hidden,
        gr.update(value=line, visible=True) if line else hidden,
    ]
