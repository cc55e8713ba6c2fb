"""The roots of an episode on its data, each with its cause taken back beside it.

Read only once a reply has told the roots: a play that was told its score alone is shown no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.causes import counted
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.definition import Root
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.levels import LOSS, MIX
from metric_tracker_rl.page.charts import MUTED, PALETTE, plain_figure
from metric_tracker_rl.page.drill.charts import RUN, note_at, run_ends, stacked
from metric_tracker_rl.page.drill.panels import weekday_medians
from metric_tracker_rl.page.drill.story import segment_text
from openenv_kit.page.markup import day_name, words

EACH = 204
"""Pixels of a panel with its title of three lines and its dates."""
DATES = 24
"""Pixels below a panel for its dates."""
GAP = 0.06

Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Course:
    """A measure of a root's segment over all days.

    Attributes:
        name: of the measure, with its unit.
        unit: written behind values.
        counted: as it was counted.
        undone: with the root's cause taken back, under the same noise.
    """

    name: str
    unit: str
    counted: list[float]
    undone: list[float]


@dataclass(frozen=True)
class RootView:
    """A root on the data.

    Attributes:
        kind, stage: as in a report.
        segment: as people read it.
        first, last: ISO dates of its run.
        courses: the measures that show it.
    """

    kind: str
    stage: str
    segment: str
    first: str
    last: str
    courses: tuple[Course, ...]


@lru_cache(maxsize=16)
def root_views(config: DrillConfig) -> tuple[RootView, ...]:
    """Every root of an episode, in the order of its right report."""
    draw, episode = generate(config)
    clean, cube = draw.clean, episode.cube
    views = []
    for root, row in zip(draw.roots, episode.expected_rows, strict=True):
        others = [cause for cause in draw.causes if root not in cause.roots]
        undone = counted(cube, clean, others)
        views.append(
            RootView(
                row.kind,
                row.stage,
                segment_text(dict(row.segment)),
                row.date_from,
                row.date_to,
                tuple(_courses(episode, root, undone)),
            )
        )
    return tuple(views)


def _courses(episode: Episode, root: Root, undone: Counts) -> list[Course]:
    """What shows a root: its traffic or its rate; of a loss the next rate, of a mix the others."""
    members, stages = episode.cube.member[root.cell], episode.domain.stages
    if root.is_traffic:
        who = {f"{stages[0]} of the segment, people a day": members}
        if root.kind == MIX:
            who[f"{stages[0]} of everybody else, people a day"] = ~members
        return [
            Course(name, "", *(_people(counts, each, 0) for counts in (episode.counts, undone)))
            for name, each in who.items()
        ]
    steps = (root.stage, root.stage + 1) if root.kind == LOSS else (root.stage,)
    return [
        Course(
            f"rate into {stages[step]}, % of {stages[step - 1]}",
            " %",
            *(_rate(counts, members, step) for counts in (episode.counts, undone)),
        )
        for step in steps
    ]


def _people(counts: Counts, members: NDArray[np.bool_], stage: int) -> list[float]:
    return [float(each) for each in counts[members, stage].sum(axis=0)]


def _rate(counts: Counts, members: NDArray[np.bool_], step: int) -> list[float]:
    into, out_of = (_people(counts, members, stage) for stage in (step, step - 1))
    return [100.0 * a / b if b else 0.0 for a, b in zip(into, out_of, strict=True)]


def told_roots(breakdown: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Roots that a reply told; none before the end, and none where the score alone was told."""
    return (breakdown or {}).get("roots") or ()


def roots_figure(episode: Episode) -> go.Figure:
    """A row for each measure of each root: as counted, and with its cause taken back."""
    views = root_views(episode.config)
    shown = [
        (number, view, course)
        for number, view in enumerate(views, start=1)
        for course in view.courses
    ]
    axes, _ = stacked([""] * len(shown), EACH)
    height = EACH * len(shown)
    figure = plain_figure([], height + 16, showlegend=False, hovermode="x")
    for row, (number, view, course) in enumerate(shown):
        low, high = _range(course)
        place = dict(axes[f"yaxis{row + 1 if row else ''}"])
        bottom, top = place["domain"][0] + DATES / height, place["domain"][1] - 50 / height
        for side, values in enumerate((course.counted, course.undone)):
            axis = 2 * row + side + 1
            own = "" if axis == 1 else str(axis)
            left = (0.5 + GAP / 2) * side
            usual = weekday_medians(episode.dates, values)
            for told, style in ((usual, {"color": MUTED, "dash": "dot"}), (values, {})):
                figure.add_scatter(
                    x=episode.dates,
                    y=told,
                    xaxis=f"x{own}",
                    yaxis=f"y{own}",
                    mode="lines",
                    line={"width": 1.5, "color": (PALETTE[0], PALETTE[1])[side], **style},
                    hovertemplate=f"%{{y:,.2f}}{course.unit}<extra></extra>",
                )
            figure.update_layout(
                {
                    f"yaxis{own}": {
                        **place,
                        **{"domain": (bottom, top), "range": (low, high), "anchor": f"x{own}"},
                        **{"ticksuffix": course.unit, "showticklabels": side == 0},
                    },
                    f"xaxis{own}": {
                        **{"domain": (left, left + 0.5 - GAP / 2), "anchor": f"y{own}"},
                        **{
                            "tickformat": "%-d %b",
                            "nticks": 4,
                            "tickangle": 0,
                            "gridcolor": place["gridcolor"],
                        },
                    },
                }
            )
            figure.add_shape(_run(view, own))
            side_title = ("as counted", "its cause taken back")[side]
            figure.add_annotation({**note_at(f"<i>{side_title}</i>", left, top)})
        head = f"<b>{number}. {words(view.kind)}</b>: {day_name(view.first)} to"
        figure.add_annotation(
            note_at(
                f"{head} {day_name(view.last)}<br>{view.segment}<br>{course.name}",
                0,
                top + 18 / height,
            )
        )
    return figure


def _range(course: Course) -> tuple[float, float]:
    """One scale for both sides, with a little room."""
    told = [*course.counted, *course.undone]
    room = 0.08 * (max(told) - min(told) or 1.0)
    return min(told) - room, max(told) + room


def _run(view: RootView, own: str) -> dict[str, Any]:
    """The shaded days of a root."""
    first, last = run_ends(view.first, view.last)
    return {
        **{"type": "rect", "xref": f"x{own}", "yref": f"y{own} domain", "y0": 0, "y1": 1},
        **{"x0": first, "x1": last},
        **{"fillcolor": RUN, "line": {"width": 0}, "layer": "below"},
    }
