"""Certificates: proof that an episode is solvable, unique, clear of thresholds and caused.

`certify_one` depends on nothing but its configuration, so that episodes can be certified in any
order and on any machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

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
from openenv_kit.trust.certify import CertificateTable

levels = tuple(EVERY_LEVEL)
"""Levels that can be certified."""
default_levels = tuple(LEVELS)
"""Levels that are certified if none is named; the rungs between them are left out."""
CERTIFIED_ANOMALY_COUNTS = (1, 3, 5)
ZERO_ANOMALY_FAMILY = "mixed"
"""Family whose episodes without anomalies are certified; they look alike in all families."""


@dataclass(frozen=True)
class RowMargin:
    """How far an expected row's deviation is past its threshold.

    Attributes:
        row: key of the row as text.
        effect: deviation: relative; absolute for the daytime share; events in excess for impossible
            counts.
        threshold: reporting threshold; 0 for impossible counts.
        margin: effect / threshold; None where the threshold is 0.
    """

    row: str
    effect: float
    threshold: float
    margin: float | None


@dataclass(frozen=True)
class FunnelCertificate:
    """Certificate of one episode.

    Attributes:
        config: configuration of the episode.
        score: lowest score of the reference policy in any mode.
        steps: largest number of steps that it took.
        draws: number of draws of the generator.
        guard_violations: number of deviations inside the guard band of their threshold, and of
            expected rows too close to a severity bound.
        unique: whether the reporting policy finds the planned roots, once each, and every report
            that lacks a row, has one more, or differs in a field scores less than 1.0.
        counterfactual: number of planned anomalies whose row disappears when that anomaly alone is
            undone, with all deviations of the day below their thresholds if it has no other
            anomaly.
        rows: margin of each expected row.
    """

    config: EpisodeConfig
    score: float
    steps: int
    draws: int
    guard_violations: int
    unique: bool
    counterfactual: int
    rows: tuple[RowMargin, ...]

    @property
    def holds(self) -> bool:
        """Whether the episode is solvable, unique, clear of thresholds and caused."""
        is_solvable = self.score == 1.0
        is_clear = self.guard_violations == 0
        is_caused = self.counterfactual == len(self.rows)
        return is_solvable and is_clear and self.unique and is_caused

    @property
    def smallest_margin(self) -> float:
        """Smallest margin of the expected rows; infinite if no row has one."""
        margins = [row.margin for row in self.rows if row.margin is not None]
        return min(margins, default=float("inf"))

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON-ready fields; see `certificate_from_dict`."""
        return asdict(self)


class CertificateTotals(NamedTuple):
    """Figures over several certificates.

    Attributes:
        undone_rows: rows that disappear when their anomaly alone is undone.
        expected_rows: all expected rows.
        smallest_margin: smallest margin of any row, in multiples of its threshold.
        mean_draws: mean number of draws of the generator.
    """

    undone_rows: int
    expected_rows: int
    smallest_margin: float
    mean_draws: float


def certificate_from_dict(fields: dict[str, Any]) -> FunnelCertificate:
    """Return a certificate from the fields that `FunnelCertificate.as_dict` returns.

    Raises:
        KeyError, TypeError: the fields are not those of a certificate.
    """
    config = EpisodeConfig(**{**fields["config"], "anomalies": ()})
    rows = tuple(RowMargin(**row) for row in fields["rows"])
    return FunnelCertificate(**{**fields, "config": config, "rows": rows})


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


def certificate_table(certificates: Sequence[FunnelCertificate]) -> CertificateTable:
    """Return a table of certificates, with a row for each level and family."""
    groups: dict[tuple[int, str], list[FunnelCertificate]] = defaultdict(list)
    for certificate in certificates:
        level_index = levels.index(certificate.config.difficulty)
        groups[level_index, certificate.config.scenario_family].append(certificate)
    rows: list[Sequence[str]] = []
    for (level_index, family), group in sorted(groups.items()):
        totals = certificate_totals(group)
        rows.append(
            (
                levels[level_index],
                family,
                str(len(group)),
                str(sum(certificate.score == 1.0 for certificate in group)),
                str(sum(certificate.unique for certificate in group)),
                str(sum(certificate.guard_violations for certificate in group)),
                f"{totals.undone_rows}/{totals.expected_rows}",
                f"{totals.smallest_margin:.3f}",
                f"{totals.mean_draws:.3f}",
            )
        )
    titles = ("level", "family", "episodes", "1.0", "unique", "guard", "undone", "margin", "draws")
    return CertificateTable(titles, rows)


def summarize(certificates: Sequence[FunnelCertificate]) -> str:
    """Return undone rows, smallest margin and mean draws in words, without a full stop."""
    totals = certificate_totals(certificates)
    policies = count_drawn_policies(certificates)
    drawn = f"; {policies} reporting policies, not counting wordings" if policies else ""
    return (
        f"{totals.undone_rows} of {totals.expected_rows} rows disappear without their anomaly; "
        f"smallest margin {totals.smallest_margin:.3f} x threshold; "
        f"mean draws {totals.mean_draws:.4f}{drawn}"
    )


def count_drawn_policies(certificates: Sequence[FunnelCertificate]) -> int:
    """Return the number of drawn reporting policies that differ in more than their wording."""
    configs = [each.config for each in certificates if each.config.level.has_drawn_policy]
    return len({(replace(each.level, wording=0), each.funnel_spec.daytime) for each in configs})


def certificate_totals(certificates: Sequence[FunnelCertificate]) -> CertificateTotals:
    """Return figures over several certificates, at least one."""
    return CertificateTotals(
        undone_rows=sum(each.counterfactual for each in certificates),
        expected_rows=sum(len(each.rows) for each in certificates),
        smallest_margin=min(each.smallest_margin for each in certificates),
        mean_draws=sum(each.draws for each in certificates) / len(certificates),
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
