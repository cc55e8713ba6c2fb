"""Inputs of analysis methods that follow the episode: its dates, and the report's rows."""

from __future__ import annotations

from typing import Any

import gradio as gr

from metric_tracker_rl.analysis_tools.lookup import THRESHOLD_SEARCH_SPACE
from metric_tracker_rl.page.state import FunnelVisitor
from openenv_kit.page.forms import Field, Schema, as_given, as_list, number, number_input
from openenv_kit.page.layout import html
from openenv_kit.page.markup import day_name


def make_field(name: str, schema: Schema, shared: dict[str, Any]) -> Field | None:
    """The input of one argument; see `openenv_kit.page.forms.MakeField`."""
    if name == "dates":
        choice = gr.Dropdown([], multiselect=True, **shared)
        return Field(name, choice, as_list, lambda v: gr.update(choices=date_choices(v), value=[]))
    if name == "date":
        # Typed dates are let through, so that the engine can say what is wrong with one.
        choice = gr.Dropdown([], allow_custom_value=True, **shared)
        return Field(
            name, choice, as_given, lambda v: gr.update(choices=date_choices(v), value=v.day)
        )
    if name == "rows":
        html('<p class="mt-hint">Looks at the rows on the Report tab as they stand.</p>')
        hidden = gr.Textbox(visible=False)
        return Field(name, hidden, lambda _, visitor: [dict(row) for row in visitor.rows])
    if name in THRESHOLD_SEARCH_SPACE:
        space = THRESHOLD_SEARCH_SPACE[name]
        value = schema.get("default", space["default"])
        return Field(
            name, number_input(value, schema, shared, space["step"]), number(str(schema["type"]))
        )
    return None


def date_choices(visitor: FunnelVisitor) -> list[tuple[str, str]]:
    """The episode's dates as choices, weekday first."""
    return [(f"{day_name(date)} · {date}", date) for date in visitor.view.episode.dates]
