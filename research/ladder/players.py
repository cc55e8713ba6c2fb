"""Players that do not read everything: pattern tables, uninformed and fixed-position players."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations

from metric_tracker_rl.policies.funnel_names import BUILT_IN_NAMES
from research.ladder.episodes import ListedSeries, PlayedEpisode, UnplayedEpisode

Pattern = tuple[tuple[str, bool], ...]
"""Sorted names of the series that `scan` lists for a date, each with whether it has risen."""
Names = frozenset[str]

MAX_DROPPED_DATES = 2
"""Largest number of dates at fixed positions that a player drops."""
MAX_POSITION = 4
"""Positions of dropped dates and rows are at most this far from the first or the last one."""


class PatternTable:
    """Table from the pattern of a date to the names of its roots.

    An entry is the most frequent answer in the episodes from which the table was filled. A pattern
    without an entry has no roots.
    """

    def __init__(self) -> None:
        self._answers_by_pattern: dict[Pattern, Counter[Names]] = {}

    @property
    def entry_count(self) -> int:
        """Number of patterns in the table."""
        return len(self._answers_by_pattern)

    def add_episode(self, series: Iterable[ListedSeries]) -> None:
        """Add the dates of one episode to the table."""
        for rows in group_by_date(series):
            answer = frozenset(row.name for row in rows if row.is_root)
            self._answers_by_pattern.setdefault(_find_pattern(rows), Counter())[answer] += 1

    def choose_ids(self, series: Iterable[ListedSeries]) -> frozenset[int]:
        """Return the ids of the series that the table names as roots."""
        ids: set[int] = set()
        for rows in group_by_date(series):
            answers = self._answers_by_pattern.get(_find_pattern(rows))
            names = answers.most_common(1)[0][0] if answers else frozenset()
            ids.update(row.series_id for row in rows if row.name in names)
        return frozenset(ids)


def _find_pattern(rows: Sequence[ListedSeries]) -> Pattern:
    return tuple(sorted((row.name, row.change > 0) for row in rows if row.is_in_scan))


def group_by_date(series: Iterable[ListedSeries]) -> list[list[ListedSeries]]:
    """Return the series of each date, in the order of the dates."""
    rows_by_date: dict[str, list[ListedSeries]] = {}
    for row in series:
        rows_by_date.setdefault(row.date, []).append(row)
    return list(rows_by_date.values())


def remove_explained_series(episode: PlayedEpisode | UnplayedEpisode) -> list[ListedSeries]:
    """Return the listed series that the calendar does not explain."""
    explained = episode.explained
    return [
        row
        for row in episode.series
        if (row.date, BUILT_IN_NAMES.convert_funnel_step_to_step_rate(row.name)) not in explained
    ]


def submit_nothing(_: PlayedEpisode) -> frozenset[int]:
    """Submit an empty report."""
    return frozenset()


def submit_every_series(episode: PlayedEpisode) -> frozenset[int]:
    """Submit all series that have an id."""
    return frozenset(row.series_id for row in episode.series)


def submit_first_series_of_each_date(episode: PlayedEpisode) -> frozenset[int]:
    """Submit the first listed series of each date."""
    return frozenset(rows[0].series_id for rows in group_by_date(episode.series))


UNINFORMED_PLAYERS: dict[str, Callable[[PlayedEpisode], frozenset[int]]] = {
    "nothing": submit_nothing,
    "all": submit_every_series,
    "first_of_each_date": submit_first_series_of_each_date,
}


def iter_reports_without_fixed_positions(
    episode: PlayedEpisode, ids: frozenset[int]
) -> Iterator[tuple[str, frozenset[int]]]:
    """Yield reports in which the rows at fixed positions are dropped, with the rule's description.

    The rules drop no position, one or two dates, or one row, counted among the reported rows and
    dates from the first or from the last.
    """
    yield "no position", ids
    reported = [row for row in episode.series if row.series_id in ids]
    dates = list(dict.fromkeys(row.date for row in reported))
    positions = (*range(MAX_POSITION), *range(-MAX_POSITION, 0))
    for count in range(1, MAX_DROPPED_DATES + 1):
        for dropped in combinations(positions, count):
            dropped_dates = {dates[place] for place in dropped if -len(dates) <= place < len(dates)}
            kept = frozenset(row.series_id for row in reported if row.date not in dropped_dates)
            yield f"dates {dropped}", kept
    for place in positions:
        if -len(reported) <= place < len(reported):
            yield f"row {place}", ids - {reported[place].series_id}
        else:
            yield f"row {place}", ids
