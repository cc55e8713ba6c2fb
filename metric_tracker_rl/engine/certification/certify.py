"""Certification that a funnel episode is solvable and has exactly one perfect report.

The result of `certify_episode` depends only on the episode's configuration, so episodes can be
certified in any order and on any machine.
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
    summarize_certificates,
    tabulate_certificates,
)
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.configuration.modes import MODES, PlayMode
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.configuration.product_policy import has_product_episode
from metric_tracker_rl.engine.configuration.tasks import CUSTOM_TASK_ID
from metric_tracker_rl.engine.definitions.entity_types import EVENT_COUNT
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.engine.definitions.report_row import (
    ReportRow,
    RowKey,
    compute_deviation_size_for_threshold_comparison,
)
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL
from metric_tracker_rl.engine.definitions.thresholds import PolicyLimits
from metric_tracker_rl.engine.episode.episode import (
    FunnelEpisode,
    create_episode_and_freeze_hourly_counts,
)
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.generation.generate import (
    GeneratedEpisode,
    apply_planned_anomalies,
    count_unexplained_deviations_near_threshold,
    generate_episode,
)
from metric_tracker_rl.engine.generation.planned_anomaly import PlannedAnomaly
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import get_policy
from metric_tracker_rl.products.product_registry import find_product
from openenv_kit.errors import require_name
from openenv_kit.rollouts.run_policy import RolloutResult, run_policy

# The kit uses this module as an `openenv_kit.trust.certify.Certifier`.
__all__ = [
    "certify_episode",
    "default_levels",
    "iter_configurations",
    "levels",
    "summarize_certificates",
    "tabulate_certificates",
]

levels = tuple(EVERY_LEVEL)
"""Levels that can be certified."""
default_levels = tuple(LEVELS)
"""Levels that are certified by default: the named levels, without the curriculum levels."""
CERTIFIED_ANOMALY_COUNTS = (1, 3, 5)
ZERO_ANOMALY_FAMILY = "mixed"
"""Family used to certify episodes with no anomalies. Such episodes are the same in all families."""


def iter_configurations(
    seeds: Iterable[int],
    families: Sequence[str] = SCENARIO_FAMILIES,
    levels: Sequence[str] = tuple(LEVELS),
    counts: Sequence[int] = CERTIFIED_ANOMALY_COUNTS,
    extra_reset_arguments: Mapping[str, Any] | None = None,
) -> Iterator[EpisodeConfig]:
    """Yield a configuration for each combination of seed, scenario family, level and anomaly count.

    Configurations with no anomalies are added for `ZERO_ANOMALY_FAMILY` only.

    Args:
        seeds: seeds to combine with every family and level.
        families: names of scenario families.
        levels: names of levels.
        counts: numbers of planned anomalies to certify.
        extra_reset_arguments: further reset arguments; only `policy` and `product` are allowed.
            Arguments that select a play mode are rejected because a certificate covers all play
            modes. If a product is given, the families, levels and anomaly counts that it does not
            support are skipped.

    Raises:
        UnknownNameError: `extra_reset_arguments` contains another argument.
        ProductRefused: the product is not valid.
    """
    reset_arguments = dict(extra_reset_arguments or {})
    for name in reset_arguments:
        require_name("--reset", name, ["policy", "product"])
    policy = reset_arguments.get("policy", PolicySource.STANDARD)
    product_argument = reset_arguments.get("product")
    own_product = None if product_argument is None else find_product(product_argument)
    for seed, family, difficulty in product(seeds, families, levels):
        zero_count = (0,) if family == ZERO_ANOMALY_FAMILY else ()
        for count in (*counts, *zero_count):
            if own_product is not None and not has_product_episode(
                own_product, difficulty, family, count
            ):
                continue
            yield EpisodeConfig(
                seed=seed,
                scenario_family=family,
                difficulty=difficulty,
                anomaly_count=count,
                policy=policy,
                product=own_product,
            )


def certify_episode(config: EpisodeConfig) -> FunnelCertificate:
    """Generate the episode of a configuration, run all checks on it and return their results."""
    generated = generate_episode(config)
    episode = create_episode_and_freeze_hourly_counts(config, generated)
    results = [_play_episode_with_reference_policy(episode, mode) for mode in MODES]
    limits = generated.series.limits
    unclear_rows = sum(not limits.is_row_clear_of_bounds(row) for row in generated.labels)
    return FunnelCertificate(
        config=config,
        score=min(result.score for result in results),
        steps=max(result.step_count for result in results),
        draws=generated.attempts,
        guard_violations=count_unexplained_deviations_near_threshold(generated.series)
        + unclear_rows,
        unique=_is_planned_report_the_only_perfect_report(episode),
        counterfactual=sum(
            _does_undoing_anomaly_remove_its_row(config, generated, anomaly)
            for anomaly in generated.planned_anomalies
        ),
        rows=tuple(_measure_margin_past_threshold(row, limits) for row in generated.labels),
    )


def _play_episode_with_reference_policy(episode: FunnelEpisode, mode: PlayMode) -> RolloutResult:
    """Play an episode in one play mode with the reference policy and return the result."""
    session = EpisodeSession()
    rules = PlayRules(profile=mode.profile, disclosure=mode.disclosure)
    reset_reply = session.start_episode_from_view(CUSTOM_TASK_ID, EpisodeView(episode, rules))
    return run_policy(session, get_policy("reference"), reset_reply)


def _is_planned_report_the_only_perfect_report(episode: FunnelEpisode) -> bool:
    """Return whether the expected rows match the planned anomalies and no other report is perfect.

    The expected rows must score 1.0, and every report of `_iter_reports_with_one_error` must score
    less.
    """
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
        for rows in _iter_reports_with_one_error(episode)
    )


def _iter_reports_with_one_error(episode: FunnelEpisode) -> Iterator[tuple[ReportRow, ...]]:
    """Yield reports that differ from the expected report in one error each.

    The error is an additional, missing or repeated row, or a wrong value in one field.
    """
    expected_rows = episode.expected_rows
    first_date, last_stage = (
        episode.dates[0],
        episode.config.funnel_with_policy_daytime.event_count_names[-1],
    )
    # The count of the last stage is never a root, so this row is always wrong.
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


def _does_undoing_anomaly_remove_its_row(
    config: EpisodeConfig, generated: GeneratedEpisode, anomaly: PlannedAnomaly
) -> bool:
    """Return whether an anomaly's row is no longer expected if only that anomaly is removed.

    If the day has no other anomaly, removing it must also bring all deviations of the day below
    their thresholds.
    """
    others = [each for each in generated.planned_anomalies if each is not anomaly]
    hourly = apply_planned_anomalies(generated.clean, others)
    series = DailySeries(
        hourly,
        config.funnel_with_policy_daytime,
        config.level_with_policy_parameters,
        generated.series.explained,
    )
    keys = {row.key for row in compute_expected_rows(series, generated.dates)}
    root = anomaly.root
    key = RowKey(generated.dates[anomaly.day], root.entity_type, root.entity_name)
    if key in keys:
        return False
    if any(other.day == anomaly.day for other in others):
        return True
    sizes = np.abs(series.unexplained_deviations[anomaly.day])
    return bool((sizes < series.thresholds).all()) and not series.excess[anomaly.day].any()


def _measure_margin_past_threshold(row: ReportRow, limits: PolicyLimits) -> RowMargin:
    size = compute_deviation_size_for_threshold_comparison(row)
    column = limits.columns.get_column_of_entity(row.entity_type, row.entity_name)
    threshold = limits.get_threshold(row.entity_type, column)
    return RowMargin(
        row=row.key.as_text(),
        effect=round(size, 6),
        threshold=threshold,
        margin=round(size / threshold, 4) if threshold else None,
    )
