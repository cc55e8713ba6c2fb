"""Text of the reporting policy with an episode's thresholds and other parameters."""

from __future__ import annotations

import functools

from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import LeakReport
from metric_tracker_rl.engine.reporting_policy.clauses import (
    BASELINE_CLAUSES,
    CALENDAR_CLAUSE,
    CLAUSES,
    DRAWN_TERMS_CLAUSE,
    ENTITY_TYPES_TEXT,
    ROW_FIELDS_CLAUSE,
    SUSPENSION_CLAUSE,
    Clause,
    unpack_alternative_wording_flags,
)
from metric_tracker_rl.engine.reporting_policy.clauses_for_ids import CLAUSES_FOR_IDS, SCAN_CLAUSES
from metric_tracker_rl.engine.reporting_policy.series_policy_text import format_series_policy_text


@functools.lru_cache(maxsize=64)
def format_policy_text(
    funnel: Funnel,
    level: FunnelLevel,
    *,
    calendar_tool: str = "list_calendar",
    is_for_report_of_ids: bool = False,
) -> str:
    """Return the text of the reporting policy that players receive, with all parameters filled in.

    Args:
        funnel: funnel that provides names and the daytime hours.
        level: level that provides thresholds, severity bounds, baseline and wording.
        calendar_tool: name of the tool that returns the calendar.
        is_for_report_of_ids: whether players submit ids that `scan` has listed. The text then omits
            thresholds and formulas, which `scan` has already applied, and does not describe the
            fields of a row.
    """
    if level.series_thresholds is not None:
        return format_series_policy_text(
            funnel,
            level,
            calendar_tool=calendar_tool,
            is_for_report_of_ids=is_for_report_of_ids,
        )

    def format_severity_bounds(entity_type: str) -> str:
        return ", ".join(
            f"{bound:g}" for bound in level.severity_bounds_by_entity_type[entity_type]
        )

    baseline = BASELINE_CLAUSES[level.baseline]
    template = build_policy_text_template(
        level.wording,
        is_for_report_of_ids=is_for_report_of_ids,
        with_calendar_clause=level.decoys > 0,
    )
    if is_for_report_of_ids:
        template = f"{SCAN_CLAUSES[level.scan_lists]} {template}"
    if level.has_drawn_terms and is_for_report_of_ids:
        template = f"{template} {DRAWN_TERMS_CLAUSE}"
    elif level.suspended_rule is not None:
        template = f"{template} {SUSPENSION_CLAUSE}"
    if level.has_drawn_terms and is_for_report_of_ids:
        leak = "fewest or most"
    else:
        leak = "most" if level.leak_reports == LeakReport.LONGEST else "fewest"
    return template.format(
        rule=level.suspended_rule,
        baseline=baseline.default,
        baseline_otherwise=baseline.alternative,
        leak=leak,
        calendar=calendar_tool,
        counts=", ".join(
            name if stage == 0 else f"c{stage} {name}"
            for stage, name in enumerate(funnel.event_count_names)
        ),
        composites=" and ".join(
            f"{name} = 100 * c{end} / c0"
            for name, end in zip(funnel.composite_rate_names, funnel.composite_ends, strict=True)
        ),
        composite_names=" and ".join(funnel.composite_rate_names),
        stages=", ".join(funnel.event_count_names),
        steps=", ".join(funnel.step_rate_names),
        kinds=ENTITY_TYPES_TEXT,
        first=funnel.event_count_names[0],
        start=funnel.daytime_hours.start,
        last=funnel.daytime_hours.stop - 1,
        count=level.count_threshold,
        rate=level.rate_threshold,
        mix=level.mix_threshold,
        brk=level.break_threshold,
        count_bands=format_severity_bounds(EVENT_COUNT),
        rate_bands=format_severity_bounds(CONVERSION_RATE),
        mix_bands=format_severity_bounds(HOURLY_MIX),
        quality_bands=format_severity_bounds(DATA_QUALITY),
    )


def build_policy_text_template(
    wording_number: int, *, is_for_report_of_ids: bool, with_calendar_clause: bool
) -> str:
    """Return the policy's text with placeholders for its parameters.

    Args:
        wording_number: 0 to `WORDING_COUNT` - 1; see `unpack_alternative_wording_flags`.
        is_for_report_of_ids: whether players submit ids instead of complete rows. The text then
            consists of shorter clauses and does not describe the fields of a row.
        with_calendar_clause: whether to include the clause about calendar entries.
    """
    clauses: list[Clause | None] = [
        *(CLAUSES_FOR_IDS if is_for_report_of_ids else CLAUSES),
        None if is_for_report_of_ids else ROW_FIELDS_CLAUSE,
        CALENDAR_CLAUSE if with_calendar_clause else None,
    ]
    wording = unpack_alternative_wording_flags(wording_number)
    return " ".join(
        clause.alternative if is_alternative else clause.default
        for clause, is_alternative in zip(clauses, wording, strict=True)
        if clause is not None
    )
