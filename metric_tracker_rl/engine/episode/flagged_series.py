"""Lists flagged series, which are the daily series that are past their thresholds on a date.

They include roots, which a report must contain, and consequences, which are deviations that a root
causes. This module does not distinguish them. The lean profile lists the flagged series, and the
`key_f1` reward compares a report with them.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from metric_tracker_rl.engine.definitions.anomaly_types import find_anomaly_type_of_deviation
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    FUNNEL_STEP,
    Entity,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.names import ScanContent
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.reporting_policy.find_roots import RootFinding
from metric_tracker_rl.engine.reporting_policy.labels import build_report_row


class FlaggedSeries(NamedTuple):
    """A daily series that is past its threshold on one day.

    Attributes:
        row: the report row to submit if the series is a root.
        deviation: deviation from the baseline. It is relative for counts and rates, and absolute
            for the daytime share. For a count that exceeds the previous stage's, it is the number
            of excess events.
        is_explained: whether a calendar entry explains the deviation, so that it is not reported.
    """

    row: ReportRow
    deviation: float
    is_explained: bool


class _RowSortKey(NamedTuple):
    date: str
    hash_of_row: bytes


FLAGGED_SERIES_CACHE: WeakKeyDictionary[FunnelEpisode, tuple[FlaggedSeries, ...]] = (
    WeakKeyDictionary()
)
"""Flagged series by episode. An entry is removed when its episode is freed."""


LISTED_SERIES_CACHE: WeakKeyDictionary[FunnelEpisode, tuple[FlaggedSeries, ...]] = (
    WeakKeyDictionary()
)
"""Series with an id by episode, for levels on which series that are not flagged have one."""


def list_flagged_series_by_id(episode: FunnelEpisode) -> tuple[FlaggedSeries, ...]:
    """Return the series that are past their thresholds on any day, sorted by date.

    The id of a flagged series is its position in the result, counted from 1.

    Within a date, the series are sorted by a hash, because in funnel order or alphabetical order
    the root would too often be the first or the last series of its date.

    A step rate that fell by at least the break threshold is listed as a funnel step, because the
    policy never reports it as a rate. Series that the calendar explains are included.
    """
    flagged = FLAGGED_SERIES_CACHE.get(episode)
    if flagged is None:
        flagged = FLAGGED_SERIES_CACHE[episode] = tuple(
            _find_flagged_series_by_date_and_hash(episode)
        )
    return flagged


def list_series_by_id(episode: FunnelEpisode) -> tuple[FlaggedSeries, ...]:
    """Return the series that have an id in the episode; the id is the position, counted from 1.

    These are the flagged series or, on levels whose `scan` lists deviations or dates, all series
    that a player can select, flagged or not.
    """
    level = episode.config.level_with_policy_parameters
    if level.scan_lists == ScanContent.FLAGGED:
        return list_flagged_series_by_id(episode)
    listed = LISTED_SERIES_CACHE.get(episode)
    if listed is None:
        listed = LISTED_SERIES_CACHE[episode] = tuple(_find_listed_series(episode))
    return listed


def get_series_name(listed: FlaggedSeries, funnel: Funnel) -> str:
    """Return the name of the daily series of a row, which for a funnel step is its step rate."""
    if listed.row.entity_type == FUNNEL_STEP:
        return funnel.step_rate_names[funnel.funnel_step_names.index(listed.row.entity_name)]
    return listed.row.entity_name


def _find_listed_series(episode: FunnelEpisode) -> list[FlaggedSeries]:
    """Return the series of `scan` or, if it lists dates only, all series of these dates.

    Impossible counts are listed on the dates on which there are any.
    """
    level = episode.config.level_with_policy_parameters
    columns = episode.config.funnel_with_policy_daytime.columns
    series = episode.series
    if level.shown_deviations is None:
        raise RuntimeError(f"The level {level.name} has no smallest deviations.")
    shown = level.shown_deviations
    limits = np.array(
        [
            *[shown.counts] * columns.count_total,
            *[shown.rates] * columns.rate_total,
            *[shown.share] * columns.has_daytime_share,
        ]
    )
    is_listed = np.abs(series.deviations) >= limits
    has_excess = series.excess > 0
    if level.scan_lists == ScanContent.DATES:
        is_listed[is_listed.any(axis=1) | has_excess.any(axis=1)] = True
    is_listed = np.concatenate([is_listed, has_excess], axis=1)
    listed = [
        _build_flagged_series(episode, day, entity, column)
        for entity, column in columns.column_by_entity.items()
        if entity.entity_type != FUNNEL_STEP  # shares the column of its step rate
        for day in np.flatnonzero(is_listed[:, column]).tolist()
    ]
    return sorted(listed, key=_compute_date_and_hash_sort_key)


def _find_flagged_series_by_date_and_hash(episode: FunnelEpisode) -> list[FlaggedSeries]:
    days_by_column = episode.series.days_past_threshold_by_column
    columns = episode.config.funnel_with_policy_daytime.columns
    flagged = [
        _build_flagged_series(episode, day, entity, column)
        for entity, column in columns.column_by_entity.items()
        if entity.entity_type != FUNNEL_STEP  # shares the column of its step rate
        for day in days_by_column[column]
    ]
    return sorted(flagged, key=_compute_date_and_hash_sort_key)


def _compute_date_and_hash_sort_key(flagged: FlaggedSeries) -> _RowSortKey:
    row = flagged.row
    digest = hashlib.sha256(f"{row.date}|{row.entity_name}".encode()).digest()
    return _RowSortKey(row.date, digest)


def _build_flagged_series(
    episode: FunnelEpisode, day: int, entity: Entity, column: int
) -> FlaggedSeries:
    series, funnel = episode.series, episode.config.funnel_with_policy_daytime
    entity_type, entity_name = entity
    deviation = series.deviations_and_excess_by_day[day][column]
    if (
        entity_type == CONVERSION_RATE
        and entity_name in funnel.step_rate_names
        and deviation <= -series.limits.get_threshold(FUNNEL_STEP, column)
    ):
        entity_type = FUNNEL_STEP
        entity_name = funnel.funnel_step_names[funnel.columns.step_index_of_column(column)]
    anomaly_type = find_anomaly_type_of_deviation(entity_type, deviation)
    if anomaly_type is None:
        raise RuntimeError(f"No anomaly type reports a deviation of {deviation} of {entity_name}.")
    finding = RootFinding(entity_type, entity_name, anomaly_type, column)
    explained = series.explained
    is_explained = (
        explained is not None and entity_type != DATA_QUALITY and bool(explained[day, column])
    )
    row = build_report_row(finding, day, episode.dates[day], series)
    return FlaggedSeries(row, deviation, is_explained)
