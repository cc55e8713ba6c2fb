"""The funnel's view in the debugger: charts, selected day, suggestions, report and score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL
from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.definitions.entity_types import FUNNEL_STEP
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY, LEVELS
from metric_tracker_rl.engine.definitions.names import DISCLOSURES, PROFILES
from metric_tracker_rl.page import words
from metric_tracker_rl.page.charts import (
    build_example_chart,
    episode_charts_html,
    list_counts,
    list_rates,
)
from metric_tracker_rl.page.day_panel import (
    Selection,
    funnel_shape_html,
    hours_html,
    outstanding_values_html,
    parse_selection,
)
from metric_tracker_rl.page.format_values import format_field_with_unit
from metric_tracker_rl.page.known_values import KnownValues
from metric_tracker_rl.page.labels import TOOL_TITLES, label_field, label_value
from metric_tracker_rl.page.report import FunnelReport, list_reported_columns
from metric_tracker_rl.page.result import (
    format_own_table_headline,
    format_result_headline,
    score_explanation_html,
)
from metric_tracker_rl.page.row_outcomes import list_row_outcomes
from metric_tracker_rl.page.shown_funnel import read_funnel
from metric_tracker_rl.page.suggestion import (
    NO_SUGGESTION,
    build_call_hint,
    build_report_hint,
    build_submitted_ids_hint,
)
from metric_tracker_rl.page.visible_state import (
    collect_known_values_from_replies,
    collect_values_and_verdicts_to_show,
    rebuild_episode_from_reset_arguments,
)
from metric_tracker_rl.policies.base import build_analysis_action
from metric_tracker_rl.tools import SUBMIT_SOLUTION
from openenv_kit.environment import Environment
from openenv_kit.page.components.elements import (
    format_short_date,
)
from openenv_kit.page.components.row_editor import EditorRow
from openenv_kit.page.components.tool_result import tool_result_html
from openenv_kit.page.environment_view import (
    EnvironmentView,
    NextStepHint,
    PlaybackSteps,
    QuestionPanel,
    SuggestedCall,
)
from openenv_kit.page.row_outcomes import RowOutcome
from openenv_kit.page.suggest_step import build_action_key
from openenv_kit.page.visitor import Visitor
from openenv_kit.tool import format_tool_call_for_display

EXAMPLE_RESET: Mapping[str, Any] = {
    "difficulty": "easy",
    "scenario_family": "funnel_break",
    "seed": 34,
}
"""Example episode of the first screen. No button starts it; the buttons start named tasks."""
PACKAGED_PRODUCT_FILE = Path(__file__).with_name("flights.toml")
"""Product file of the example in an installed package."""
CHECKOUT_PRODUCT_FILE = Path(__file__).parents[2] / "examples" / "flights" / "flights.toml"
"""Product file of the example in a checkout of the repository."""
OPENING_TOOLS = ("show_raw_data", "get_metric_median", "hourly_rows_for_date")
"""Tools that the page calls after a reset, as far as the episode offers them."""
MIN_STEPS_FOR_OPENING_CALLS = 10
DAILY_LIMIT = 1000
DAY_CALLS = {
    "rows_for_date": "Counts and rates",
    "day": "Counts and rates",
    "hourly_rows_for_date": "Read the hours",
    "hours": "Read the hours",
    "detect_funnel_break": "Did a step break?",
    "check_impossible_counts": "Impossible counts?",
}
"""Labels of calls about the selected day, by tool."""
EPISODE_CALLS = {
    "show_raw_data": "All daily counts",
    "get_metric_median": "Usual values",
    "list_suspicious_dates": "Rank the days",
    "scan": "Scan all series",
    "list_calendar": "Planned events",
    "calendar": "Planned events",
}
"""Labels of calls about all days, by tool."""
ARGUMENTS_BY_TOOL: Mapping[str, Mapping[str, Any]] = {
    "show_raw_data": {"granularity": "daily", "limit": DAILY_LIMIT}
}


class FunnelView(EnvironmentView):
    """The funnel's view in the debugger. See `EnvironmentView` for the members."""

    style_folder = Path(__file__).parent
    example_product_file = (
        PACKAGED_PRODUCT_FILE if PACKAGED_PRODUCT_FILE.is_file() else CHECKOUT_PRODUCT_FILE
    )
    example_caption = "A finished example. Shaded: normal range. Triangle: a day outside it."
    preview_tool = "preview_submission"
    opening_call_count = len(OPENING_TOOLS)
    tool_groups = words.TOOL_GROUPS
    tool_titles = TOOL_TITLES
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
        self.headline = words.HEADLINE
        self.sentences = words.SENTENCES

    @cached_property
    def example_html(self) -> str:
        view = rebuild_episode_from_reset_arguments(EXAMPLE_RESET)
        known_values = KnownValues.from_episode(view.episode, view.public_config)
        cause = next(row for row in view.episode.expected_rows if row.entity_type == FUNNEL_STEP)
        day = view.episode.day_by_date[cause.date]
        columns = known_values.funnel.columns
        step = columns.get_column_of_entity(cause.entity_type, cause.entity_name)
        stage = columns.step_index_of_column(step)
        counts, rates = list_counts(known_values.funnel), list_rates(known_values.funnel)
        return "".join(
            build_example_chart(known_values, series, day, tag, tag_class)
            for series, tag, tag_class in (
                (counts[stage], "normal", "normal"),
                (rates[stage], "cause, reported", "cause"),
                (counts[stage + 1], "consequence, not reported", "consequence"),
            )
        )

    @property
    def example_task_id(self) -> str:
        return ""

    def count_opening_calls(self, reset_steps: PlaybackSteps) -> int:
        if int(reset_steps[0].observation["config"]["max_steps"]) < MIN_STEPS_FOR_OPENING_CALLS:
            return 0
        offered = self._offered_tools(reset_steps)
        return len(list(takewhile(lambda name: name in offered, OPENING_TOOLS)))

    def next_opening_call(self, steps: PlaybackSteps) -> SuggestedCall | None:
        position = len(steps) - 1
        if position >= self.count_opening_calls(steps[:1]):
            return None
        name = OPENING_TOOLS[position]
        arguments = ARGUMENTS_BY_TOOL.get(name, {})
        if name == "hourly_rows_for_date":
            known_values = collect_known_values_from_replies(steps)
            arguments = {"date": known_values.dates[known_values.largest_deviation_day or 0]}
        return SuggestedCall(name, name, arguments)

    def initial_selection(self, steps: PlaybackSteps) -> str:
        known_values = collect_known_values_from_replies(steps)
        day = known_values.largest_deviation_day
        return "" if day is None else f"0/{known_values.dates[day]}"

    def selection_after_call(self, visitor: Visitor, arguments: Mapping[str, Any]) -> str:
        known_values = KnownValues(visitor.playback_steps[0].observation["config"])
        day = known_values.find_day_index(arguments.get("date"))
        at = parse_selection(known_values, visitor.selection)
        if day is None or (at is not None and at.day == day):
            return visitor.selection
        return f"{at.column if at else 0}/{known_values.dates[day]}"

    def anomaly_count_text(self, reset_observation: Mapping[str, Any]) -> str:
        count = reset_observation.get("expected_row_count")
        if not isinstance(count, int) or isinstance(count, bool) or not count:
            return ""
        return f"{count} anomal{'y' if count == 1 else 'ies'} to find"

    def overview_html(
        self,
        steps: PlaybackSteps,
        reset: Mapping[str, Any],
        selection: str = "",
        rows: Sequence[EditorRow] = (),
    ) -> str:
        known_values, verdicts, _ = collect_values_and_verdicts_to_show(steps, reset)
        at = parse_selection(known_values, selection)
        return episode_charts_html(known_values, verdicts, at.day if at else None)

    def details_html(self, visitor: Visitor) -> str:
        known_values = collect_values_and_verdicts_to_show(visitor.playback_steps, visitor.reset)[0]
        at = parse_selection(known_values, visitor.selection) or Selection(0, 0)
        return (
            f'<div class="mt-day-charts"><section>{hours_html(known_values, at)}</section>'
            f"<section>{funnel_shape_html(known_values, at.day)}</section></div>"
        )

    def result_headline(self, steps: PlaybackSteps) -> str:
        return format_result_headline(steps)

    def own_table_headline(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        return format_own_table_headline(steps, reset)

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        return score_explanation_html(steps, reset)

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        known_values, verdicts, _ = collect_values_and_verdicts_to_show(
            visitor.playback_steps, visitor.reset
        )
        at = parse_selection(known_values, visitor.selection)
        offered = self._offered_tools(visitor.playback_steps)
        groups: dict[str, list[SuggestedCall]] = {}
        title, known = "No day selected", '<p class="mt-hint">Click a day in a chart.</p>'
        dates = list(known_values.dates)
        if at is not None:
            date = known_values.dates[at.day]
            dates = [date, *dates]
            title = f"{format_short_date(date)}: what stands out"
            known = outstanding_values_html(
                known_values,
                at.day,
                verdicts,
                reported_columns=list_reported_columns(visitor.report_rows, known_values, date),
                may_report=not visitor.is_done,
            )
            groups["Ask about this day"] = [
                SuggestedCall(label, tool, {"date": date}) for tool, label in DAY_CALLS.items()
            ]
        groups["Ask about all days"] = [
            SuggestedCall(label, tool, ARGUMENTS_BY_TOOL.get(tool, {}))
            for tool, label in EPISODE_CALLS.items()
        ]
        if visitor.is_done:
            groups = {}
        made = {build_action_key(step.action) for step in visitor.playback_steps[1:]}
        names = list(known_values.funnel.count_and_rate_names)
        selected = [names[at.column]] if at and at.column < len(names) else []
        return QuestionPanel(
            title,
            {
                name: [call for call in calls if call.tool in offered and _key_of(call) not in made]
                for name, calls in groups.items()
            },
            known,
            {"date": dates, "metric_name": ["", *names], "entity_name": [*selected, *names]},
        )

    def suggest_next_step(self, visitor: Visitor) -> NextStepHint:
        action = self.suggest_action(visitor)
        if action is None:
            return NO_SUGGESTION
        call = self.environment.tools.tool_call_of_action(action)
        if call.name == SUBMIT_SOLUTION:
            funnel = read_funnel(visitor.playback_steps[0].observation["config"])
            instruction = str(visitor.playback_steps[0].observation.get("instruction") or "")
            return build_report_hint(
                visitor.report_rows, call.arguments["rows"], funnel, instruction
            )
        return build_submitted_ids_hint(call) if call.name == SUBMIT_TOOL else build_call_hint(call)

    def suggested_report(self, visitor: Visitor) -> Sequence[EditorRow] | None:
        action = self.suggest_action(visitor) or {}
        rows = action.get("classifications")
        return None if rows is None else [dict(row) for row in rows]

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

    def row_outcomes(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> Sequence[RowOutcome]:
        return list_row_outcomes(steps, reset)

    def reply_html_without_status_and_message(self, observation: Mapping[str, Any]) -> str:
        analysis = observation.get("analysis_result")
        if not analysis:
            return ""
        return tool_result_html(analysis["result"], _tool_result_cell_html, label_field)

    def finding_text(self, observation: Mapping[str, Any]) -> str:
        analysis = observation.get("analysis_result") or {}
        text = super().finding_text(observation)
        if not analysis or observation.get("done"):
            return text
        return words.describe_result(analysis["result"]) or text

    def _offered_tools(self, steps: PlaybackSteps) -> set[str]:
        tools = self.environment.tools.select_for_episode(steps[0].observation)
        return set(tools.tool_names)


def _key_of(call: SuggestedCall) -> str:
    return build_action_key(build_analysis_action(call.tool, **call.arguments))


def _tool_result_cell_html(column: str, value: Any, row: Mapping[str, Any]) -> str:
    """Return the HTML of one cell in the table of a tool result."""
    if column == "date" and isinstance(value, str):
        return escape(format_short_date(value))
    if column == "anomaly_type" and isinstance(value, str):
        return escape(label_value(value))
    if column == "severity" and row.get("anomaly_type") == NORMAL:
        return "–"
    return format_field_with_unit(column, value, row)
