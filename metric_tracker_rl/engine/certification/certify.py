"""The funnel's certifier: which episodes are certified, and how.

`certify_one` depends on nothing but its configuration, so that episodes can be certified in any
order and on any machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from metric_tracker_rl.engine.certification.certificate import (
    FunnelCertificate,
    RowMargin,
    certificate_table,
    summarize,
)
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.configuration.modes import MODES, PlayMode
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.configuration.tasks import CUSTOM_TASK_ID
from metric_tracker_rl.engine.definitions.entity_types import EVENT_COUNT
from metric_tracker_rl.engine.definitions.levels import LEVELS, FunnelLevel
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.engine.definitions.report_row import ReportRow, RowKey, deviation_size
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL
from metric_tracker_rl.engine.definitions.severity import is_severity_clear
from metric_tracker_rl.engine.definitions.thresholds import thresholds_by_entity_type
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, episode_from_generated
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.generation.generate import (
    GeneratedEpisode,
    apply_planned_anomalies,
    count_guard_violations,
    generate_episode,
)
from metric_tracker_rl.engine.generation.planned_anomaly import PlannedAnomaly
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import compute_labels
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import get_policy
from openenv_kit.errors import require_name
from openenv_kit.rollouts.run_policy import RolloutResult, run_policy

# The kit uses this module as an `openenv_kit.trust.certify.Certifier`.
__all__ = [
    "certificate_table",
    "certify_one",
    "default_levels",
    "iter_configurations",
    "levels",
    "summarize",
]

levels = tuple(EVERY_LEVEL)
"""Levels that can be certified."""
default_levels = tuple(LEVELS)
"""Levels that are certified if none is named; the rungs between them are left out."""
CERTIFIED_ANOMALY_COUNTS = (1, 3, 5)
ZERO_ANOMALY_FAMILY = "mixed"
"""Family whose episodes without anomalies are certified; they look alike in all families."""


def iter_configurations(
    seeds: Iterable[int],
    families: Sequence[str] = SCENARIO_FAMILIES,
    levels: Sequence[str] = tuple(LEVELS),
    counts: Sequence[int] = CERTIFIED_ANOMALY_COUNTS,
    extra_reset_arguments: Mapping[str, Any] | None = None,
) -> Iterator[EpisodeConfig]:
    """Yield the configurations of every combination, and those without anomalies of one family.

    Args:
        seeds: seeds of every combination.
        families: names of families.
        levels: names of levels.
        counts: numbers of planned anomalies.
        extra_reset_arguments: `policy` or nothing. Other arguments are rejected: a certificate
            covers all modes of play.

    Raises:
        UnknownNameError: another reset argument; names the nearest.
    """
    reset_arguments = dict(extra_reset_arguments or {})
    for name in reset_arguments:
        require_name("--reset", name, ["policy"])
    policy = reset_arguments.get("policy", PolicySource.STANDARD)
    for seed, family, difficulty in product(seeds, families, levels):
        zero_count = (0,) if family == ZERO_ANOMALY_FAMILY else ()
        for count in (*counts, *zero_count):
            yield EpisodeConfig(
                seed=seed,
                scenario_family=family,
                difficulty=difficulty,
                anomaly_count=count,
                policy=policy,
            )


def certify_one(config: EpisodeConfig) -> FunnelCertificate:
    """Generate an episode and return its certificate."""
    generated = generate_episode(config)
    episode = episode_from_generated(config, generated)
    results = [_run_reference(episode, mode) for mode in MODES]
    bounds = config.level.severity_bounds
    unclear_rows = sum(not is_severity_clear(row, bounds) for row in generated.labels)
    return FunnelCertificate(
        config=config,
        score=min(result.score for result in results),
        steps=max(result.step_count for result in results),
        draws=generated.attempts,
        guard_violations=count_guard_violations(generated.series) + unclear_rows,
        unique=_has_unique_report(episode),
        counterfactual=sum(
            _undoing_removes_row(config, generated, anomaly)
            for anomaly in generated.planned_anomalies
        ),
        rows=tuple(_measure_row_margin(row, config.level) for row in generated.labels),
    )


def _run_reference(episode: FunnelEpisode, mode: PlayMode) -> RolloutResult:
    """Play an episode with the reference policy in a mode, and return the result."""
    session = EpisodeSession()
    rules = PlayRules(profile=mode.profile, disclosure=mode.disclosure)
    reset_reply = session.start_from_view(CUSTOM_TASK_ID, EpisodeView(episode, rules))
    return run_policy(session, get_policy("reference"), reset_reply)


def _has_unique_report(episode: FunnelEpisode) -> bool:
    """Return whether the expected report is the plan's, and every altered report scores less."""
    generated, expected_rows = episode.generated, episode.expected_rows
    planned = sorted(
        (generated.dates[anomaly.day], *anomaly.root) for anomaly in generated.planned_anomalies
    )
    expected = sorted((*row.key, row.anomaly_type) for row in expected_rows)
    if planned != expected or len({row.key for row in expected_rows}) != len(expected_rows):
        return False
    if grade_report(SubmittedReport(expected_rows, ()), expected_rows).score != 1.0:
        return False
    return all(
        grade_report(SubmittedReport(rows, ()), expected_rows).score < 1.0
        for rows in _iter_altered_reports(episode)
    )


def _iter_altered_reports(episode: FunnelEpisode) -> Iterator[tuple[ReportRow, ...]]:
    """Yield reports that differ from the expected one in one row or one field."""
    expected_rows = episode.expected_rows
    first_date, last_stage = episode.dates[0], episode.config.funnel_spec.count_names[-1]
    # No expected report contains the count of the last stage.
    extra_row = ReportRow(first_date, EVENT_COUNT, last_stage, "", "", 0.0, 0.0, 0.0, "low")
    yield (*expected_rows, extra_row)
    for index, row in enumerate(expected_rows):
        others = expected_rows[:index] + expected_rows[index + 1 :]
        yield others
        yield (*others, replace(row, severity="another"))
        yield (*others, replace(row, anomaly_type="another"))
        yield (*others, replace(row, detection_method="another"))
        yield (*others, replace(row, observed_value=row.observed_value * 1.5 + 1.0))
        yield (*expected_rows, row)


def _undoing_removes_row(
    config: EpisodeConfig, generated: GeneratedEpisode, anomaly: PlannedAnomaly
) -> bool:
    """Return whether a planned anomaly's row disappears when the anomaly alone is undone.

    If its day has no other anomaly, all of the day's deviations must be below their thresholds.
    """
    others = [each for each in generated.planned_anomalies if each is not anomaly]
    hourly = apply_planned_anomalies(generated.clean, others)
    series = DailySeries(hourly, config.funnel_spec, config.level, generated.series.explained)
    keys = {row.key for row in compute_labels(series, generated.dates)}
    root = anomaly.root
    key = RowKey(generated.dates[anomaly.day], root.entity_type, root.entity_name)
    if key in keys:
        return False
    if any(other.day == anomaly.day for other in others):
        return True
    sizes = np.abs(series.unexplained_deviations[anomaly.day])
    return bool((sizes < series.thresholds).all()) and not series.excess[anomaly.day].any()


def _measure_row_margin(row: ReportRow, level: FunnelLevel) -> RowMargin:
    size = deviation_size(row)
    threshold = thresholds_by_entity_type(level)[row.entity_type]
    return RowMargin(
        row=row.key.as_text(),
        effect=round(size, 6),
        threshold=threshold,
        margin=round(size / threshold, 4) if threshold else None,
    )
