"""Candidates: every series that is flagged on a day, roots and echoes alike, as report rows.

They are what a report is chosen from. Which of them are roots is the reporting policy's to say;
nothing here knows.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from weakref import WeakKeyDictionary

from metric_tracker_rl.engine.definitions.names import DATA_QUALITY, FUNNEL_STEP
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.reporting_policy.find_roots import (
    RootFinding,
    anomaly_type_of_deviation,
)
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow, build_report_row


class FlaggedSeries(NamedTuple):
    """A flagged series on a day.

    Attributes:
        row: the report row of it, were it a root.
        deviation: its deviation from the median: relative; absolute for the daytime share; excess
            events for impossible counts.
        is_explained: whether the public calendar explains it.
    """

    row: ReportRow
    deviation: float
    is_explained: bool


FLAGGED_SERIES_CACHE: WeakKeyDictionary[FunnelEpisode, tuple[FlaggedSeries, ...]] = (
    WeakKeyDictionary()
)
"""Candidates of each episode that was scanned, as long as the episode lives."""


def list_flagged_series(episode: FunnelEpisode) -> tuple[FlaggedSeries, ...]:
    """Every flagged series of every day, by date; ids count them from 1.

    Within a date they stand in the order of a hash, which says nothing: in the funnel's order or
    the alphabet's, the first or the last of each date would be right too often.

    A step whose rate fell by at least the break threshold stands as that funnel step, because
    the policy never reports it as a rate. The calendar explains none of them away.
    """
    found = FLAGGED_SERIES_CACHE.get(episode)
    if found is None:
        found = FLAGGED_SERIES_CACHE[episode] = tuple(_find_flagged_series(episode))
    return found


def _find_flagged_series(episode: FunnelEpisode) -> list[FlaggedSeries]:
    far_days, columns = (
        episode.series.days_past_threshold,
        episode.config.funnel_spec.column_by_entity,
    )
    found = [
        _build_flagged_series(episode, day, kind, name)
        for kind, name in columns
        if kind != FUNNEL_STEP  # which share their rates' columns
        for day in far_days[columns[kind, name]]
    ]
    return sorted(found, key=_hashed_sort_key)


def _hashed_sort_key(flagged: FlaggedSeries) -> tuple[str, bytes]:
    row = flagged.row
    return row.date, hashlib.sha256(f"{row.date}|{row.entity_name}".encode()).digest()


def _build_flagged_series(
    episode: FunnelEpisode, day: int, entity_type: str, entity_name: str
) -> FlaggedSeries:
    series, funnel = episode.series, episode.config.funnel_spec
    column = funnel.column_by_entity[entity_type, entity_name]
    change = series.deviations_by_day[day][column]
    if entity_name in funnel.step_rate_names and change <= -series.level.break_threshold:
        entity_type, entity_name = (
            FUNNEL_STEP,
            funnel.funnel_step_names[funnel.step_rate_names.index(entity_name)],
        )
    anomaly = anomaly_type_of_deviation(entity_type, change)
    if anomaly is None:
        raise RuntimeError(f"nothing reports {entity_name} with a change of {change}")
    finding = RootFinding(entity_type, entity_name, anomaly, column)
    mask = series.explained
    explained = mask is not None and entity_type != DATA_QUALITY and bool(mask[day, column])
    return FlaggedSeries(
        build_report_row(finding, day, episode.dates[day], series), change, explained
    )
