"""The funnel's own page: its tabs, its status line, and how a watched play is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from metric_tracker_rl.page import charts, data, episode, investigate, report
from metric_tracker_rl.page.investigate import cell
from metric_tracker_rl.page.state import FunnelVisitor, drafts, plays_funnel, view_of
from openenv_kit.environment import Environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.page import watch
from openenv_kit.page.layout import chart
from openenv_kit.page.markup import day_name
from openenv_kit.page.results import result_html, rows_table
from openenv_kit.page.scenes import Build, Scenes
from openenv_kit.page.watching import Frame, Playback, call_text


class FunnelScenes(Scenes):
    """See `openenv_kit.page.scenes.Scenes`."""

    visitor = FunnelVisitor
    folder = Path(__file__).parent

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.lead = (
            "Play an episode as an agent would: look at the funnel, ask the tools, report the "
            "roots of what went wrong, and see how the grader reads your report."
        )
        self.card = (
            "Investigate a product funnel, report its anomalies, and see how each row is graded: "
            "an OpenEnv environment to play in the browser."
        )

    def tabs(self, *, debug: bool) -> Mapping[str, Build]:
        own = {"Episode": episode, "Data": data, "Investigate": investigate, "Report": report}
        tabs = {name: tab.build for name, tab in own.items()} | {"Watch": watch.build}
        return {**tabs, "Debug": report.build_debug} if debug else tabs

    def endpoints(self) -> Mapping[str, Callable[..., Any]]:
        return {"submit": _submit}

    def status(self, visitor: FunnelVisitor) -> Sequence[str]:
        at, ended = visitor.progress, " · over" if visitor.session.done else ""
        return [
            day_name(visitor.day),
            f"{at['step_count']} of {at['max_steps']} steps",
            f"{len(visitor.rows)} row(s) in the report{ended}",
        ]

    def describe(self, action: Mapping[str, Any]) -> str:
        if action.get("analysis_method"):
            return call_text(action["analysis_method"], action.get("analysis_args") or {})
        if action.get("payload_generators"):
            return f"submit what {len(action['payload_generators'])} generator(s) find"
        return f"submit {len(action.get('classifications') or [])} row(s)"

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        answered = observation.get("analysis_result")
        return result_html(answered["result"], cell=cell) if answered else ""

    def outcome_html(self, observation: Mapping[str, Any]) -> str:
        rows = observation.get("submitted_rows")
        return rows_table(rows, "submitted rows", cell) if rows else ""

    def board(self) -> Sequence[Any]:
        return [chart("watched-counts", visible=False), chart("watched-rates", visible=False)]

    def show_board(self, playback: Playback | None) -> Sequence[Any]:
        if playback is None or not plays_funnel(playback.session):
            return [gr.update(visible=False)] * 2
        episode = view_of(playback.session).episode
        frames = playback.frames[: playback.at + 1]
        day = _day(frames, episode.day_of) or episode.dates[0]
        findings = _findings(playback, frames)
        return [
            gr.update(value=draw(episode, day, findings), visible=True)
            for draw in (charts.daily_counts, charts.conversion_rates)
        ]


def _submit(visitor: FunnelVisitor, rows: Any) -> None:
    if not isinstance(rows, list):
        raise InvalidValueError("rows", rows, "a list of rows")
    visitor.rows = rows
    visitor.submit()


def _findings(playback: Playback, frames: Sequence[Frame]) -> list[dict[str, Any]]:
    """What the player's tools have flagged, and what it has reported."""
    rows: list[dict[str, Any]] = []
    for frame in frames:
        answered = frame.observation.get("analysis_result")
        if answered:
            rows.extend(drafts(view_of(playback.session), answered["result"]))
        rows.extend(frame.observation.get("submitted_rows") or ())
    return rows


def _day(frames: Sequence[Frame], dates: Mapping[str, int]) -> str | None:
    """The day that the player looked at last."""
    for frame in reversed(frames):
        arguments = frame.refused[1] if frame.refused else frame.action.get("analysis_args")
        date = arguments.get("date") if isinstance(arguments, Mapping) else None
        if isinstance(date, str) and date in dates:
            return date
    return None
