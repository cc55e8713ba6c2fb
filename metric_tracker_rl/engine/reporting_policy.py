"""The reporting policy, version 1: which rows a correct report holds.

Report the root, not its echoes. The rule reads the displayed daily values and the
difficulty's thresholds, nothing else; no plan of the generator is ever consulted, so every
label can be found from the tools and there is exactly one right answer.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metric_tracker_rl.engine.funnel import Funnel
from metric_tracker_rl.engine.levels import Level, severity_of
from metric_tracker_rl.engine.series import (
    RATE_DECIMALS,
    SHARE_DECIMALS,
    DailySeries,
    thresholds,
)
from metric_tracker_rl.engine.vocabulary import (
    CONVERSION_RATE,
    COUNT_DROP,
    COUNT_SPIKE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    FUNNEL_BREAK,
    FUNNEL_STEP,
    HOURLY_MIX,
    LONGEST,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.engine.wording import BASELINE, policy_words

ANOMALY_TYPES_OF: dict[str, tuple[str | None, str | None]] = {
    DATA_QUALITY: (None, QUALITY_ISSUE),
    HOURLY_MIX: (MIX_SHIFT, MIX_SHIFT),
    EVENT_COUNT: (COUNT_DROP, COUNT_SPIKE),
    CONVERSION_RATE: (RATE_DROP, RATE_SPIKE),
    FUNNEL_STEP: (FUNNEL_BREAK, None),
}
"""What a row of each entity type reports of a value below its baseline and of one above;
None where such a value is not reported."""


def types_of(entity_type: str) -> tuple[str, ...]:
    """Anomaly types that a row of an entity type can have."""
    return tuple(dict.fromkeys(each for each in ANOMALY_TYPES_OF[entity_type] if each))


KINDS_TEXT = "; ".join(
    f"{kind}: {' or '.join(types_of(kind))}, {DETECTION_METHODS[kind]}" for kind in ANOMALY_TYPES_OF
)


class Finding(NamedTuple):
    """One root on one day, before its values are looked up."""

    entity_type: str
    entity_name: str
    anomaly_type: str
    column: int
    """Column of the daily series."""


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
def policy_text(
    funnel: Funnel, level: Level, *, calendar: str = "list_calendar", with_rows: bool = True
) -> str:
    """The rule in words, with the thresholds in force, as agents are told it.

    Args:
        funnel: names.
        level: thresholds.
        calendar: name of the tool that shows the calendar.
        with_rows: whether to say what stands in a row's fields, which only those need who write
            rows themselves.
    """

    def bands(entity_type: str) -> str:
        return ", ".join(f"{bound:g}" for bound in level.severity_bounds[entity_type])

    start, stop = funnel.daytime
    usual, otherwise = BASELINE[level.baseline]
    with_calendar = bool(level.decoys)
    words = policy_words(level.wording, with_rows=with_rows, with_calendar=with_calendar)
    return words.format(
        baseline=usual,
        baseline_otherwise=otherwise,
        leak="most" if level.leak_reports == LONGEST else "fewest",
        calendar=calendar,
        counts=", ".join(
            name if k == 0 else f"c{k} {name}" for k, name in enumerate(funnel.counts)
        ),
        composites=" and ".join(
            f"{name} = 100 * c{end} / c0"
            for name, end in zip(funnel.composite_rates, funnel.composite_ends, strict=True)
        ),
        steps=", ".join(funnel.step_rates),
        kinds=KINDS_TEXT,
        first=funnel.counts[0],
        start=start,
        last=stop - 1,
        count=level.count_threshold,
        rate=level.rate_threshold,
        mix=level.mix_threshold,
        brk=level.break_threshold,
        count_bands=bands(EVENT_COUNT),
        rate_bands=bands(CONVERSION_RATE),
        mix_bands=bands(HOURLY_MIX),
        quality_bands=bands(DATA_QUALITY),
    )


def findings_of_day(
    deviations: Sequence[float], excess: Sequence[float], funnel: Funnel, level: Level
) -> list[Finding]:
    """Roots of one day.

    Args:
        deviations: the day's reportable deviations, in the column order of `DailySeries`.
        excess: the day's impossible events per adjacent pair.
        funnel: names.
        level: thresholds.

    Returns:
        Findings in the policy's order; empty for a clean day.
    """
    if any(excess):
        return [
            Finding(DATA_QUALITY, name, QUALITY_ISSUE, funnel.columns[DATA_QUALITY, name])
            for name, surplus in zip(funnel.quality_checks, excess, strict=True)
            if surplus > 0
        ]

    limits = thresholds(funnel, level)
    flagged = [abs(value) >= limit for value, limit in zip(deviations, limits, strict=True)]
    found: list[Finding] = []

    def report(entity_type: str, name: str, column: int) -> None:
        kind = ANOMALY_TYPES_OF[entity_type][deviations[column] > 0]
        if kind is not None:
            found.append(Finding(entity_type, name, kind, column))

    share, stages = len(funnel.metrics), len(funnel.counts)
    if flagged[share]:
        report(HOURLY_MIX, funnel.mix, share)

    echoes: set[int] = set()  # columns of step rates
    for k in range(1, stages - 1):
        if flagged[k] and not flagged[k - 1] and not flagged[k + 1]:
            into, out_of = stages + k - 1, stages + k
            opposite = deviations[into] * deviations[out_of] < 0
            if opposite and flagged[into] and flagged[out_of]:
                report(EVENT_COUNT, funnel.counts[k], k)
                echoes.update((into, out_of))

    steps = [column for column in range(stages, 2 * stages - 1) if flagged[column]]
    for column in steps:
        if column not in echoes:
            if deviations[column] <= -level.break_threshold:
                report(FUNNEL_STEP, funnel.steps[column - stages], column)
            else:
                report(CONVERSION_RATE, funnel.metrics[column], column)

    if not steps:
        leaks = [column for column in range(2 * stages - 1, share) if flagged[column]]
        if leaks:
            leak = leaks[-1 if level.leak_reports == LONGEST else 0]
            report(CONVERSION_RATE, funnel.metrics[leak], leak)

    if flagged[0]:
        report(EVENT_COUNT, funnel.counts[0], 0)
    return found


def row_for(finding: Finding, day: int, date: str, series: DailySeries) -> ReportRow:
    """The full report row of a finding, with the values that the tools show."""
    entity_type, entity_name, anomaly_type, column = finding
    observed, baseline, deviation = series.look_up(day, column)
    return ReportRow(
        date,
        entity_type,
        entity_name,
        anomaly_type,
        DETECTION_METHODS[entity_type],
        baseline,
        observed,
        shown_delta(observed, baseline, entity_type),
        severity_of(abs(deviation), series.level.severity_bounds[entity_type]),
    )


def shown_delta(observed: float, baseline: float, entity_type: str) -> float:
    """Observed − baseline at the precision that both are shown with."""
    decimals = SHARE_DECIMALS if entity_type == HOURLY_MIX else RATE_DECIMALS
    return round(observed - baseline, decimals)


def label(series: DailySeries, dates: Sequence[str]) -> tuple[ReportRow, ...]:
    """The one correct report on these data.

    Args:
        series: derived daily series.
        dates: ISO date of each day.

    Returns:
        Rows by date, within a day in the policy's order.
    """
    flagged = (np.abs(series.reportable) >= series.thresholds).any(axis=1)
    rows: list[ReportRow] = []
    for day in np.flatnonzero(flagged | series.excess.any(axis=1)).tolist():
        changes, excess = series.reportable[day].tolist(), series.excess[day].tolist()
        found = findings_of_day(changes, excess, series.funnel, series.level)
        rows.extend(row_for(finding, day, dates[day], series) for finding in found)
    return tuple(rows)
