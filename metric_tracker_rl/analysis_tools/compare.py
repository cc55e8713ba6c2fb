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
from metric_tracker_rl.engine.levels import QUALITY_SEVERITY, RATE_SEVERITY, severity_of
from metric_tracker_rl.engine.reporting_policy import SEVERITY_BOUNDS, shown_delta
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.vocabulary import (
    CONVERSION_RATE,
    COUNT_DROP,
    COUNT_SPIKE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    FUNNEL_BREAK,
    FUNNEL_STEP,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from openenv_kit.errors import ToolArgumentError, unknown_name_message

IMPOSSIBLE_SCORE = 2.0
"""Suspicion that impossible counts alone give a date."""


@TOOLS.method(RateArguments)
def compare_rate_to_median(view: EpisodeView, arguments: RateArguments) -> Result:
    """One conversion rate (percent) on one date against its median; normal below threshold."""
    names = view.episode.config.funnel_spec.rates
    column = len(view.episode.config.funnel_spec.counts) + _index(names, arguments.entity_name)
    kinds = (RATE_DROP, RATE_SPIKE)
    return _compare(view, arguments.date, arguments.entity_name, CONVERSION_RATE, column, kinds)


@TOOLS.method(CountArguments)
def compare_count_to_median(view: EpisodeView, arguments: CountArguments) -> Result:
    """One event count on one date against its median; normal below threshold."""
    column = _index(view.episode.config.funnel_spec.counts, arguments.entity_name)
    kinds = (COUNT_DROP, COUNT_SPIKE)
    return _compare(view, arguments.date, arguments.entity_name, EVENT_COUNT, column, kinds)


@TOOLS.method(DateArguments)
def detect_funnel_break(view: EpisodeView, arguments: DateArguments) -> Result:
    """Funnel steps whose rate dropped by at least the break threshold on one date."""
    series, funnel = view.episode.series, view.episode.config.funnel_spec
    day = view.episode.day_index(arguments.date)
    candidates = []
    for index, name in enumerate(funnel.steps):
        column = len(funnel.counts) + index
        change = series.deviation_rows[day][column]
        if change <= -series.level.break_threshold:
            observed, baseline = series.rows[day][column], series.baseline_row[column]
            candidates.append(
                {
                    "entity_type": FUNNEL_STEP,
                    "entity_name": name,
                    "baseline_value": baseline,
                    "observed_value": observed,
                    "delta_value": shown_delta(observed, baseline, FUNNEL_STEP),
                    "relative_deviation": round(change, 6),
                    "anomaly_type": FUNNEL_BREAK,
                    "detection_method": DETECTION_METHODS[FUNNEL_STEP],
                    "severity": severity_of(-change, RATE_SEVERITY),
                }
            )
    return {"found": True, "date": arguments.date, "candidates": candidates}


@TOOLS.method(DateArguments)
def check_impossible_counts(view: EpisodeView, arguments: DateArguments) -> Result:
    """Adjacent stages of which the later has more events than the earlier in some hour."""
    episode, funnel = view.episode, view.episode.config.funnel_spec
    day = episode.day_index(arguments.date)
    excess = episode.series.excess_rows[day]
    issues = []
    for pair, name in enumerate(funnel.quality_checks):
        if not excess[pair]:
            continue
        issues.append(
            {
                "entity_type": DATA_QUALITY,
                "entity_name": name,
                "baseline_value": 0.0,
                "observed_value": float(excess[pair]),
                "delta_value": float(excess[pair]),
                "anomaly_type": QUALITY_ISSUE,
                "detection_method": DETECTION_METHODS[DATA_QUALITY],
                "severity": severity_of(excess[pair], QUALITY_SEVERITY),
                "hours": [
                    {"hour": hour, "excess": row[pair + 1] - row[pair]}
                    for hour, row in enumerate(episode.hours(day).tolist())
                    if row[pair + 1] > row[pair]
                ],
            }
        )
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
    return {"dates": [dict(each) for each in ranked[: arguments.limit]]}


RANKED: WeakKeyDictionary[Episode, list[Result]] = WeakKeyDictionary()
"""Ranking of each episode that was asked for it, as long as the episode lives."""


def _by_suspicion(episode: Episode) -> list[Result]:
    """Every date, the most suspicious first."""
    series, funnel = episode.series, episode.config.funnel_spec
    sizes = np.abs(series.deviations)
    stages = len(funnel.counts)
    steps = series.deviations[:, stages : stages + len(funnel.step_rates)]
    breaks = (steps <= -series.level.break_threshold).sum(axis=1).tolist()
    impossible = (series.excess > 0).sum(axis=1)
    scores = (sizes / series.thresholds).max(axis=1)
    scores = np.where(impossible > 0, np.maximum(scores, IMPOSSIBLE_SCORE), scores)
    counts = sizes[:, :stages].max(axis=1).tolist()
    rates = sizes[:, stages:-1].max(axis=1).tolist()
    mix = sizes[:, -1].tolist()
    issues, score = impossible.tolist(), scores.tolist()
    return [
        {
            "date": episode.dates[day],
            "suspicion_score": round(score[day], 4),
            "max_rate_delta": round(100.0 * rates[day], 4),
            "max_count_delta_pct": round(100.0 * counts[day], 4),
            "hourly_mix_delta_pct": round(100.0 * mix[day], 4),
            "funnel_candidate_count": breaks[day],
            "impossible_issue_count": issues[day],
        }
        for day in np.argsort(-scores, kind="stable").tolist()
    ]


def _index(names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise ToolArgumentError(unknown_name_message("entity_name", name, names))
    return names.index(name)


def _compare(
    view: EpisodeView, date: str, name: str, kind: str, column: int, types: tuple[str, str]
) -> Result:
    series = view.episode.series
    day = view.episode.day_index(date)
    observed, baseline = series.rows[day][column], series.baseline_row[column]
    change = series.deviation_rows[day][column]
    flagged = abs(change) >= series.thresholds[column]
    return {
        "found": True,
        "date": date,
        "entity_type": kind,
        "entity_name": name,
        "detection_method": DETECTION_METHODS[kind],
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": shown_delta(observed, baseline, kind),
        "relative_deviation": round(change, 6),
        "anomaly_type": types[change > 0] if flagged else NORMAL,
        "severity": severity_of(abs(change), SEVERITY_BOUNDS[kind]),
    }
