"""The environment's own page: tabs for both tiers, the status line, how a watched play is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metric_tracker_rl.drilldown.tasks import TASKS as DRILL_TASKS
from metric_tracker_rl.drilldown.tools import SUBMIT
from metric_tracker_rl.drilldown.tools import TOOLS as DRILL_TOOLS
from metric_tracker_rl.page import data, episode, investigate, report
from metric_tracker_rl.page.beside import beside_html
from metric_tracker_rl.page.drill import data as drill_data
from metric_tracker_rl.page.drill import investigate as drill_investigate
from metric_tracker_rl.page.drill import report as drill_report
from metric_tracker_rl.page.drill import watched
from metric_tracker_rl.page.drill.answers import answer_html as drill_answer_html
from metric_tracker_rl.page.drill.episode import reset_of_task
from metric_tracker_rl.page.drill.state import MetricVisitor
from metric_tracker_rl.page.drill.story import Answer
from metric_tracker_rl.page.hero.scene import watched_html
from metric_tracker_rl.page.investigate import cell
from metric_tracker_rl.page.state import plays_funnel, view_of
from metric_tracker_rl.page.tiers import either
from openenv_kit.environment import Environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.page import watch
from openenv_kit.page.layout import html
from openenv_kit.page.markup import day_name
from openenv_kit.page.results import result_html, rows_table
from openenv_kit.page.scenes import Build, Scenes
from openenv_kit.page.watching import Frame, Playback, call_text, recorded
from openenv_kit.play.recording import read_runs

FIRST_VISIT = Path(__file__).with_name("first_visit.jsonl")
"""A play of the hard task as a model plays it: careful, with a wrong call and a wrong row.

After a new version of the generator, open it on the Watch tab and save it: that makes it again.
"""


class MetricScenes(Scenes):
    """See `openenv_kit.page.scenes.Scenes`."""

    visitor = MetricVisitor
    folder = Path(__file__).parent
    picture_says = (
        "The map of an episode: a line for each metric of a product funnel, a column for each day, "
        "coloured by how far the metric strays from its median; four cells are framed as roots."
    )

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.lead = (
            "Play an episode as an agent would: look at the counts, ask the tools, report the "
            "roots of what went wrong, and see how the grader reads your report."
        )
        self.card = (
            "Investigate a product funnel, report its anomalies, and see how each row is graded: "
            "an OpenEnv environment to play in the browser."
        )

    def tabs(self, *, debug: bool) -> Mapping[str, Build]:
        tabs: dict[str, Build] = {
            "Episode": episode.build,
            "Data": either(data.build, drill_data.build),
            "Investigate": either(investigate.build, drill_investigate.build),
            "Report": either(report.build, drill_report.build),
            "Watch": watch.build,
        }
        return {**tabs, "Debug": report.build_debug} if debug else tabs

    def reset_of_task(self, name: str) -> Mapping[str, Any]:
        return reset_of_task(name) if name in DRILL_TASKS else super().reset_of_task(name)

    def endpoints(self) -> Mapping[str, Callable[..., Any]]:
        return {"submit": _submit}

    def status(self, visitor: MetricVisitor) -> Sequence[str]:
        at, ended = visitor.progress, " · over" if visitor.session.done else ""
        first = [day_name(visitor.day)]
        if visitor.drills:
            left = visitor.story.left
            first = [f"{most:,} {unit} left" for unit, most in left.items() if unit != "calls"]
        return [
            *first,
            f"{at['step_count']} of {at['max_steps']} steps",
            f"{len(visitor.rows)} row(s) in the report{ended}",
        ]

    def address(self, visitor: MetricVisitor) -> dict[str, str]:
        return {**super().address(visitor), "day": visitor.day}

    def arrived(self, visitor: MetricVisitor, query: Mapping[str, str]) -> None:
        if not visitor.drills:
            visitor.select_day(query.get("day"))

    def first_visit(self) -> Playback:
        return recorded(read_runs(FIRST_VISIT)[0], self.environment)

    def describe(self, action: Mapping[str, Any]) -> str:
        if action.get("analysis_method") == SUBMIT:
            asked = action.get("analysis_args")
            rows = asked.get("rows") if isinstance(asked, Mapping) else None
            return f"submit {len(rows) if isinstance(rows, list) else 0} row(s)"
        if action.get("analysis_method"):
            return call_text(action["analysis_method"], action.get("analysis_args") or {})
        if action.get("payload_generators"):
            return f"submit what {len(action['payload_generators'])} generator(s) find"
        return f"submit {len(action.get('classifications') or [])} row(s)"

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        answered = observation.get("analysis_result")
        if not answered:
            return ""
        if answered["method"] in DRILL_TOOLS:
            return drill_answer_html(Answer(answered["method"], {}, answered["result"]))
        return result_html(answered["result"], cell=cell)

    def outcome_html(self, observation: Mapping[str, Any]) -> str:
        rows = observation.get("submitted_rows")
        return rows_table(rows, "submitted rows", cell) if rows else ""

    def beside_html(self, visitor: MetricVisitor, frames: Sequence[Frame]) -> str:
        return beside_html(visitor, frames)

    def board(self) -> Sequence[Any]:
        return [html(elem_id="mt-watched-map"), *watched.board()]

    def show_board(self, playback: Playback | None) -> Sequence[Any]:
        if playback is None or not plays_funnel(playback.session):
            return ["", *watched.show(playback)]
        view = view_of(playback.session)
        frames = playback.frames[: playback.at + 1]
        day = _day(frames, view.episode.day_of) or view.episode.dates[0]
        return [watched_html(view, frames, day), *watched.show(None)]


def _submit(visitor: MetricVisitor, rows: Any) -> None:
    if not isinstance(rows, list):
        raise InvalidValueError("rows", rows, "a list of rows")
    visitor.rows = rows
    visitor.submit()


def _day(frames: Sequence[Frame], dates: Mapping[str, int]) -> str | None:
    """The day that the player looked at last."""
    for frame in reversed(frames):
        arguments = frame.refused[1] if frame.refused else frame.action.get("analysis_args")
        date = arguments.get("date") if isinstance(arguments, Mapping) else None
        if isinstance(date, str) and date in dates:
            return date
    return None
