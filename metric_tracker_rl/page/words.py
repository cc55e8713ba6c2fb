"""Texts about the funnel that the debugger shows, such as tool groups, reasons and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import FUNNELS
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.page.format_values import format_field_with_unit
from metric_tracker_rl.page.labels import label_field
from openenv_kit.page.components.elements import format_short_date, humanize

HEADLINE = "Can an AI agent find what broke in this app’s numbers?"
SENTENCES = (
    "Each episode is four weeks of data from a simulated ordering app in which something went "
    "wrong: customers were lost at a step, events went missing, traffic rose or fell.",
    "The player, a language model or you, analyzes the data with tools, one call per step, and "
    "submits a report: which number broke, and on which day.",
    "The report is scored from 0 to 1: causes raise the score, their consequences lower it. "
    "Models are trained and ranked on this score.",
)

TOOL_GROUPS: Mapping[str, Sequence[str]] = {
    "Read data": (
        "show_raw_data",
        "rows_for_date",
        "hourly_rows_for_date",
        "list_dates",
        "day",
        "hours",
    ),
    "Compare with usual": (
        "get_metric_median",
        "compare_count_to_median",
        "compare_rate_to_median",
        "get_metric_std_dev_from_median",
        "detect_funnel_break",
    ),
    "Find candidates": (
        "list_suspicious_dates",
        "scan",
        "check_impossible_counts",
        "get_rows_with_abs_diff_from_median_gt",
        "get_median_filter_rows",
        "payload_generator",
        "get_rate_drop_from_median_rows",
        "get_rate_spike_from_median_rows",
        "get_absolute_drop_in_event_count_rows",
        "get_absolute_spike_in_event_count_rows",
        "get_funnel_break_rows",
        "get_hourly_traffic_mix_shift_rows",
        "get_instrumentation_data_quality_issue_rows",
    ),
    "Rules and calendar": (
        "task_overview",
        "overview",
        "list_entities",
        "list_calendar",
        "calendar",
    ),
    "Check the report": ("preview_submission",),
}
"""Names of the tools by group, in the order in which a player needs them."""

REASON_BY_TOOL: Mapping[str, str] = {
    "task_overview": "Start with the rules: the thresholds define the normal ranges.",
    "overview": "Start with the rules: they state which rate to report if no single step moved "
    "enough.",
    "get_metric_median": "The usual values show whether a number is high or low.",
    "list_suspicious_dates": "The ranking of dates shows which days to read first.",
    "get_hourly_traffic_mix_shift_rows": "This shows days on which traffic moved between hours.",
    "list_calendar": "A planned event explains some changes; those are not reported.",
    "calendar": "A planned event explains some changes; those are not reported.",
    "check_impossible_counts": "A later stage counted more events than the one before it. On such "
    "a day, only impossible counts are reported.",
    "rows_for_date": "{day} is outside its normal range. Its counts show which stage moved first.",
    "scan": "The scan lists everything outside its normal range, causes and consequences alike.",
    "show_raw_data": "The daily counts show on which days a series leaves its usual level.",
    "hourly_rows_for_date": "The hours of {day} show shifted traffic and impossible counts.",
    "day": "The counts of {day} show which stage moved first.",
    "hours": "The hours of {day} show shifted traffic and impossible counts.",
}
"""Reason for a suggested call, by tool. `{day}` is replaced with the date of the call."""
OTHER_REASON = "The reporting policy needs this before the report is complete."


def explain_rule_of_row(row: Mapping[str, Any], funnel: Funnel) -> str:
    """Return a short text with the rule of the reporting policy that requires a row."""
    kind, name = str(row.get("entity_type")), str(row.get("entity_name"))
    if kind == DATA_QUALITY:
        return "Rule 1: a later stage counted more events than the stage before it."
    if kind == HOURLY_MIX:
        return "Rule 2: the share of events in the daytime left its normal range."
    if kind == EVENT_COUNT and name == funnel.event_count_names[0]:
        return "Rule 6: traffic moved. Later counts only follow it."
    if kind == EVENT_COUNT:
        return (
            "Rule 3: only this stage lost or doubled events, so the rates into and out of it moved "
            "in opposite directions."
        )
    if kind == FUNNEL_STEP:
        return "Rule 4: customers were lost at this step. Later counts only follow it."
    if kind == CONVERSION_RATE and name in funnel.composite_rate_names:
        end = funnel.composite_ends[funnel.composite_rate_names.index(name)]
        steps = label_rates(funnel)[:end]
        return (
            f"Rule 5: a change that no single step shows: {'; '.join(steps)} all stayed inside "
            "their normal ranges, and together they left it."
        )
    return "Rule 4: this step moved, while the stage above it stayed inside its normal range."


def describe_result(result: Mapping[str, Any]) -> str:
    """Return a short description of a tool result; empty if it is best described by its message."""
    if "payload_schema" in result:
        return "rules and thresholds"
    rows = result.get("rows")
    # In results of the lean profile, the names of the columns come before the rows.
    lists = {"rows": rows} if rows and "columns" in result else result
    for name, value in lists.items():
        if isinstance(value, list) and value:
            return f"{len(value)} {label_field(name)}"
    day = format_short_date(str(result.get("date") or ""))
    if "daily_metrics" in result:
        counts, rates = len(result["daily_metrics"]), len(result.get("derived_rates") or ())
        return f"{counts} counts and {rates} rates of {day}"
    if "observed_value" in result:
        fields = ("observed_value", "baseline_value")
        value, usual = (format_field_with_unit(name, result[name], result) for name in fields)
        return f"{value}, usual {usual}"
    empty = next((name for name, value in result.items() if value == []), "")
    if empty:
        return f"no {label_field(empty)}"
    return f"values of {day}" if day else ""


def format_entity_name(row: Mapping[str, Any]) -> str:
    """Return a readable name of a row's entity, such as "menu open → product added to cart"."""
    name = str(row.get("entity_name", ""))
    if name in _RATE_LABELS:
        return _RATE_LABELS[name]
    if row.get("entity_type") == DATA_QUALITY:
        below, _, above = humanize(name).partition(" lte ")
        return f"more {below} than {above}"
    return humanize(name).replace(":", ": ")


def label_rates(funnel: Funnel) -> list[str]:
    """Return a readable name of each conversion rate of a funnel, in the order of its columns."""
    events = [humanize(stage.event) for stage in funnel.stages]
    return [f"{events[below]} → {events[above]}" for above, below in funnel.rate_stage_indices]


def _label_rates_and_steps_by_name(funnel: Funnel) -> dict[str, str]:
    labels = label_rates(funnel)
    # Funnel steps are in the same order as the step rates, which are the first of the rates.
    return {
        **dict(zip(funnel.funnel_step_names, labels, strict=False)),
        **dict(zip(funnel.conversion_rate_names, labels, strict=True)),
    }


_RATE_LABELS = {
    name: label
    for funnel in FUNNELS.values()
    for name, label in _label_rates_and_steps_by_name(funnel).items()
}
