"""Forms for the 72 actions, in groups, and the choice of the service they are done to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from firewatch_env.page.state import FirewatchVisitor
from firewatch_env.page.story import GROUPS, names_of
from firewatch_env.tools import CATALOGUE
from openenv_kit.page.forms import Field, Form, Schema, as_given, build_forms
from openenv_kit.page.layout import html
from openenv_kit.page.markup import hint, note
from openenv_kit.page.page import QUIET, Page, View
from openenv_kit.tools.catalogue import ToolSpec

TOLD = {
    "look": "States figures as they are at the end of its tick. Changes nothing.",
    "mitigate": "Moves load, limits and capacity: eases harm, and seldom removes its cause.",
    "repair": "Puts something right: pods, a build, a configuration, or one kind of object.",
    "declare": "Ends the episode, or calls for help. Needs no service.",
}
LEVELS = ("debug", "info", "warn", "error")
TARGET = "target_service"


@dataclass(frozen=True)
class Group:
    """The inputs of one group of actions."""

    tools: Sequence[ToolSpec]
    choice: gr.Dropdown
    forms: Sequence[Form]
    run: gr.Button


def build(page: Page) -> Callable[[Sequence[str], Sequence[Any]], None]:
    """Lay out the choice of a service and a tab for each group; adds the view `target`.

    Returns:
        Makes the buttons work, given the views to show and where to show the wait.
    """
    service = gr.Dropdown(
        [], label="Service", info="or click one in the graph", elem_id="fw-service"
    )
    page.views["target"] = View([service], _target)
    page.on(
        service.input,
        FirewatchVisitor.select,
        [service],
        ["looked_at"],
        wait_on=(),
        trigger_mode="always_last",
    )
    groups = []
    with gr.Tabs(elem_classes="mt-sources"):
        for name in GROUPS:
            with gr.Tab(name.title(), id=f"fw-{name}"):
                groups.append(_lay_out(name))

    def wire(show: Sequence[str], wait_on: Sequence[Any]) -> None:
        for group in groups:
            _wire(page, group, service, show, wait_on)

    return wire


def _target(visitor: FirewatchVisitor) -> list[Any]:
    story = visitor.story
    return [gr.update(choices=story.services, value=story.service)]


def _lay_out(name: str) -> Group:
    tools = [CATALOGUE.find(each) for each in names_of(name)]
    by_name = {tool.name: tool for tool in tools}
    first = tools[0].name
    html(hint(TOLD[name]))
    choice = gr.Dropdown(list(by_name), value=first, label="Action", elem_id=f"fw-{name}-action")
    about = html(note(tools[0].description))
    forms = build_forms([each for each in map(_untargeted, tools) if each], first, _make_field)
    run = gr.Button("Act: one tick", variant="primary", elem_id=f"fw-{name}-run")
    choice.change(
        lambda chosen: [
            note(by_name[chosen].description) if chosen in by_name else "",
            *(gr.update(visible=chosen in form.tools) for form in forms),
        ],
        inputs=choice,
        outputs=[about, *(form.group for form in forms)],
        show_progress_on=about,  # one component, else each of these hears of every event
        **QUIET,
    )
    return Group(tools, choice, forms, run)


def _untargeted(tool: ToolSpec) -> ToolSpec | None:
    """A tool without the service, which all share; None if it takes nothing else."""
    others = {k: v for k, v in tool.parameters["properties"].items() if k != TARGET}
    return replace(tool, parameters={"type": "object", "properties": others}) if others else None


def _make_field(name: str, _: Schema, shared: dict[str, Any]) -> Field | None:
    """The input of one parameter; see `openenv_kit.page.forms.MakeField`."""
    if name == "level":
        return Field(name, gr.Dropdown(["", *LEVELS], value="", **shared), as_given)
    return None


def _wire(
    page: Page,
    group: Group,
    service: gr.Dropdown,
    show: Sequence[str],
    wait_on: Sequence[Any],
) -> None:
    needs_target = {tool.name: TARGET in tool.parameters["properties"] for tool in group.tools}

    def act(visitor: FirewatchVisitor, chosen: str, target: str, *values: Any) -> None:
        given: Mapping[str, Any] = {TARGET: target} if needs_target.get(chosen, True) else {}
        start = 0
        for form in group.forms:
            own = values[start : start + len(form.fields)]
            start += len(form.fields)
            if chosen in form.tools:
                given = {**given, **form.arguments(own, visitor)}
        visitor.call(chosen, given)

    fields = [field.component for form in group.forms for field in form.fields]
    page.on(group.run.click, act, [group.choice, service, *fields], show, wait_on=wait_on)
