"""Methods that hold one date against the medians: rates, counts, breaks, impossible counts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from metric_tracker_rl.analysis_tools.arguments import (
    CountArguments,
    DateArguments,
    RateArguments,
    SuspiciousArguments,
)
from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.analysis_tools.registry import TOOLS, Result
from metric_tracker_rl.engine.configuration.play_rules import EpisodeView
from metric_tracker_rl.engine.definitions.levels import severity_of
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    FUNNEL_BREAK,
    FUNNEL_STEP,
    QUALITY_ISSUE,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import anomaly_type
from metric_tracker_rl.engine.reporting_policy.labels import shown_delta
from openenv_kit.errors import ToolArgumentError, unknown_name_message

IMPOSSIBLE_SCORE = 2.0
"""Suspicion that impossible counts alone give a date."""


@TOOLS.tool(RateArguments)
def compare_rate_to_median(view: EpisodeView, arguments: RateArguments) -> Result:
    """One conversion rate (percent) on one date against its median; normal below threshold."""
    return _compare(view, CONVERSION_RATE, arguments.date, arguments.entity_name)


@TOOLS.tool(CountArguments)
def compare_count_to_median(view: EpisodeView, arguments: CountArguments) -> Result:
    """One event count on one date against its median; normal below threshold."""
    return _compare(view, EVENT_COUNT, arguments.date, arguments.entity_name)


@TOOLS.tool(DateArguments)
def detect_funnel_break(view: EpisodeView, arguments: DateArguments) -> Result:
    """Funnel steps whose rate dropped by at least the break threshold on one date."""
    funnel, date = view.episode.config.funnel_spec, view.episode.require_date(arguments.date)
    broken = view.episode.metrics.flagged.loc[date, list(funnel.steps)]
    candidates = [
        {
            "entity_type": FUNNEL_STEP,
            "entity_name": name,
            **_values(view, FUNNEL_STEP, date, name),
            "anomaly_type": FUNNEL_BREAK,
            "detection_method": DETECTION_METHODS[FUNNEL_STEP],
            "severity": _severity(view, FUNNEL_STEP, date, name),
        }
        for name in broken.index[broken]
    ]
    return {"found": True, "date": date, "candidates": candidates}


@TOOLS.tool(DateArguments)
def check_impossible_counts(view: EpisodeView, arguments: DateArguments) -> Result:
    """Adjacent stages of which the later has more events than the earlier in some hour."""
    episode, funnel = view.episode, view.episode.config.funnel_spec
    date = episode.require_date(arguments.date)
    hours, surplus = episode.hourly.loc[date], episode.metrics.value.loc[date]
    issues = []
    for (above, below), name in zip(pairwise(funnel.counts), funnel.quality_checks, strict=True):
        if not surplus[name]:
            continue
        excess = hours[below] - hours[above]
        issues.append(
            {
                "entity_type": DATA_QUALITY,
                "entity_name": name,
                "baseline_value": 0.0,
                "observed_value": float(surplus[name]),
                "delta_value": float(surplus[name]),
                "anomaly_type": QUALITY_ISSUE,
                "detection_method": DETECTION_METHODS[DATA_QUALITY],
                "severity": _severity(view, DATA_QUALITY, date, name),
                "hours": excess[excess > 0].rename("excess").reset_index().to_dict("records"),
            }
        )
    return {
        "found": True,
        "date": date,
        "issue_count": len(issues),
        "total_excess": int(surplus[list(funnel.quality_checks)].sum()),
        "issues": issues,
    }


@TOOLS.tool(SuspiciousArguments)
def list_suspicious_dates(view: EpisodeView, arguments: SuspiciousArguments) -> Result:
    """Dates by suspicion: the largest deviation as a multiple of its threshold (all in percent).

    A date with impossible counts scores at least 2. Deviations of rates and counts are
    relative, in percent of the median; those of the daytime share are percentage points.
    """
    episode, metrics = view.episode, view.episode.metrics
    funnel, flagged = episode.config.funnel_spec, metrics.flagged.to_numpy()
    sizes = np.abs(metrics.deviation.to_numpy())
    impossible = flagged[:, metrics.columns(funnel.quality_checks)].sum(axis=1)
    relative = sizes[:, metrics.columns([*funnel.metrics, funnel.mix])] / episode.series.thresholds
    scores = relative.max(axis=1)
    scores[(impossible > 0) & (scores < IMPOSSIBLE_SCORE)] = IMPOSSIBLE_SCORE
    measured = {
        "suspicion_score": scores,
        "max_rate_delta": 100.0 * sizes[:, metrics.columns(funnel.rates)].max(axis=1),
        "max_count_delta_pct": 100.0 * sizes[:, metrics.columns(funnel.counts)].max(axis=1),
        "hourly_mix_delta_pct": 100.0 * sizes[:, metrics.columns([funnel.mix])[0]],
        "funnel_candidate_count": flagged[:, metrics.columns(funnel.steps)].sum(axis=1),
        "impossible_issue_count": impossible,
    }
    ranked = np.argsort(-scores, kind="stable")[arguments.offset :][: arguments.limit]
    dates = [
        # Not NumPy's round(): that is off by one in the last digit now and then.
        {
            "date": episode.dates[day],
            **{name: round(each[day].item(), 4) for name, each in measured.items()},
        }
        for day in ranked.tolist()
    ]
    return {"dates": dates}


def _compare(view: EpisodeView, kind: str, date: str, name: str) -> Result:
    names, metrics = view.episode.config.funnel_spec.entity_names[kind], view.episode.metrics
    if name not in names:
        raise ToolArgumentError(unknown_name_message("entity_name", name, names))
    view.episode.require_date(date)
    *_, change = metrics.at(date, name)
    flagged = metrics.flagged.at[date, name]
    return {
        "found": True,
        "date": date,
        "entity_type": kind,
        "entity_name": name,
        "detection_method": DETECTION_METHODS[kind],
        **_values(view, kind, date, name),
        "anomaly_type": anomaly_type(kind, change) if flagged else NORMAL,
        "severity": _severity(view, kind, date, name),
    }


def _values(view: EpisodeView, kind: str, date: str, name: str) -> Result:
    observed, baseline, deviation = view.episode.metrics.at(date, name)
    return {
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": shown_delta(observed, baseline, kind),
        "relative_deviation": round(deviation, 6),
    }


def _severity(view: EpisodeView, kind: str, date: str, name: str) -> str:
    *_, deviation = view.episode.metrics.at(date, name)
    return severity_of(abs(deviation), view.episode.series.level.severity_bounds[kind])
