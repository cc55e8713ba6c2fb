"""One page for two tiers: each tab holds what either tier needs, and shows the running one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from metric_tracker_rl.page.state import FunnelVisitor
from openenv_kit.page.page import Page, View
from openenv_kit.page.scenes import Build

TIER = "tier"
"""The view that shows the running episode's part of each tab."""


def either(funnel: Build, drill: Build) -> Build:
    """A tab of two parts, of which the running episode's is shown."""

    def build(page: Page) -> None:
        for part, drills in ((funnel, False), (drill, True)):
            before = set(page.views)
            with gr.Column(visible=not drills) as column:
                part(page)
            for name in page.views.keys() - before:
                page.views[name] = only(page.views[name], drills=drills)
            _add(page, column, drills=drills)

    return build


def only(view: View, *, drills: bool) -> View:
    """A view of one tier, which leaves its components alone while the other tier is played."""

    def show(visitor: FunnelVisitor) -> Sequence[Any]:
        if visitor.drills is drills:
            return view.show(visitor)
        return [gr.skip() for _ in view.outputs]

    return View(view.outputs, show)


def _add(page: Page, column: gr.Column, *, drills: bool) -> None:
    """Let a part of a tab be seen while its tier is played, and only then."""
    known = page.views.get(TIER, View([], lambda _: []))

    def show(visitor: FunnelVisitor) -> list[Any]:
        return [*known.show(visitor), gr.update(visible=visitor.drills is drills)]

    page.views[TIER] = View([*known.outputs, column], show)
