"""The rules of the reporting policy: in words, and what they find on a day.

Each clause has two wordings that mean the same. The first wording of
every clause is the usual one. Where the policy is drawn, so is the wording of each clause, and a
player meets one rule in many words. Numbers are filled in by `policy_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import (
    ALL_DAYS,
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
    SAME_WEEKDAY,
)

BASELINE_CLAUSES = {
    ALL_DAYS: (
        "The baseline of a daily series is its median over all days of the episode.",
        "A daily series is held against its baseline, the median of its values on all days of the "
        "episode.",
    ),
    SAME_WEEKDAY: (
        "The baseline of a daily series on a date is its median over the days of the episode that "
        "fall on the same weekday, the date itself included.",
        "A daily series is held against its baseline, which each weekday has of its own: for a "
        "date, the median of its values on all days of the episode with that date's weekday.",
    ),
}
"""The clause that says what the baseline is."""

CLAUSES: tuple[tuple[str, str], ...] = (
    (
        "Report the root of each anomaly, not its echoes.",
        "Of each anomaly report the root, and leave out the echoes that follow from it.",
    ),
    (
        "Stages in funnel order are c0 {counts}.",
        "The funnel's stages, from the first to the last, are c0 {counts}.",
    ),
    (
        "Step rates r_k = 100 * c_k / c_(k-1) are, from r_1 on, {steps}.",
        "The step into stage k has the rate r_k = 100 * c_k / c_(k-1); from r_1 on these step "
        "rates are {steps}.",
    ),
    (
        "Composite rates are {composites}.",
        "Rates over several steps are called composite: {composites}.",
    ),
    (
        "Daytime share is the share of a day's {first} in hours {start} to {last}, both included.",
        "The daytime share is the part of a day's {first} that falls in the daytime, hours {start} "
        "to {last}, both counted.",
    ),
    (
        "A denominator of 0 counts as 1.",
        "Where a denominator is 0, it is taken as 1.",
    ),
    ("{baseline}", "{baseline_otherwise}"),
    (
        "The deviation of a count or rate is relative, (observed - baseline) / baseline, or "
        "observed itself where the baseline is 0; that of the daytime share is absolute, "
        "observed - baseline.",
        "Counts and rates deviate by a relative amount, (observed - baseline) / baseline, or by "
        "observed itself where the baseline is 0; the daytime share deviates by an absolute one, "
        "observed - baseline.",
    ),
    (
        "A series is flagged on a day when its deviation, up or down, reaches its threshold: "
        "counts {count:.0%}, rates {rate:.0%}, daytime share {mix:.2f}; a step rate that drops by "
        "{brk:.0%} or more is a funnel break.",
        "A count is flagged on a day from a deviation of {count:.0%} on, a rate from {rate:.0%}, "
        "the daytime share from {mix:.2f}, up or down alike; a funnel break is a step rate that "
        "drops by {brk:.0%} or more.",
    ),
    (
        "For each day, in this order:",
        "Take each day by itself and apply these rules in their order:",
    ),
    (
        "(1) Impossible counts: for each adjacent pair with c_k > c_(k-1) in any hour, one "
        "data_quality row named c_k_lte_c_(k-1), baseline 0, observed = the pair's excess, "
        "c_k - c_(k-1) summed over the hours where it is positive; if any pair has one, report "
        "nothing else for that day.",
        "(1) Impossible counts: wherever c_k > c_(k-1) in any hour, that adjacent pair is one "
        "data_quality row named c_k_lte_c_(k-1); its baseline is 0, and observed is its excess, "
        "c_k - c_(k-1) added up over the hours where it is positive. A day with such a row has no "
        "row of any other rule.",
    ),
    (
        "(2) Traffic mix: daytime share flagged: one hourly_mix row.",
        "(2) Traffic mix: a flagged daytime share is one hourly_mix row.",
    ),
    (
        "(3) One stage's events lost or doubled: for a stage k that is neither first nor last, "
        "c_k flagged, r_k and r_(k+1) flagged with opposite signs, c_(k-1) and c_(k+1) not "
        "flagged: one event_count row for c_k; those two rates are its echoes.",
        "(3) One stage's events lost or doubled: between the first stage and the last, a stage k "
        "is one event_count row for c_k where c_k is flagged, c_(k-1) and c_(k+1) are not, and r_k "
        "and r_(k+1) are both flagged, one up and the other down. The two rates are its echoes.",
    ),
    (
        "(4) A step moved: each flagged r_k that is not an echo: a drop of at least {brk:.0%} is "
        "one funnel_step row named c_k_from_c_(k-1), anything else one conversion_rate row for "
        "r_k; later counts and composites are its echoes.",
        "(4) A step moved: a flagged r_k that rule 3 has not made an echo is one row: of type "
        "funnel_step and named c_k_from_c_(k-1) where it drops by {brk:.0%} or more, else of type "
        "conversion_rate and named as r_k. Later counts and composites are its echoes.",
    ),
    (
        "(5) A slow leak: if no r_k is flagged that day, not even as an echo, the flagged "
        "composite that spans the {leak} stages is one conversion_rate row.",
        "(5) A slow leak: on a day without any flagged r_k, echoes counted too, one composite is a "
        "conversion_rate row: of those flagged, the one over the {leak} stages.",
    ),
    (
        "(6) Traffic: c0 flagged: one event_count row for it; all later counts are its echoes.",
        "(6) Traffic: a flagged c0 is one event_count row; all later counts are its echoes.",
    ),
)
"""The clauses of the rules, in order."""

ROW_FIELDS_CLAUSE = (
    "anomaly_type and detection_method follow from entity_type: {kinds}. Values are what the tools "
    "show, rates in percent to four decimals and the share as a fraction to six; delta_value = "
    "observed - baseline. Severity (medium, high, critical from): counts |relative| {count_bands}; "
    "rates and breaks |relative| {rate_bands}; daytime share |absolute| {mix_bands}; data_quality "
    "by the row's own excess, not the day's total_excess, {quality_bands}; below the first, low.",
    "The entity_type of a row decides its anomaly_type and detection_method: {kinds}. Give values "
    "as the tools show them, rates in percent to four decimals and the share as a fraction to six, "
    "and observed - baseline as delta_value. A row is medium, high or critical from these sizes on "
    "and low below all of them: counts |relative| {count_bands}; rates and breaks |relative| "
    "{rate_bands}; daytime share |absolute| {mix_bands}; data_quality by the row's own excess, not "
    "the day's total_excess, {quality_bands}.",
)
"""What stands in a row's fields, for those who write rows themselves."""

CALENDAR_CLAUSE = (
    "Before rules 2 to 6: {calendar} names what is publicly known; a series that an entry explains "
    "counts as not flagged on that entry's date, and an entry that explains nothing changes "
    "nothing. No entry silences rule 1.",
    "What is publicly known stands in {calendar} and goes before rules 2 to 6: on an entry's date "
    "the series that it explains count as not flagged. An entry that explains nothing changes "
    "nothing, and none of them silences rule 1.",
)
"""What a calendar changes, where there is one."""

WORDING_COUNT = 2 ** len((*CLAUSES, ROW_FIELDS_CLAUSE, CALENDAR_CLAUSE))
"""Number of wordings of the whole; 0 is the usual one."""


def build_policy_template(wording: int, *, with_rows: bool, with_calendar: bool) -> str:
    """The policy with its numbers left open.

    Args:
        wording: 0 to `WORDING_COUNT` - 1; each of its bits chooses the words of a clause.
        with_rows: whether to say what stands in a row's fields.
        with_calendar: whether to say what a calendar changes.
    """
    clauses = [
        clause[wording >> place & 1]
        for place, clause in enumerate((*CLAUSES, ROW_FIELDS_CLAUSE, CALENDAR_CLAUSE))
    ]
    included = [True] * len(CLAUSES) + [with_rows, with_calendar]
    return " ".join(clause for clause, wanted in zip(clauses, included, strict=True) if wanted)


ANOMALY_TYPES_BY_ENTITY_TYPE: dict[str, tuple[str | None, str | None]] = {
    DATA_QUALITY: (None, QUALITY_ISSUE),
    HOURLY_MIX: (MIX_SHIFT, MIX_SHIFT),
    EVENT_COUNT: (COUNT_DROP, COUNT_SPIKE),
    CONVERSION_RATE: (RATE_DROP, RATE_SPIKE),
    FUNNEL_STEP: (FUNNEL_BREAK, None),
}
"""What a row of each entity type reports of a value below its baseline and of one above;
None where such a value is not reported."""


def anomaly_types_of(entity_type: str) -> tuple[str, ...]:
    """Anomaly types that a row of an entity type can have."""
    return tuple(dict.fromkeys(each for each in ANOMALY_TYPES_BY_ENTITY_TYPE[entity_type] if each))


ENTITY_TYPES_TEXT = "; ".join(
    f"{kind}: {' or '.join(anomaly_types_of(kind))}, {DETECTION_METHODS[kind]}"
    for kind in ANOMALY_TYPES_BY_ENTITY_TYPE
)


def anomaly_type_of_deviation(entity_type: str, deviation: float) -> str | None:
    """What a row of an entity type says of a deviation; None where such a value is not reported."""
    return ANOMALY_TYPES_BY_ENTITY_TYPE[entity_type][deviation > 0]


class RootFinding(NamedTuple):
    """One root on one day, before its values are looked up."""

    entity_type: str
    entity_name: str
    anomaly_type: str
    column: int
    """Column of the daily series."""


def thresholds_by_column(funnel: Funnel, level: FunnelLevel) -> list[float]:
    """Reporting threshold of each column, up to the share."""
    counts, rates = len(funnel.count_names), len(funnel.rate_names)
    return [level.count_threshold] * counts + [level.rate_threshold] * rates + [level.mix_threshold]


def find_roots_of_day(
    deviations: Sequence[float], excess: Sequence[float], funnel: Funnel, level: FunnelLevel
) -> list[RootFinding]:
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
            RootFinding(
                DATA_QUALITY, name, QUALITY_ISSUE, funnel.column_by_entity[DATA_QUALITY, name]
            )
            for name, surplus in zip(funnel.quality_check_names, excess, strict=True)
            if surplus > 0
        ]

    limits = thresholds_by_column(funnel, level)
    flagged = [abs(value) >= limit for value, limit in zip(deviations, limits, strict=True)]
    found: list[RootFinding] = []

    def add_root(entity_type: str, name: str, column: int) -> None:
        kind = anomaly_type_of_deviation(entity_type, deviations[column])
        if kind is not None:
            found.append(RootFinding(entity_type, name, kind, column))

    share, stages = len(funnel.metric_names), len(funnel.count_names)
    if flagged[share]:
        add_root(HOURLY_MIX, funnel.mix_entity_name, share)

    echoes: set[int] = set()  # columns of step rates
    for k in range(1, stages - 1):
        if flagged[k] and not flagged[k - 1] and not flagged[k + 1]:
            into, out_of = stages + k - 1, stages + k
            opposite = deviations[into] * deviations[out_of] < 0
            if opposite and flagged[into] and flagged[out_of]:
                add_root(EVENT_COUNT, funnel.count_names[k], k)
                echoes.update((into, out_of))

    steps = [column for column in range(stages, 2 * stages - 1) if flagged[column]]
    for column in steps:
        if column not in echoes:
            if deviations[column] <= -level.break_threshold:
                add_root(FUNNEL_STEP, funnel.funnel_step_names[column - stages], column)
            else:
                add_root(CONVERSION_RATE, funnel.metric_names[column], column)

    if not steps:
        leaks = [column for column in range(2 * stages - 1, share) if flagged[column]]
        if leaks:
            leak = leaks[-1 if level.leak_reports == LONGEST else 0]
            add_root(CONVERSION_RATE, funnel.metric_names[leak], leak)

    if flagged[0]:
        add_root(EVENT_COUNT, funnel.count_names[0], 0)
    return found
