"""Certificates: proof, per episode, that it is fair.

The unit of work is one configuration; `certify_one` is a pure function of it, so it can run
anywhere, in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.configuration.tasks import CUSTOM_TASK_ID
from metric_tracker_rl.engine.definitions.entity_types import EVENT_COUNT
from metric_tracker_rl.engine.definitions.levels import LEVELS, FunnelLevel
from metric_tracker_rl.engine.definitions.names import DISCLOSURES, PROFILES, PolicySource
from metric_tracker_rl.engine.definitions.report_row import ReportRow, deviation_size
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
default_levels = tuple(LEVELS)
"""Levels of a run that names none; the rungs lie between these."""
CERTIFIED_ANOMALY_COUNTS = (1, 3, 5)
ZERO_ANOMALY_FAMILY = "mixed"
"""Family whose zero-anomaly episodes are certified; with no anomaly, families look alike."""


@dataclass(frozen=True)
class RowMargin:
    """How large an expected row's deviation is.

    Attributes:
        effect: relative deviation; of the daytime share the absolute one, of impossible
            counts the events in excess.
        threshold: what it had to reach; 0 for impossible counts.
        margin: effect / threshold; None where the threshold is 0.
    """

    row: str
    effect: float
    threshold: float
    margin: float | None


@dataclass(frozen=True)
class FunnelCertificate:
    """What was found out about one episode.

    Attributes:
        score: least score of the reference policy, playing through the tools of every profile and
            disclosure.
        steps: most steps it took.
        draws: draws the generator needed.
        guard_violations: deviations inside the guard band of their threshold, anywhere, and
            expected rows too close to a bound between two severities.
        unique: whether the rule answers the planned roots, once each, and every report that
            lacks a row, has one more or differs in a field scores less than 1.0.
        counterfactual: expected rows that are gone when their cause alone is undone, on a
            day that is then under every threshold.
        rows: effect and margin of each expected row.
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
        """Whether the episode is proven solvable, unique, clear and caused."""
        solvable = self.score == 1.0 and self.guard_violations == 0
        return solvable and self.unique and self.counterfactual == len(self.rows)

    @property
    def smallest_margin(self) -> float:
        """Smallest margin of its rows; infinite without any."""
        return min((r.margin for r in self.rows if r.margin is not None), default=float("inf"))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `certificate_from_dict` reads it again."""
        return asdict(self)


def certificate_from_dict(fields: dict[str, Any]) -> FunnelCertificate:
    """A certificate from its JSON form.

    Raises:
        KeyError, TypeError: it is not one.
    """
    config = EpisodeConfig(**{**fields["config"], "anomalies": ()})
    rows = tuple(RowMargin(**each) for each in fields["rows"])
    return FunnelCertificate(**{**fields, "config": config, "rows": rows})


def certify_one(config: EpisodeConfig) -> FunnelCertificate:
    """Certify one episode, generated afresh."""
    draw = generate_episode(config)
    episode = episode_from_generated(config, draw)
    outcomes = [_play_reference(episode, *mode) for mode in product(PROFILES, DISCLOSURES)]
    return FunnelCertificate(
        config=config,
        score=min(each.score for each in outcomes),
        steps=max(each.step_count for each in outcomes),
        draws=draw.attempts,
        guard_violations=count_guard_violations(draw.series)
        + sum(not is_severity_clear(row, config.level.severity_bounds) for row in draw.labels),
        unique=_has_unique_report(episode),
        counterfactual=sum(
            _undoing_removes_row(config, draw, cause) for cause in draw.planned_anomalies
        ),
        rows=tuple(_measure_row_margin(row, config.level) for row in draw.labels),
    )


def _play_reference(episode: FunnelEpisode, profile: str, disclosure: str) -> RolloutResult:
    """How the reference policy's play of an episode ends."""
    session, rules = EpisodeSession(), PlayRules(profile=profile, disclosure=disclosure)
    opening = session.start_from_view(CUSTOM_TASK_ID, EpisodeView(episode, rules))
    return run_policy(session, get_policy("reference"), opening)


def certificate_table(
    certificates: Sequence[FunnelCertificate],
) -> CertificateTable:
    """Titles and rows of a table of many certificates, by level and family."""
    groups: dict[tuple[int, str], list[FunnelCertificate]] = defaultdict(list)
    for each in certificates:
        place = levels.index(each.config.difficulty)
        groups[place, each.config.scenario_family].append(each)
    rows: list[Sequence[str]] = []
    for (place, family), group in sorted(groups.items()):
        undone, of, smallest, draws = certificate_totals(group)
        counted = (
            len(group),
            sum(each.score == 1.0 for each in group),
            sum(each.unique for each in group),
            sum(each.guard_violations for each in group),
        )
        measured = (f"{undone}/{of}", f"{smallest:.3f}", f"{draws:.3f}")
        rows.append((levels[place], family, *map(str, counted), *measured))
    titles = ("level", "family", "episodes", "1.0", "unique", "guard", "undone", "margin", "draws")
    return CertificateTable(titles, rows)


def summarize(certificates: Sequence[FunnelCertificate]) -> str:
    """Rows undone, smallest margin and draws of many certificates, in words."""
    undone, of, smallest, draws = certificate_totals(certificates)
    policies = count_drawn_policies(certificates)
    wordings = f"; {policies} reporting policies, words apart" if policies else ""
    return (
        f"{undone} of {of} rows undone with their cause; "
        f"smallest margin {smallest:.3f} x threshold; mean draws {draws:.4f}{wordings}"
    )


def count_drawn_policies(certificates: Sequence[FunnelCertificate]) -> int:
    """How many reporting policies were drawn that differ in more than words."""
    drawn = [each.config for each in certificates if each.config.level.has_drawn_policy]
    return len({(replace(each.level, wording=0), each.funnel_spec.daytime) for each in drawn})


def certificate_totals(certificates: Sequence[FunnelCertificate]) -> tuple[int, int, float, float]:
    """Rows undone, rows, smallest margin and mean draws."""
    return (
        sum(each.counterfactual for each in certificates),
        sum(len(each.rows) for each in certificates),
        min(each.smallest_margin for each in certificates),
        sum(each.draws for each in certificates) / len(certificates),
    )


def iter_configurations(
    seeds: Iterable[int],
    families: Sequence[str] = SCENARIO_FAMILIES,
    levels: Sequence[str] = tuple(LEVELS),
    counts: Sequence[int] = CERTIFIED_ANOMALY_COUNTS,
    extra_reset_arguments: Mapping[str, Any] | None = None,
) -> Iterator[EpisodeConfig]:
    """Configurations of every combination, and zero-anomaly ones for one family.

    Args:
        seeds: of every combination.
        families: names of families.
        levels: names of levels.
        counts: planned anomalies.
        extra_reset_arguments: `policy`, the reporting policy; no other argument is allowed,
            because every certificate covers all profiles and disclosures.

    Raises:
        UnknownNameError: another reset argument; names the nearest.
    """
    for name in extra_reset_arguments or {}:
        require_name("--reset", name, ["policy"])
    policy = (extra_reset_arguments or {}).get("policy", PolicySource.STANDARD)
    for seed, family, difficulty in product(seeds, families, levels):
        for count in (*counts, *((0,) if family == ZERO_ANOMALY_FAMILY else ())):
            yield EpisodeConfig(
                seed=seed,
                scenario_family=family,
                difficulty=difficulty,
                anomaly_count=count,
                policy=policy,
            )


def _has_unique_report(episode: FunnelEpisode) -> bool:
    """Whether the right report is the plan's, and no report beside it is as good."""
    draw, right = episode.generated, episode.expected_rows
    planned = sorted((draw.dates[cause.day], *cause.root) for cause in draw.planned_anomalies)
    answered = sorted((r.date, r.entity_type, r.entity_name, r.anomaly_type) for r in right)
    if planned != answered or len({row.key for row in right}) != len(right):
        return False
    if grade_report(SubmittedReport(right, ()), right).score != 1.0:
        return False
    return all(
        grade_report(SubmittedReport(rows, ()), right).score < 1.0
        for rows in _iter_altered_reports(episode)
    )


def _iter_altered_reports(episode: FunnelEpisode) -> Iterator[tuple[ReportRow, ...]]:
    """Reports that differ from the right one in one row or one field."""
    right = episode.expected_rows
    first, name = episode.dates[0], episode.config.funnel_spec.count_names[-1]
    extra = ReportRow(first, EVENT_COUNT, name, "", "", 0.0, 0.0, 0.0, "low")
    yield (*right, extra)  # no right report names the last stage's count
    for at, row in enumerate(right):
        others = right[:at] + right[at + 1 :]
        yield others
        yield (*others, replace(row, severity="another"))
        yield (*others, replace(row, anomaly_type="another"))
        yield (*others, replace(row, detection_method="another"))
        yield (*others, replace(row, observed_value=row.observed_value * 1.5 + 1.0))
        yield (*right, row)


def _undoing_removes_row(
    config: EpisodeConfig, generated: GeneratedEpisode, anomaly: PlannedAnomaly
) -> bool:
    """Whether undoing one cause takes its row away and leaves nothing of it on its day."""
    others = [each for each in generated.planned_anomalies if each is not anomaly]
    hourly = apply_planned_anomalies(generated.clean, others)
    series = DailySeries(hourly, config.funnel_spec, config.level, generated.series.explained)
    rows = {(r.date, r.entity_type, r.entity_name) for r in compute_labels(series, generated.dates)}
    gone = (generated.dates[anomaly.day], *anomaly.root[:2]) not in rows
    if any(each.day == anomaly.day for each in others):
        return gone
    under = bool((np.abs(series.unexplained_deviations[anomaly.day]) < series.thresholds).all())
    return gone and under and not series.excess[anomaly.day].any()


def _measure_row_margin(row: ReportRow, level: FunnelLevel) -> RowMargin:
    size, limit = deviation_size(row), thresholds_by_entity_type(level)[row.entity_type]
    margin = round(size / limit, 4) if limit else None
    return RowMargin(row.key.as_text(), round(size, 6), limit, margin)
