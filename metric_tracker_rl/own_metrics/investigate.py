"""Makes an episode from a window of a user's table, and compares reports with the policy's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import DEFAULT_PLAY_RULES
from metric_tracker_rl.engine.definitions.entity_types import CONVERSION_RATE, FUNNEL_STEP
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.table_window import create_table_window_episode
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import SubmittedReport, parse_report
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.own_metrics.import_warnings import describe_unreportable_falls
from metric_tracker_rl.own_metrics.table_windows import build_window
from metric_tracker_rl.products.product import Product
from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.support import (
    Agreement,
    InvestigatedRow,
    Investigation,
    InvestigationRequest,
)
from openenv_kit.rollouts.run_policy import StartedSession
from openenv_kit.session import Session

PERCENT_ENTITY_TYPES = (CONVERSION_RATE, FUNNEL_STEP)
"""Entity types whose values are rates in percent."""
TASK_ID = "own_table"
"""Task id of an episode of a user's table."""


@dataclass(frozen=True, eq=False)
class TableInvestigation(Investigation):
    """An episode made from a window of a user's table.

    Attributes:
        episode: the episode.
        view: the episode and its play rules.
        product: product that provides the thresholds.
    """

    episode: FunnelEpisode
    view: EpisodeView
    product: Product

    @property
    def title(self) -> str:
        dates = self.episode.dates
        return f"{len(dates)} days from {dates[0]} to {dates[-1]}"

    @property
    def notes(self) -> tuple[str, ...]:
        text = describe_unreportable_falls(self.product)
        return (text,) if text else ()

    @property
    def policy_rows(self) -> tuple[InvestigatedRow, ...]:
        return _convert_rows(self.episode.expected_rows)

    def start_session(self) -> StartedSession:
        session = EpisodeSession()
        return StartedSession(session, session.start_episode_from_view(TASK_ID, self.view))

    def compare_report(self, session: Session) -> Agreement:
        return self._compare(session.last_report if isinstance(session, EpisodeSession) else None)

    def compare_submitted_rows(self, rows: Sequence[Any] | None) -> Agreement:
        """Compare submitted rows with those of the reporting policy.

        Args:
            rows: all submitted rows; invalid ones are left out. None if there was no report.
        """
        return self._compare(None if rows is None else parse_report(list(rows), self.episode))

    def _compare(self, report: SubmittedReport | None) -> Agreement:
        expected = self.episode.expected_rows
        if report is None:
            return Agreement(
                both=(),
                only_player=(),
                only_policy=_convert_rows(expected),
                score=None,
                percent_entity_types=PERCENT_ENTITY_TYPES,
            )
        expected_keys = {row.key for row in expected}
        submitted = list({row.key: row for row in report.valid_rows}.values())
        submitted_keys = {row.key for row in submitted}
        return Agreement(
            both=_convert_rows([row for row in submitted if row.key in expected_keys]),
            only_player=_convert_rows([row for row in submitted if row.key not in expected_keys]),
            only_policy=_convert_rows([row for row in expected if row.key not in submitted_keys]),
            score=grade_report(report, expected).score,
            percent_entity_types=PERCENT_ENTITY_TYPES,
        )


def create_table_investigation(
    table: CleanedTable, product: Product, request: InvestigationRequest
) -> TableInvestigation:
    """Make an episode from a window of a table.

    Args:
        table: cleaned table. Its calendar entries and holidays explain deviations.
        product: product with the thresholds. It must have the stages of the table.
        request: the window and the set of tools.

    Raises:
        ConfigurationError: the table's stages differ from the product's, or the window is
            incomplete.
    """
    window = build_window(table.stage_counts, product, request.start, request.weeks, table.calendar)
    episode = create_table_window_episode(product, window)
    rules = DEFAULT_PLAY_RULES
    if request.profile is not None:
        rules = replace(rules, profile=request.profile)
    # Hide the number of expected rows, as in tasks of a split, because it would help the player.
    return TableInvestigation(episode, EpisodeView(episode, rules, is_split_task=True), product)


def _convert_rows(rows: Sequence[ReportRow]) -> tuple[InvestigatedRow, ...]:
    by_date = sorted(rows, key=lambda row: row.key)
    return tuple(
        InvestigatedRow(**{name: getattr(row, name) for name in InvestigatedRow._fields})
        for row in by_date
    )
