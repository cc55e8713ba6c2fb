"""The reporting policy, version 1: which rows a correct report holds.

Report the root, not its echoes. The rule reads the displayed daily values and the
difficulty's thresholds, nothing else; no plan of the generator is ever consulted, so every
label can be found from the tools and there is exactly one right answer.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel, severity_of
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    HOURLY_MIX,
    LONGEST,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    RATE_DECIMALS,
    SHARE_DECIMALS,
    DailySeries,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import (
    BASELINE_CLAUSES,
    ENTITY_TYPES_TEXT,
    RootFinding,
    build_policy_template,
    find_roots_of_day,
)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row of a correct report; rates in percent, the share as a fraction."""

    date: str
    entity_type: str
    entity_name: str
    anomaly_type: str
    detection_method: str
    baseline_value: float
    observed_value: float
    delta_value: float
    severity: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What rows are matched on: date, entity type, entity name."""
        return (self.date, self.entity_type, self.entity_name)

    def as_dict(self) -> dict[str, str | float]:
        """The nine fields in the contract's order."""
        return {name: getattr(self, name) for name in ROW_FIELDS}


ROW_FIELDS: tuple[str, ...] = tuple(ReportRow.__dataclass_fields__)


@functools.lru_cache(maxsize=64)
def format_policy_text(
    funnel: Funnel, level: FunnelLevel, *, calendar: str = "list_calendar", with_rows: bool = True
) -> str:
    """The rule in words, with the thresholds in force, as agents are told it.

    Args:
        funnel: names.
        level: thresholds.
        calendar: name of the tool that shows the calendar.
        with_rows: whether to say what stands in a row's fields, which only those need who write
            rows themselves.
    """

    def format_bounds(entity_type: str) -> str:
        return ", ".join(f"{bound:g}" for bound in level.severity_bounds[entity_type])

    start, stop = funnel.daytime
    usual, otherwise = BASELINE_CLAUSES[level.baseline]
    with_calendar = bool(level.decoys)
    words = build_policy_template(level.wording, with_rows=with_rows, with_calendar=with_calendar)
    return words.format(
        baseline=usual,
        baseline_otherwise=otherwise,
        leak="most" if level.leak_reports == LONGEST else "fewest",
        calendar=calendar,
        counts=", ".join(
            name if k == 0 else f"c{k} {name}" for k, name in enumerate(funnel.count_names)
        ),
        composites=" and ".join(
            f"{name} = 100 * c{end} / c0"
            for name, end in zip(funnel.composite_rate_names, funnel.composite_ends, strict=True)
        ),
        steps=", ".join(funnel.step_rate_names),
        kinds=ENTITY_TYPES_TEXT,
        first=funnel.count_names[0],
        start=start,
        last=stop - 1,
        count=level.count_threshold,
        rate=level.rate_threshold,
        mix=level.mix_threshold,
        brk=level.break_threshold,
        count_bands=format_bounds(EVENT_COUNT),
        rate_bands=format_bounds(CONVERSION_RATE),
        mix_bands=format_bounds(HOURLY_MIX),
        quality_bands=format_bounds(DATA_QUALITY),
    )


def build_report_row(finding: RootFinding, day: int, date: str, series: DailySeries) -> ReportRow:
    """The full report row of a finding, with the values that the tools show."""
    entity_type, entity_name, anomaly_type, column = finding
    observed, baseline, deviation = series.series_value_at(day, column)
    return ReportRow(
        date,
        entity_type,
        entity_name,
        anomaly_type,
        DETECTION_METHODS[entity_type],
        baseline,
        observed,
        rounded_delta(observed, baseline, entity_type),
        severity_of(abs(deviation), series.level.severity_bounds[entity_type]),
    )


def rounded_delta(observed: float, baseline: float, entity_type: str) -> float:
    """Observed − baseline at the precision that both are shown with."""
    decimals = SHARE_DECIMALS if entity_type == HOURLY_MIX else RATE_DECIMALS
    return round(observed - baseline, decimals)


def compute_labels(series: DailySeries, dates: Sequence[str]) -> tuple[ReportRow, ...]:
    """The one correct report on these data.

    Args:
        series: derived daily series.
        dates: ISO date of each day.

    Returns:
        Rows by date, within a day in the policy's order.
    """
    flagged = (np.abs(series.unexplained_deviations) >= series.thresholds).any(axis=1)
    rows: list[ReportRow] = []
    for day in np.flatnonzero(flagged | series.excess.any(axis=1)).tolist():
        changes, excess = series.unexplained_deviations[day].tolist(), series.excess[day].tolist()
        found = find_roots_of_day(changes, excess, series.funnel, series.level)
        rows.extend(build_report_row(finding, day, dates[day], series) for finding in found)
    return tuple(rows)
