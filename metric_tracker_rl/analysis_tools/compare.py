"""Methods that hold one date against the medians: rates, counts, breaks, impossible counts."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from metric_tracker_rl.analysis_tools.arguments import (
    CountArguments,
    DateArguments,
    RateArguments,
    SuspiciousArguments,
)
from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.analysis_tools.registry import TOOLS, Result
from metric_tracker_rl.engine.episode import Episode
from metric_tracker_rl.engine.levels import severity_of
from metric_tracker_rl.engine.reporting_policy import ANOMALY_TYPES_OF, shown_delta
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.series import DailySeries
from metric_tracker_rl.engine.vocabulary import (
    CONVERSION_RATE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    FUNNEL_BREAK,
    FUNNEL_STEP,
    QUALITY_ISSUE,
)
from openenv_kit.errors import ToolArgumentError, unknown_name_message

IMPOSSIBLE_SCORE = 2.0
"""Suspicion that impossible counts alone give a date."""


@TOOLS.method(RateArguments)
def compare_rate_to_median(view: EpisodeView, arguments: RateArguments) -> Result:
    """One conversion rate (percent) on one date against its median; normal below threshold."""
    return _compare(view, CONVERSION_RATE, arguments.date, arguments.entity_name)


@TOOLS.method(CountArguments)
def compare_count_to_median(view: EpisodeView, arguments: CountArguments) -> Result:
    """One event count on one date against its median; normal below threshold."""
    return _compare(view, EVENT_COUNT, arguments.date, arguments.entity_name)


@TOOLS.method(DateArguments)
def detect_funnel_break(view: EpisodeView, arguments: DateArguments) -> Result:
    """Funnel steps whose rate dropped by at least the break threshold on one date."""
    series, funnel = view.episode.series, view.episode.config.funnel_spec
    day = view.episode.day_index(arguments.date)
    changes, limit = series.deviation_rows[day], -series.level.break_threshold
    candidates = []
    for name in funnel.steps:
        column = funnel.columns[FUNNEL_STEP, name]
        change = changes[column]
        if change <= limit:
            candidates.append(
                {
                    "entity_type": FUNNEL_STEP,
                    "entity_name": name,
                    **_values(series, FUNNEL_STEP, day, column),
                    "anomaly_type": FUNNEL_BREAK,
                    "detection_method": DETECTION_METHODS[FUNNEL_STEP],
                    "severity": severity_of(-change, series.level.severity_bounds[FUNNEL_STEP]),
                }
            )
    return {"found": True, "date": arguments.date, "candidates": candidates}


@TOOLS.method(DateArguments)
def check_impossible_counts(view: EpisodeView, arguments: DateArguments) -> Result:
    """Adjacent stages of which the later has more events than the earlier in some hour."""
    episode, funnel = view.episode, view.episode.config.funnel_spec
    day = episode.day_index(arguments.date)
    excess = episode.series.excess_rows[day]
    bounds = episode.series.level.severity_bounds[DATA_QUALITY]
    issues = [
        {
            "entity_type": DATA_QUALITY,
            "entity_name": funnel.quality_checks[pair],
            "baseline_value": 0.0,
            "observed_value": float(surplus),
            "delta_value": float(surplus),
            "anomaly_type": QUALITY_ISSUE,
            "detection_method": DETECTION_METHODS[DATA_QUALITY],
            "severity": severity_of(surplus, bounds),
            "hours": [
                {"hour": hour, "excess": row[pair + 1] - row[pair]}
                for hour, row in enumerate(episode.hours(day).tolist())
                if row[pair + 1] > row[pair]
            ],
        }
        for pair, surplus in enumerate(excess)
        if surplus
    ]
    return {
        "found": True,
        "date": arguments.date,
        "issue_count": len(issues),
        "total_excess": sum(excess),
        "issues": issues,
    }


@TOOLS.method(SuspiciousArguments)
def list_suspicious_dates(view: EpisodeView, arguments: SuspiciousArguments) -> Result:
    """Dates by suspicion: the largest deviation as a multiple of its threshold (all in percent).

    A date with impossible counts scores at least 2. Deviations of rates and counts are
    relative, in percent of the median; those of the daytime share are percentage points.
    """
    ranked = RANKED.get(view.episode)
    if ranked is None:
        ranked = RANKED[view.episode] = _by_suspicion(view.episode)
    chosen = ranked[arguments.offset : arguments.offset + arguments.limit]
    return {"dates": [dict(each) for each in chosen]}


RANKED: WeakKeyDictionary[Episode, list[Result]] = WeakKeyDictionary()
"""Ranking of each episode that was asked for it, as long as the episode lives."""


def _by_suspicion(episode: Episode) -> list[Result]:
    """Every date, the most suspicious first."""
    series, funnel = episode.series, episode.config.funnel_spec
    sizes = np.abs(series.deviations)
    stages = len(funnel.counts)
    steps = series.deviations[:, stages : stages + len(funnel.step_rates)]
    impossible = (series.excess > 0).sum(axis=1)
    scores = (sizes / series.thresholds).max(axis=1)
    scores = np.where(impossible > 0, np.maximum(scores, IMPOSSIBLE_SCORE), scores)
    measured = {
        "suspicion_score": scores.tolist(),
        "max_rate_delta": (100.0 * sizes[:, stages:-1].max(axis=1)).tolist(),
        "max_count_delta_pct": (100.0 * sizes[:, :stages].max(axis=1)).tolist(),
        "hourly_mix_delta_pct": (100.0 * sizes[:, -1]).tolist(),
        "funnel_candidate_count": (steps <= -series.level.break_threshold).sum(axis=1).tolist(),
        "impossible_issue_count": impossible.tolist(),
    }
    return [
        {"date": episode.dates[day], **{name: round(of[day], 4) for name, of in measured.items()}}
        for day in np.argsort(-scores, kind="stable").tolist()
    ]


def _compare(view: EpisodeView, kind: str, date: str, name: str) -> Result:
    series, funnel = view.episode.series, view.episode.config.funnel_spec
    column = funnel.columns.get((kind, name))
    if column is None:
        raise ToolArgumentError(
            unknown_name_message("entity_name", name, funnel.entity_names[kind])
        )
    day = view.episode.day_index(date)
    change = series.deviation_rows[day][column]
    flagged = abs(change) >= series.thresholds[column]
    return {
        "found": True,
        "date": date,
        "entity_type": kind,
        "entity_name": name,
        "detection_method": DETECTION_METHODS[kind],
        **_values(series, kind, day, column),
        "anomaly_type": ANOMALY_TYPES_OF[kind][change > 0] if flagged else NORMAL,
        "severity": severity_of(abs(change), series.level.severity_bounds[kind]),
    }


def _values(series: DailySeries, kind: str, day: int, column: int) -> Result:
    observed, baseline = series.rows[day][column], series.baseline_rows[day][column]
    return {
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": shown_delta(observed, baseline, kind),
        "relative_deviation": round(series.deviation_rows[day][column], 6),
    }
