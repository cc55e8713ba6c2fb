"""Clauses of the reporting policy's text, with placeholders for its parameters.

Every clause has two wordings with the same meaning. The default text uses the first wording of each
clause. If an episode's policy is drawn at random, so is the wording of each clause, so that players
read many combinations of wordings. `policy_text` fills in the parameters.
"""

from __future__ import annotations

from typing import NamedTuple

from metric_tracker_rl.engine.definitions.anomaly_types import list_anomaly_types_of_entity_type
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.names import BaselineKind


class Clause(NamedTuple):
    """One clause of the policy's text in two wordings."""

    default: str
    alternative: str


BASELINE_CLAUSES: dict[BaselineKind, Clause] = {
    BaselineKind.ALL_DAYS: Clause(
        "The baseline of a daily series is its median over all days of the episode.",
        "A daily series is held against its baseline, the median of its values on all days of the "
        "episode.",
    ),
    BaselineKind.SAME_WEEKDAY: Clause(
        "The baseline of a daily series on a date is its median over the days of the episode that "
        "fall on the same weekday, the date itself included.",
        "A daily series is held against its baseline, which each weekday has of its own: for a "
        "date, the median of its values on all days of the episode with that date's weekday.",
    ),
}
"""Definition of the baseline, by kind of baseline."""

CLAUSES: tuple[Clause, ...] = (
    Clause(
        "Report the root of each anomaly, not its consequences.",
        "Of each anomaly report the root, and leave out the consequences that follow from it.",
    ),
    Clause(
        "Stages in funnel order are c0 {counts}.",
        "The funnel's stages, from the first to the last, are c0 {counts}.",
    ),
    Clause(
        "Step rates r_k = 100 * c_k / c_(k-1) are, from r_1 on, {steps}.",
        "The step into stage k has the rate r_k = 100 * c_k / c_(k-1); from r_1 on these step "
        "rates are {steps}.",
    ),
    Clause(
        "Composite rates are {composites}.",
        "Rates over several steps are called composite: {composites}.",
    ),
    Clause(
        "Daytime share is the share of a day's {first} in hours {start} to {last}, both included.",
        "The daytime share is the part of a day's {first} that falls in the daytime, hours {start} "
        "to {last}, both counted.",
    ),
    Clause(
        "A denominator of 0 counts as 1.",
        "Where a denominator is 0, it is taken as 1.",
    ),
    Clause("{baseline}", "{baseline_otherwise}"),
    Clause(
        "The deviation of a count or rate is relative, (observed - baseline) / baseline, or "
        "observed itself where the baseline is 0; that of the daytime share is absolute, "
        "observed - baseline.",
        "Counts and rates deviate by a relative amount, (observed - baseline) / baseline, or by "
        "observed itself where the baseline is 0; the daytime share deviates by an absolute one, "
        "observed - baseline.",
    ),
    Clause(
        "A series is flagged on a day when its deviation, up or down, reaches its threshold: "
        "counts {count:.0%}, rates {rate:.0%}, daytime share {mix:.2f}; a step rate that drops by "
        "{brk:.0%} or more is a funnel break.",
        "A count is flagged on a day from a deviation of {count:.0%} on, a rate from {rate:.0%}, "
        "the daytime share from {mix:.2f}, up or down alike; a funnel break is a step rate that "
        "drops by {brk:.0%} or more.",
    ),
    Clause(
        "For each day, in this order:",
        "Take each day by itself and apply these rules in their order:",
    ),
    Clause(
        "(1) Impossible counts: for each adjacent pair with c_k > c_(k-1) in any hour, one "
        "data_quality row named c_k_lte_c_(k-1), baseline 0, observed = the pair's excess, "
        "c_k - c_(k-1) summed over the hours where it is positive; if any pair has one, report "
        "nothing else for that day.",
        "(1) Impossible counts: wherever c_k > c_(k-1) in any hour, that adjacent pair is one "
        "data_quality row named c_k_lte_c_(k-1); its baseline is 0, and observed is its excess, "
        "c_k - c_(k-1) added up over the hours where it is positive. A day with such a row has no "
        "row of any other rule.",
    ),
    Clause(
        "(2) Traffic mix: daytime share flagged: one hourly_mix row.",
        "(2) Traffic mix: a flagged daytime share is one hourly_mix row.",
    ),
    Clause(
        "(3) One stage's events lost or doubled: for a stage k that is neither first nor last, "
        "c_k flagged, r_k and r_(k+1) flagged with opposite signs, c_(k-1) and c_(k+1) not "
        "flagged: one event_count row for c_k; those two rates are its consequences.",
        "(3) One stage's events lost or doubled: between the first stage and the last, a stage k "
        "is one event_count row for c_k where c_k is flagged, c_(k-1) and c_(k+1) are not, and r_k "
        "and r_(k+1) are both flagged, one up and the other down. The two rates are its "
        "consequences.",
    ),
    Clause(
        "(4) A step moved: each flagged r_k that is not a consequence: a drop of at least "
        "{brk:.0%} is one funnel_step row named c_k_from_c_(k-1), anything else one "
        "conversion_rate row for r_k; later counts and composites are its consequences.",
        "(4) A step moved: a flagged r_k that rule 3 has not made a consequence is one row: of "
        "type funnel_step and named c_k_from_c_(k-1) where it drops by {brk:.0%} or more, else of "
        "type conversion_rate and named as r_k. Later counts and composites are its consequences.",
    ),
    Clause(
        "(5) A slow leak: if no r_k is flagged that day, not even as a consequence, the flagged "
        "composite that spans the {leak} stages is one conversion_rate row.",
        "(5) A slow leak: on a day without any flagged r_k, consequences counted too, one "
        "composite is a conversion_rate row: of those flagged, the one over the {leak} stages.",
    ),
    Clause(
        "(6) Traffic: c0 flagged: one event_count row for it; all later counts are its "
        "consequences.",
        "(6) Traffic: a flagged c0 is one event_count row; all later counts are its consequences.",
    ),
)
"""Clauses that state the rules, in order."""

ROW_FIELDS_CLAUSE = Clause(
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
"""Description of the fields of a row, for players who write rows themselves."""

CALENDAR_CLAUSE = Clause(
    "Before rules 2 to 6: {calendar} names what is publicly known; a series that an entry explains "
    "counts as not flagged on that entry's date, and an entry that explains nothing changes "
    "nothing. No entry silences rule 1.",
    "What is publicly known stands in {calendar} and goes before rules 2 to 6: on an entry's date "
    "the series that it explains count as not flagged. An entry that explains nothing changes "
    "nothing, and none of them silences rule 1.",
)
"""Rule about calendar entries, for levels with a calendar."""

SUSPENSION_CLAUSE = (
    "Rule {rule} is suspended: it reports no row. Its consequences stay consequences, and its "
    "series still count as flagged for the other rules."
)
"""Rule about the suspended rule, for levels with drawn terms."""
DRAWN_TERMS_CLAUSE = (
    "overview states the terms of this episode. leak_reports is the composite that rule 5 takes. "
    "The rule suspended_rule is suspended: its roots are not reported, its consequences stay "
    "consequences, and its series still count as flagged for the other rules."
)
"""The same rule where only a tool states the drawn terms."""

_ALL_CLAUSES = (*CLAUSES, ROW_FIELDS_CLAUSE, CALENDAR_CLAUSE)

WORDING_COUNT = 2 ** len(_ALL_CLAUSES)
"""Number of different wordings of the whole policy; number 0 is the default wording."""

ENTITY_TYPES_BY_RULE = (DATA_QUALITY, HOURLY_MIX, EVENT_COUNT, CONVERSION_RATE, FUNNEL_STEP)
"""Entity types, in the order in which the rules report them."""

ENTITY_TYPES_TEXT = "; ".join(
    f"{name}: {' or '.join(list_anomaly_types_of_entity_type(name))}, {DETECTION_METHODS[name]}"
    for name in ENTITY_TYPES_BY_RULE
)
"""Anomaly types and detection method of each entity type, as the policy's text lists them."""


def unpack_alternative_wording_flags(wording_number: int) -> tuple[bool, ...]:
    """Return for each clause whether the policy's text uses its second wording.

    Args:
        wording_number: 0 to `WORDING_COUNT` - 1. Bit i is the flag of clause i.
    """
    return tuple(bool(wording_number >> position & 1) for position in range(len(_ALL_CLAUSES)))
