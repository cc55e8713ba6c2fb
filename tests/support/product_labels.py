"""Labels a window of a product's counts, written from the reporting policy's text alone.

The text is the reporting policy (stages, six rules), the public contract (fields and names of a
row), the specification of own-data products (baseline, thresholds, severity, composites, file
format) and the public page of the policy (what a calendar entry does). No code of the product is
imported or was consulted. All comparisons use exact fractions.

Places where the text can be read in more than one way, and the reading taken here:

 1. Level factor "rounded up to .001": the product of threshold and factor is rounded up, in exact
    decimals (0.16 · 1.15 is 0.184, not 0.185); the factor itself is not rounded.
 2. T in the break threshold and "the series' threshold" in the severities: the threshold after the
    level factor. So the break threshold depends on the level.
 3. The severity of a funnel break is a multiple of the step rate's threshold, not of the break
    threshold. A break is therefore nearly always high or critical.
 4. A break needs a flagged rate: where 0.85 limits the break threshold to less than the rate's
    threshold, a drop between the two is not reported.
 5. "Median c0" in the severity of impossible counts: the median of all daily first counts of the
    window, closed weekdays included; not the weekday's median and not a level of the product.
    "An excess of 2, 6 and 12 times" are the lower bounds of medium, high and critical, compared
    with the pair's own excess on that day.
 6. A window with `impossible_counts = "day"` compares the days' totals, also in hourly tables, and
    the excess is that of the totals. A daily table always compares days.
 7. Closed weekday: one whose factor of the first count is 0. "Not judged" means that none of the
    rules, including impossible counts, reports a row on it.
 8. A baseline of 0 flags nothing. This replaces the built-in rule that the deviation is then the
    observed value. It applies to the daytime share too.
 9. A denominator of 0 counts as 1. So a day without events on an open weekday has a drop of the
    first count, a break of each step and a shift of the daytime share.
10. Baselines use all days with the same weekday in the window: the day itself, days with impossible
    counts and days that the calendar explains are included. Four values give the mean of the
    middle two. A rate's baseline is the median of daily rates, not a ratio of medians.
11. Flags and severities use exact values; rounding applies only to a row's fields. `delta_value` is
    the difference of the rounded values. A share is a fraction with six decimals.
12. Events lost or doubled: the text does not connect the sign of the count with the signs of its
    rates. Only the rates' signs have to be opposite.
13. A calendar entry makes exactly the named series unflagged on its date, in every condition of
    rules 2 to 6. An explained step rate does not explain its consequences: a composite that moved
    with it is then reported by rule 5. A funnel break is explained by the step rate's name. The
    baseline is unaffected.
14. "The shorter composite" is the flagged one that spans the fewest stages, in either direction.
15. Names are built from the stages as they are spelled: `a_to_b` for rates and composites,
    `b_from_a` for funnel steps, `b_lte_a` for data quality, `a:daytime_share` for the share. No
    plural is removed, unlike in the built-in funnel.
16. The thresholds of the first count, the step rates and the share are read from `series` by
    position (the order that the file format gives), not by name.
17. Order of rows: by date, then by rule, then by stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from support.product_windows import (
    CalendarEntry,
    DailySeries,
    Window,
    build_window,
    median_fraction,
)

BREAK_FLOOR = Fraction(35, 100)
BREAK_CEILING = Fraction(85, 100)
BREAK_PER_THRESHOLD = Fraction(16, 10)


class ReportRow(TypedDict):
    """One row of a report, with the fields of a submission row."""

    date: str
    entity_type: str
    entity_name: str
    anomaly_type: str
    detection_method: str
    baseline_value: float
    observed_value: float
    delta_value: float
    severity: str


class SeverityBounds(NamedTuple):
    """Smallest sizes of a deviation that are medium, high and critical."""

    medium: Fraction
    high: Fraction
    critical: Fraction


# Multiples of a series' threshold, and of one ten-thousandth of the median first count.
BOUNDS_PER_THRESHOLD = SeverityBounds(Fraction(5, 4), Fraction(3, 2), Fraction(2))
BOUNDS_PER_EXCESS_UNIT = SeverityBounds(Fraction(2), Fraction(6), Fraction(12))


def label_window(
    counts: npt.NDArray[np.integer],
    dates: Sequence[str],
    product: Mapping[str, Any],
    level_factor: float,
    calendar: Sequence[CalendarEntry] = (),
) -> list[ReportRow]:
    """Return the rows of a correct report on a window, by date, rule and stage.

    Args:
        counts: events by day, hour and stage; a daily table has one hour.
        dates: consecutive dates in ISO format, one per day, in whole weeks.
        product: the parsed product file.
        level_factor: factor of the level on every threshold.
        calendar: entries shown in the episode: their date and the series that they explain.

    Raises:
        ValueError: the shape of the counts does not fit the dates or the product.
    """
    window = build_window(counts, dates, product, level_factor, calendar)
    rows: list[ReportRow] = []
    for day, date in enumerate(window.dates):
        if date.weekday() not in window.closed_weekdays:
            rows.extend(label_day(window, day))
    return rows


def label_day(window: Window, day: int) -> list[ReportRow]:
    """Return the rows of one day; impossible counts exclude all other rows."""
    impossible = label_impossible_counts(window, day)
    if impossible:
        return impossible
    rows = []
    if window.share is not None and window.is_flagged(window.share, day):
        mix = ("hourly_mix", "hourly_traffic_mix_shift", "hourly_rows_for_date")
        rows.append(series_row(window, window.share, day, *mix))
    miscounted_stages = find_miscounted_stages(window, day)
    rows.extend(count_row(window, stage, day) for stage in miscounted_stages)
    consequences = {step for stage in miscounted_stages for step in (stage - 1, stage)}
    flagged_steps = [step for step, rate in enumerate(window.rates) if window.is_flagged(rate, day)]
    rows.extend(step_row(window, step, day) for step in flagged_steps if step not in consequences)
    if not flagged_steps:
        leaks = [each for each in window.composites if window.is_flagged(each, day)]
        rows.extend(rate_row(window, each, day) for each in leaks[:1])
    if window.is_flagged(window.counts[0], day):
        rows.append(count_row(window, 0, day))
    return rows


def label_impossible_counts(window: Window, day: int) -> list[ReportRow]:
    """Return a row for each pair of stages whose later count exceeds the earlier one."""
    slots = (window.daily[day],) if window.compares_days else window.hourly[day]
    median_first_count = median_fraction(window.counts[0].values)
    unit = max(Fraction(1), median_first_count / 10_000)
    rows = []
    for stage in range(1, len(window.stages)):
        excess = sum(max(0, slot[stage] - slot[stage - 1]) for slot in slots)
        if excess:
            row = ReportRow(
                date=window.dates[day].isoformat(),
                entity_type="data_quality",
                entity_name=f"{window.stages[stage]}_lte_{window.stages[stage - 1]}",
                anomaly_type="instrumentation_data_quality_issue",
                detection_method="check_impossible_counts",
                baseline_value=0.0,
                observed_value=float(excess),
                delta_value=float(excess),
                severity=grade_severity(excess / unit, BOUNDS_PER_EXCESS_UNIT),
            )
            rows.append(row)
    return rows


def find_miscounted_stages(window: Window, day: int) -> list[int]:
    """Return the inner stages whose own events were lost or doubled on a day (rule 3)."""
    stages = []
    for stage in range(1, len(window.stages) - 1):
        rate_in, rate_out = window.rates[stage - 1], window.rates[stage]
        moved = all(
            window.is_flagged(series, day) for series in (window.counts[stage], rate_in, rate_out)
        )
        has_moved_neighbour = any(
            window.is_flagged(window.counts[neighbour], day) for neighbour in (stage - 1, stage + 1)
        )
        are_opposite = rate_in.deviation(day) * rate_out.deviation(day) < 0
        if moved and are_opposite and not has_moved_neighbour:
            stages.append(stage)
    return stages


def step_row(window: Window, step: int, day: int) -> ReportRow:
    """Return the row of a flagged step rate: a funnel break or a changed rate."""
    rate = window.rates[step]
    if -rate.deviation(day) < break_threshold(rate.threshold):
        return rate_row(window, rate, day)
    name = f"{window.stages[step + 1]}_from_{window.stages[step]}"
    kind = ("funnel_step", "funnel_break", "detect_funnel_break")
    return series_row(window, rate, day, *kind, entity_name=name)


def rate_row(window: Window, rate: DailySeries, day: int) -> ReportRow:
    """Return the conversion_rate row of a step rate or a composite."""
    direction = "spike" if rate.deviation(day) > 0 else "drop"
    kind = ("conversion_rate", f"rate_{direction}_from_median", "compare_rate_to_median")
    return series_row(window, rate, day, *kind)


def count_row(window: Window, stage: int, day: int) -> ReportRow:
    """Return the event_count row of a stage."""
    count = window.counts[stage]
    direction = "spike" if count.deviation(day) > 0 else "drop"
    kind = ("event_count", f"absolute_{direction}_in_event_count", "compare_count_to_median")
    return series_row(window, count, day, *kind)


def series_row(
    window: Window,
    series: DailySeries,
    day: int,
    entity_type: str,
    anomaly_type: str,
    detection_method: str,
    entity_name: str = "",
) -> ReportRow:
    """Return a row with the values of a series; its name is the entity unless one is given."""
    baseline = round(series.baseline(day), series.decimals)
    observed = round(series.values[day], series.decimals)
    size = abs(series.deviation(day)) / series.threshold
    return ReportRow(
        date=window.dates[day].isoformat(),
        entity_type=entity_type,
        entity_name=entity_name or series.name,
        anomaly_type=anomaly_type,
        detection_method=detection_method,
        baseline_value=float(baseline),
        observed_value=float(observed),
        delta_value=float(observed - baseline),
        severity=grade_severity(size, BOUNDS_PER_THRESHOLD),
    )


def grade_severity(size: Fraction, bounds: SeverityBounds) -> str:
    """Return low, medium, high or critical; a size on a bound has the higher severity."""
    if size >= bounds.critical:
        return "critical"
    if size >= bounds.high:
        return "high"
    return "medium" if size >= bounds.medium else "low"


def break_threshold(rate_threshold: Fraction) -> Fraction:
    """Return the relative drop of a step rate from which it is a funnel break."""
    return min(BREAK_CEILING, max(BREAK_FLOOR, BREAK_PER_THRESHOLD * rate_threshold))
