"""Candidates: every series that is flagged on a day, roots and echoes alike, as report rows.

They are what a report is chosen from. Which of them are roots is the reporting policy's to say;
nothing here knows.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from weakref import WeakKeyDictionary

from metric_tracker_rl.engine.definitions.names import DATA_QUALITY, FUNNEL_STEP
from metric_tracker_rl.engine.episode.episode import Episode
from metric_tracker_rl.engine.reporting_policy.find_roots import Finding, anomaly_type
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow, row_for


class Candidate(NamedTuple):
    """A flagged series on a day.

    Attributes:
        row: the report row of it, were it a root.
        change: its deviation from the median: relative; absolute for the daytime share; excess
            events for impossible counts.
        explained: whether the public calendar explains it.
    """

    row: ReportRow
    change: float
    explained: bool


CANDIDATES: WeakKeyDictionary[Episode, tuple[Candidate, ...]] = WeakKeyDictionary()
"""Candidates of each episode that was scanned, as long as the episode lives."""


def candidates(episode: Episode) -> tuple[Candidate, ...]:
    """Every flagged series of every day, by date; ids count them from 1.

    Within a date they stand in the order of a hash, which says nothing: in the funnel's order or
    the alphabet's, the first or the last of each date would be right too often.

    A step whose rate fell by at least the break threshold stands as that funnel step, because
    the policy never reports it as a rate. The calendar explains none of them away.
    """
    found = CANDIDATES.get(episode)
    if found is None:
        found = CANDIDATES[episode] = tuple(_listed(episode))
    return found


def _listed(episode: Episode) -> list[Candidate]:
    far_days, columns = episode.series.far_days, episode.config.funnel_spec.columns
    found = [
        _candidate(episode, day, kind, name)
        for kind, name in columns
        if kind != FUNNEL_STEP  # which share their rates' columns
        for day in far_days[columns[kind, name]]
    ]
    return sorted(found, key=_place)


def _place(candidate: Candidate) -> tuple[str, bytes]:
    row = candidate.row
    return row.date, hashlib.sha256(f"{row.date}|{row.entity_name}".encode()).digest()


def _candidate(episode: Episode, day: int, kind: str, name: str) -> Candidate:
    series, funnel = episode.series, episode.config.funnel_spec
    column = funnel.columns[kind, name]
    change = series.deviation_rows[day][column]
    if name in funnel.step_rates and change <= -series.level.break_threshold:
        kind, name = FUNNEL_STEP, funnel.steps[funnel.step_rates.index(name)]
    anomaly = anomaly_type(kind, change)
    if anomaly is None:
        raise RuntimeError(f"nothing reports {name} with a change of {change}")
    finding = Finding(kind, name, anomaly, column)
    mask = series.explained
    explained = mask is not None and kind != DATA_QUALITY and bool(mask[day, column])
    return Candidate(row_for(finding, day, episode.dates[day], series), change, explained)
