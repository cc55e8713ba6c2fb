"""Debugger view of the funnel: map, suggested questions, report editor and score."""

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
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.grading.grader import SCORE_WEIGHTS
from metric_tracker_rl.page import questions
from metric_tracker_rl.page.format_values import format_field_with_unit
from metric_tracker_rl.page.metric_map.day_details import day_details_html
from metric_tracker_rl.page.metric_map.map_html import (
    collect_known_values_from_replies,
    collect_values_and_verdicts_to_show,
    may_reveal_answers,
    metric_map_html,
    rebuild_episode_from_reset_arguments,
    verdict_list_item_html,
)
from metric_tracker_rl.page.metric_map.small_charts import series_charts_html
from metric_tracker_rl.page.report_editor import FunnelReport
from metric_tracker_rl.page.score import score_waterfall_html
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.environment import Environment
from openenv_kit.page.components.elements import (
    collapsed_score_components_html,
    format_short_date,
    message_box_html,
    table_html,
)
from openenv_kit.page.components.grid import CellVerdict
from openenv_kit.page.components.row_editor import EditorRow
from openenv_kit.page.components.tool_result import tool_result_html
from openenv_kit.page.environment_view import (
    EnvironmentView,
    NextStepHint,
    PlaybackSteps,
    QuestionPanel,
)
from openenv_kit.page.playback import Playback, create_playback_that_checks_recording
from openenv_kit.page.visitor import Visitor
from openenv_kit.recordings.format import read_runs
from openenv_kit.tool import format_tool_call_for_display

EXAMPLE_EPISODE_FILE = Path(__file__).with_name("first_visit.jsonl")
"""Recording of an episode of the hard task that contains a rejected call and a wrong row.

When the generator version changes, open the recording on the Watch tab and save it again.
"""


class FunnelView(EnvironmentView):
    """The funnel's view in the debugger. See `EnvironmentView` for the members."""

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
            "the cause, not its consequences."
        )

    @cached_property
    def example_episode(self) -> Playback:
        playback = create_playback_that_checks_recording(
            read_runs(EXAMPLE_EPISODE_FILE)[0], self.environment
        )
        playback.read_steps_to_end_and_show_last()
        return playback

    def overview_html(
        self,
        steps: PlaybackSteps,
        reset: Mapping[str, Any],
        selection: str = "",
        rows: Sequence[EditorRow] = (),
    ) -> str:
        return metric_map_html(steps, reset, selection, rows)

    def details_html(self, visitor: Visitor) -> str:
        known_values, verdicts, over = collect_values_and_verdicts_to_show(
            visitor.playback_steps, visitor.reset
        )
        at = questions.parse_selected_cell(known_values, visitor.selection)
        stages = known_values.funnel.event_count_names
        day = ""
        if at is not None:
            stage = stages[at[0]] if at[0] < len(stages) else stages[0]
            day = f'<div id="mt-day">{day_details_html(known_values, at[1], stage, verdicts)}</div>'
        return (
            day
            + series_charts_html(known_values, verdicts)
            + (_all_counts_and_rates_table_html(visitor) if over else "")
        )

    def result_headline(self, steps: PlaybackSteps) -> str:
        last = steps[-1].observation
        breakdown = last.get("reward_breakdown")
        score = float(last.get("reward") or 0.0)
        if not breakdown:
            outcome = "No report was submitted" if may_reveal_answers(steps) else "The score"
            return f"{outcome}: {score:.2f}"
        if not breakdown["expected_rows"]:
            return f"There was nothing to find: {score:.2f}"
        parts = [f"{breakdown['matched_rows']} of {breakdown['expected_rows']} found"]
        if breakdown["extra_rows"]:
            parts.append(f"{breakdown['extra_rows']} too many")
        if any(breakdown[name] < breakdown["recall"] for name in SCORE_WEIGHTS):
            parts.append("some fields wrong")
        return f"{', '.join(parts)}: {score:.2f}"

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        last = steps[-1].observation
        message = message_box_html(str(last.get("message") or ""))
        if not may_reveal_answers(steps):
            return message
        breakdown = last.get("reward_breakdown")
        score = message
        if breakdown:
            score = score_waterfall_html(RewardBreakdown.model_validate(breakdown))
        verdicts = collect_values_and_verdicts_to_show(steps, reset)[1]
        items = ""
        for verdict in verdicts:
            if verdict.kind == CellVerdict.MISSING:
                items += verdict_list_item_html(
                    verdict, extra_html=f" {_tool_call_that_shows_anomaly_html(verdict.row)}"
                )
            elif verdict.kind != CellVerdict.MATCHED:
                items += verdict_list_item_html(verdict)
        summary = message_box_html("Every row was right.", "good")
        if items:
            summary = f'<h3>What was missed</h3><ul class="mt-issues">{items}</ul>'
        return summary + collapsed_score_components_html(score)

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        if visitor.is_done:
            return None
        known_values, at = (
            collect_known_values_from_replies(visitor.playback_steps),
            visitor.selection.rpartition("/")[2],
        )
        panel = questions.build_question_panel(
            known_values, visitor.playback_steps, visitor.selection
        )
        metrics = ["", *ORDERING_APP.count_and_rate_names]
        suggested = {
            "date": [at, *known_values.dates] if at in known_values.dates else known_values.dates,
            "metric_name": metrics,
            "entity_name": metrics,
        }
        return replace(panel, suggested_values=suggested)

    def next_step_hint_for_empty_report(self, visitor: Visitor) -> NextStepHint:
        known_values = collect_known_values_from_replies(visitor.playback_steps)
        return questions.build_next_step_hint(
            known_values,
            visitor.playback_steps,
            visitor.selection,
            self.report_editor(visitor).suggested_rows(),
        )

    def report_editor(self, visitor: Visitor) -> FunnelReport:
        return FunnelReport(visitor)

    def format_action_for_display(self, action: Mapping[str, Any]) -> str:
        arguments = action.get("analysis_args")
        if action.get("analysis_method") and action.get("analysis_method") != SUBMIT_TOOL:
            return format_tool_call_for_display(str(action["analysis_method"]), arguments or {})
        if action.get("payload_generators"):
            return "submit the rows of generators"
        rows = action.get("classifications")
        if isinstance(arguments, Mapping):
            rows = arguments.get("rows")
        count = len(rows) if isinstance(rows, list) else 0
        return f"submit {count} row{'' if count == 1 else 's'}"

    def reply_html_without_status_and_message(self, observation: Mapping[str, Any]) -> str:
        analysis = observation.get("analysis_result")
        return tool_result_html(analysis["result"], _tool_result_cell_html) if analysis else ""


def _tool_result_cell_html(column: str, value: Any, row: Mapping[str, Any]) -> str:
    """Return the HTML of one cell in the table of a tool result."""
    if column == "date" and isinstance(value, str):
        return escape(format_short_date(value))
    return format_field_with_unit(column, value, row)


def _tool_call_that_shows_anomaly_html(row: ReportRow) -> str:
    """Return the HTML of the tool call that shows the anomaly of an expected row."""
    named = ""
    if row.detection_method.startswith("compare"):
        named = f", entity_name={row.entity_name!r}"
    return f"<code>{escape(f'{row.detection_method}(date={row.date!r}{named})')}</code> shows it."


def _all_counts_and_rates_table_html(visitor: Visitor) -> str:
    """Return the HTML of a collapsed table with all counts and rates by day."""
    episode = rebuild_episode_from_reset_arguments(visitor.reset).episode
    names = episode.config.funnel_with_policy_daytime.count_and_rate_names
    lines = [
        [
            escape(format_short_date(date)),
            *(
                format_field_with_unit(n, v, {})
                for n, v in zip(names, episode.series.values_and_excess_by_day[at], strict=False)
            ),
        ]
        for at, date in enumerate(episode.dates)
    ]
    counts = table_html(
        ["day", *names], lines, "Counts and rates", numeric_columns=range(1, len(names) + 1)
    )
    return f"<details><summary>Every count of the episode</summary>{counts}</details>"
