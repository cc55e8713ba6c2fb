"""The funnel's part of the page: its map, its questions, its report, its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY, LEVELS
from metric_tracker_rl.engine.definitions.names import DISCLOSURES, PROFILES
from metric_tracker_rl.engine.grading.grader import SCORE_WEIGHTS
from metric_tracker_rl.page import questions
from metric_tracker_rl.page.format_values import format_with_unit
from metric_tracker_rl.page.metric_map.day_details import day_html
from metric_tracker_rl.page.metric_map.map_html import (
    known_values_of,
    map_html,
    may_reveal_answers,
    rebuild_episode,
    verdict_html,
    visible_state,
)
from metric_tracker_rl.page.metric_map.small_charts import small_charts_html
from metric_tracker_rl.page.report_editor import FunnelReport
from metric_tracker_rl.page.score import score_waterfall_html
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.environment import Environment
from openenv_kit.page.components.elements import (
    format_day,
    note_html,
    score_components_html,
    table_html,
)
from openenv_kit.page.components.grid import MATCHED, MISSING
from openenv_kit.page.components.row_editor import EditorRow
from openenv_kit.page.components.tool_result import result_html
from openenv_kit.page.environment_view import (
    EnvironmentView,
    NextStepHint,
    PlaybackSteps,
    QuestionPanel,
)
from openenv_kit.page.playback import Playback, playback_of_recording
from openenv_kit.page.visitor import Visitor
from openenv_kit.recordings.format import read_runs
from openenv_kit.tool import format_tool_call

EXAMPLE_EPISODE_FILE = Path(__file__).with_name("first_visit.jsonl")
"""A play of the hard task as a model plays it: careful, with a wrong call and a wrong row.

After a new version of the generator, open it on the Watch tab and save it: that makes it again.
"""


class FunnelView(EnvironmentView):
    """See `openenv_kit.page.environment_view.EnvironmentView`."""

    style_folder = Path(__file__).parent
    link_description = "Which day broke, and which metric?"
    icon = '<path d="M3 4h18l-7 9v7l-4-2v-5z"/>'
    reset_choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "difficulty": tuple(LEVELS),
        "scenario_family": SCENARIO_FAMILIES,
        "anomaly_density": tuple(ANOMALY_COUNT_BY_DENSITY),
        "profile": PROFILES,
        "disclosure": DISCLOSURES,
    }

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.link_title = "Funnel"
        self.objective = (
            "Something broke in this shop's numbers. Find which day and which metric, and report "
            "the cause, not what followed from it."
        )

    @cached_property
    def example_episode(self) -> Playback:
        playback = playback_of_recording(read_runs(EXAMPLE_EPISODE_FILE)[0], self.environment)
        playback.run_to_end()
        return playback

    def overview_html(
        self,
        steps: PlaybackSteps,
        reset: Mapping[str, Any],
        selection: str = "",
        rows: Sequence[EditorRow] = (),
    ) -> str:
        return map_html(steps, reset, selection, rows)

    def details_html(self, visitor: Visitor) -> str:
        seen, judged, over = visible_state(visitor.playback_steps, visitor.reset)
        at = questions.parse_selection(seen, visitor.selection)
        stages = seen.funnel.count_names
        day = ""
        if at is not None:
            stage = stages[at[0]] if at[0] < len(stages) else stages[0]
            day = f'<div id="mt-day">{day_html(seen, at[1], stage, judged)}</div>'
        return day + small_charts_html(seen, judged) + (_counts_table_html(visitor) if over else "")

    def result_headline(self, steps: PlaybackSteps) -> str:
        last = steps[-1].observation
        got, score = last.get("reward_breakdown"), float(last.get("reward") or 0.0)
        if not got:
            outcome = "No report was handed in" if may_reveal_answers(steps) else "The score"
            return f"{outcome}: {score:.2f}"
        if not got["expected_rows"]:
            return f"There was nothing to find: {score:.2f}"
        parts = [f"{got['matched_rows']} of {got['expected_rows']} found"]
        if got["extra_rows"]:
            parts.append(f"{got['extra_rows']} too many")
        if any(got[name] < got["recall"] for name in SCORE_WEIGHTS):
            parts.append("some fields wrong")
        return f"{', '.join(parts)}: {score:.2f}"

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        last = steps[-1].observation
        message = note_html(str(last.get("message") or ""))
        if not may_reveal_answers(steps):
            return message
        got = last.get("reward_breakdown")
        score = score_waterfall_html(RewardBreakdown.model_validate(got)) if got else message
        judged = visible_state(steps, reset)[1]
        wrong = [each for each in judged if each.kind != MATCHED]
        lines = "".join(
            verdict_html(each).removesuffix("</li>")
            + (f" {_tool_hint_html(each.row)}</li>" if each.kind == MISSING else "</li>")
            for each in wrong
        )
        missed = f'<h3>What was missed</h3><ul class="mt-issues">{lines}</ul>'
        return (
            missed if wrong else note_html("Every row was right.", "good")
        ) + score_components_html(score)

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        if visitor.is_done:
            return None
        seen, at = known_values_of(visitor.playback_steps), visitor.selection.rpartition("/")[2]
        asked = questions.build_question_panel(seen, visitor.playback_steps, visitor.selection)
        metrics = ["", *ORDERING_APP.metric_names]
        suggested = {
            "date": [at, *seen.dates] if at in seen.dates else seen.dates,
            "metric_name": metrics,
            "entity_name": metrics,
        }
        return replace(asked, suggested_values=suggested)

    def next_step_hint(self, visitor: Visitor) -> NextStepHint:
        seen = known_values_of(visitor.playback_steps)
        return questions.build_next_step_hint(
            seen,
            visitor.playback_steps,
            visitor.selection,
            self.report_editor(visitor).suggested_rows(),
        )

    def report_editor(self, visitor: Visitor) -> FunnelReport:
        return FunnelReport(visitor)

    def describe_action(self, action: Mapping[str, Any]) -> str:
        asked = action.get("analysis_args")
        if action.get("analysis_method") and action.get("analysis_method") != SUBMIT_TOOL:
            return format_tool_call(str(action["analysis_method"]), asked or {})
        if action.get("payload_generators"):
            return "submit the rows of generators"
        rows = asked.get("rows") if isinstance(asked, Mapping) else action.get("classifications")
        count = len(rows) if isinstance(rows, list) else 0
        return f"submit {count} row{'' if count == 1 else 's'}"

    def reply_html(self, observation: Mapping[str, Any]) -> str:
        answered = observation.get("analysis_result")
        return result_html(answered["result"], _cell_html) if answered else ""


def _cell_html(column: str, value: Any, row: Mapping[str, Any]) -> str:
    """HTML of a value in a result's table."""
    if column == "date" and isinstance(value, str):
        return escape(format_day(value))
    return format_with_unit(column, value, row)


def _tool_hint_html(row: Any) -> str:
    """The call that shows a row."""
    named = (
        f", entity_name={row.entity_name!r}" if row.detection_method.startswith("compare") else ""
    )
    return f"<code>{escape(f'{row.detection_method}(date={row.date!r}{named})')}</code> shows it."


def _counts_table_html(visitor: Visitor) -> str:
    """Every count, a line a day, in a fold."""
    episode = rebuild_episode(visitor.reset).episode
    names = episode.config.funnel_spec.metric_names
    lines = [
        [
            escape(format_day(date)),
            *(
                format_with_unit(n, v, {})
                for n, v in zip(names, episode.series.values_by_day[at], strict=False)
            ),
        ]
        for at, date in enumerate(episode.dates)
    ]
    counts = table_html(
        ["day", *names], lines, "Counts and rates", numbers=range(1, len(names) + 1)
    )
    return f"<details><summary>Every count of the episode</summary>{counts}</details>"
