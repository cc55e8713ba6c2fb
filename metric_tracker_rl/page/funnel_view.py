"""The funnel's part of the page: its map, its questions, its report, its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from metric_tracker_rl.analysis_tools.lean import SUBMIT
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import DENSITIES, LEVELS
from metric_tracker_rl.engine.definitions.names import DISCLOSURES, PROFILES
from metric_tracker_rl.engine.grading.grader import WEIGHTS
from metric_tracker_rl.page import questions
from metric_tracker_rl.page.format_values import with_unit
from metric_tracker_rl.page.metric_map.day_details import day_html
from metric_tracker_rl.page.metric_map.map_html import (
    explained,
    made_again,
    map_html,
    seen_in,
    shown_of,
    verdict_html,
)
from metric_tracker_rl.page.metric_map.small_charts import multiples_html
from metric_tracker_rl.page.report_editor import FunnelReport
from metric_tracker_rl.page.score import score_waterfall
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.environment import Environment
from openenv_kit.page.components.elements import day_name, note, parts_html, table
from openenv_kit.page.components.grid import MATCHED, MISSING
from openenv_kit.page.components.row_editor import Row
from openenv_kit.page.components.tool_result import result_html
from openenv_kit.page.environment_view import Ask, Frames, Move, Scenes
from openenv_kit.page.playback import Playback, call_text, recorded
from openenv_kit.page.visitor import Visitor
from openenv_kit.recordings.format import read_runs

FIRST_VISIT = Path(__file__).with_name("first_visit.jsonl")
"""A play of the hard task as a model plays it: careful, with a wrong call and a wrong row.

After a new version of the generator, open it on the Watch tab and save it: that makes it again.
"""


class MetricScenes(Scenes):
    """See `openenv_kit.page.environment_view.Scenes`."""

    folder = Path(__file__).parent
    line = "Which day broke, and which metric?"
    icon = '<path d="M3 4h18l-7 9v7l-4-2v-5z"/>'
    reset_choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "difficulty": tuple(LEVELS),
        "scenario_family": SCENARIO_FAMILIES,
        "anomaly_density": tuple(DENSITIES),
        "profile": PROFILES,
        "disclosure": DISCLOSURES,
    }

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.door = "Funnel"
        self.mission = (
            "Something broke in this shop's numbers. Find which day and which metric, and report "
            "the cause, not what followed from it."
        )

    @cached_property
    def demo(self) -> Playback:
        playback = recorded(read_runs(FIRST_VISIT)[0], self.environment)
        playback.run_to_end()
        return playback

    def picture_html(
        self, frames: Frames, reset: Mapping[str, Any], place: str = "", rows: Sequence[Row] = ()
    ) -> str:
        return map_html(frames, reset, place, rows)

    def below_html(self, visitor: Visitor) -> str:
        seen, judged, over = shown_of(visitor.frames, visitor.reset)
        at = questions.selected(seen, visitor.place)
        stages = seen.funnel.counts
        day = ""
        if at is not None:
            stage = stages[at[0]] if at[0] < len(stages) else stages[0]
            day = f'<div id="mt-day">{day_html(seen, at[1], stage, judged)}</div>'
        return day + multiples_html(seen, judged) + (_numbers_html(visitor) if over else "")

    def headline(self, frames: Frames) -> str:
        last = frames[-1].observation
        got, score = last.get("reward_breakdown"), float(last.get("reward") or 0.0)
        if not got:
            outcome = "No report was handed in" if explained(frames) else "The score"
            return f"{outcome}: {score:.2f}"
        if not got["expected_rows"]:
            return f"There was nothing to find: {score:.2f}"
        parts = [f"{got['matched_rows']} of {got['expected_rows']} found"]
        if got["extra_rows"]:
            parts.append(f"{got['extra_rows']} too many")
        if any(got[name] < got["recall"] for name in WEIGHTS):
            parts.append("some fields wrong")
        return f"{', '.join(parts)}: {score:.2f}"

    def story_html(self, frames: Frames, reset: Mapping[str, Any]) -> str:
        last = frames[-1].observation
        message = note(str(last.get("message") or ""))
        if not explained(frames):
            return message
        got = last.get("reward_breakdown")
        score = score_waterfall(RewardBreakdown.model_validate(got)) if got else message
        judged = shown_of(frames, reset)[1]
        wrong = [each for each in judged if each.kind != MATCHED]
        lines = "".join(
            verdict_html(each).removesuffix("</li>")
            + (f" {_call(each.row)}</li>" if each.kind == MISSING else "</li>")
            for each in wrong
        )
        missed = f'<h3>What was missed</h3><ul class="mt-issues">{lines}</ul>'
        return (missed if wrong else note("Every row was right.", "good")) + parts_html(score)

    def ask(self, visitor: Visitor) -> Ask | None:
        if visitor.over:
            return None
        seen, at = seen_in(visitor.frames), visitor.place.rpartition("/")[2]
        asked = questions.ask(seen, visitor.frames, visitor.place)
        metrics = ["", *ORDERING_APP.metrics]
        suggested = {
            "date": [at, *seen.dates] if at in seen.dates else seen.dates,
            "metric_name": metrics,
            "entity_name": metrics,
        }
        return replace(asked, suggested=suggested)

    def next_move(self, visitor: Visitor) -> Move:
        seen = seen_in(visitor.frames)
        return questions.next_move(
            seen, visitor.frames, visitor.place, self.report(visitor).offers()
        )

    def report(self, visitor: Visitor) -> FunnelReport:
        return FunnelReport(visitor)

    def describe(self, action: Mapping[str, Any]) -> str:
        asked = action.get("analysis_args")
        if action.get("analysis_method") and action.get("analysis_method") != SUBMIT:
            return call_text(str(action["analysis_method"]), asked or {})
        if action.get("payload_generators"):
            return "submit the rows of generators"
        rows = asked.get("rows") if isinstance(asked, Mapping) else action.get("classifications")
        count = len(rows) if isinstance(rows, list) else 0
        return f"submit {count} row{'' if count == 1 else 's'}"

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        answered = observation.get("analysis_result")
        return result_html(answered["result"], _cell) if answered else ""


def _cell(column: str, value: Any, row: Mapping[str, Any]) -> str:
    """HTML of a value in a result's table."""
    if column == "date" and isinstance(value, str):
        return escape(day_name(value))
    return with_unit(column, value, row)


def _call(row: Any) -> str:
    """The call that shows a row."""
    named = (
        f", entity_name={row.entity_name!r}" if row.detection_method.startswith("compare") else ""
    )
    return f"<code>{escape(f'{row.detection_method}(date={row.date!r}{named})')}</code> shows it."


def _numbers_html(visitor: Visitor) -> str:
    """Every count, a line a day, in a fold."""
    episode = made_again(visitor.reset).episode
    names = episode.config.funnel_spec.metrics
    lines = [
        [
            escape(day_name(date)),
            *(with_unit(n, v, {}) for n, v in zip(names, episode.series.rows[at], strict=False)),
        ]
        for at, date in enumerate(episode.dates)
    ]
    counts = table(["day", *names], lines, "Counts and rates", numbers=range(1, len(names) + 1))
    return f"<details><summary>Every count of the episode</summary>{counts}</details>"
