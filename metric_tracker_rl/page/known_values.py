"""Collects the values of a funnel episode that the player has seen so far.

The values come only from the reset observation's configuration and from tool results, so the page
can show them before the episode ends. Values are recognized by field names and not by the name of
the tool, so new tools require no change here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from typing import Any

from metric_tracker_rl.engine.definitions.display import RATE_DECIMALS
from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, Funnel
from metric_tracker_rl.engine.definitions.names import WEEKDAYS, BaselineKind, Disclosure
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.reporting_policy.baselines import (
    DAYS_PER_WEEK,
    list_weekday_names_of_first_week,
)
from metric_tracker_rl.page.shown_funnel import (
    list_break_drops,
    list_thresholds_by_column,
    read_funnel,
)

DayAndColumn = tuple[int, int]
"""Day and column indices, as in `DailySeries`."""


class KnownValues:
    """Values, baselines and deviations of an episode's daily series that the player has seen.

    Args:
        config: configuration in the reset observation.

    Attributes:
        funnel: the funnel, with its names.
        dates: ISO dates, in order.
        thresholds: reporting threshold of each column, from the first count to the daytime share.
            With raw disclosure, the attribute is None until the episode ends, so that the page
            does not show what is flagged.
        values: values from tool results, and values computed from known counts, by day and column.
        latest: days and columns of the values in the last reply.
        hours: hourly counts of all stages, by day and hour.
        calendar: titles of planned events, by day.
        suspicion: known suspicion scores by day. A suspicion score is the day's largest deviation
            as a multiple of its threshold.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.funnel: Funnel = read_funnel(config)
        first = Date.fromisoformat(config["start_date"])
        self.dates = [(first + timedelta(days=day)).isoformat() for day in range(config["days"])]
        is_raw = config.get("disclosure") == Disclosure.RAW
        self.thresholds = None if is_raw else list_thresholds_by_column(config, self.funnel)
        self._break_drops = () if is_raw else list_break_drops(config, self.funnel)
        self.values: dict[DayAndColumn, float] = {}
        self.latest: set[DayAndColumn] = set()
        self.unread: frozenset[DayAndColumn] = frozenset()
        self.hours: dict[DayAndColumn, Sequence[int]] = {}
        self.calendar: dict[int, list[str]] = {}
        self.suspicion: dict[int, float] = {}
        self._baselines: dict[DayAndColumn, float] = {}
        self._changes: dict[DayAndColumn, float] = {}
        self._day_of = {date: day for day, date in enumerate(self.dates)}
        self._by_weekday = config.get("baseline") == BaselineKind.SAME_WEEKDAY
        self._names = {
            name: column for (_, name), column in self.funnel.columns.column_by_entity.items()
        }

    @classmethod
    def from_episode(cls, episode: FunnelEpisode, config: Mapping[str, Any]) -> KnownValues:
        """Return an instance that contains all values of a finished episode."""
        known_values = cls(config)
        known_values.thresholds = episode.series.thresholds.tolist()
        for day, (row, baselines) in enumerate(
            zip(
                episode.series.values_and_excess_by_day,
                episode.series.baselines_by_day,
                strict=True,
            )
        ):
            for column, value in enumerate(row):
                known_values.values[day, column] = value
                known_values._store_baseline(day, column, baselines[column])
            known_values.hours |= {
                (day, hour): counts
                for hour, counts in enumerate(episode.hourly_counts_of_day(day).tolist())
            }
        return known_values

    @property
    def largest_deviation_day(self) -> int | None:
        """Day with the largest known deviation from a baseline; None if no deviation is known.

        Deviations are compared as multiples of their thresholds. If the thresholds are hidden, the
        deviations themselves are compared.
        """
        sizes: dict[int, float] = {}
        for day, column in self.values:
            if self.funnel.columns.is_excess_column(column):
                continue
            measure = (
                self.compute_deviation
                if self.thresholds is None
                else (self.compute_threshold_multiple)
            )
            sizes[day] = max(sizes.get(day, 0.0), abs(measure(day, column) or 0.0))
        return max(sizes, key=lambda day: (sizes[day], -day)) if any(sizes.values()) else None

    def excess_of_day(self, day: int) -> float | None:
        """Return how many impossible events a day has, or None if this is not known.

        These are the events by which the counts of later stages exceed those of earlier ones.
        """
        known = [
            self.values[day, column]
            for column in self.funnel.columns.excess_columns
            if (day, column) in self.values
        ]
        return sum(known) if known else None

    def find_break_drop(self, column: int) -> float | None:
        """Return the smallest relative drop of a step rate that counts as a funnel break.

        The result is None if the column is not a step rate or if the thresholds are hidden.
        """
        if column not in self.funnel.columns.step_rate_columns or not self._break_drops:
            return None
        return self._break_drops[column - self.funnel.columns.step_rates.start]

    def find_day_index(self, iso_date: object) -> int | None:
        """Return the day index of a date, or None if the episode does not contain the date."""
        return self._day_of.get(iso_date) if isinstance(iso_date, str) else None

    def find_baseline(self, day: int, column: int) -> float | None:
        """Return the baseline of a value, or None if it is not known.

        The baseline of impossible counts is always 0.
        """
        if self.funnel.columns.is_excess_column(column):
            return 0.0
        return self._baselines.get((day % DAYS_PER_WEEK if self._by_weekday else 0, column))

    def compute_deviation(self, day: int, column: int) -> float | None:
        """Return the deviation of a value from its baseline, or None if it is unknown.

        For counts and rates, the deviation is relative; for the daytime share, it is a difference.
        For impossible counts, it is the number of events by which the later stage exceeds the
        earlier one.
        """
        value, baseline = self.values.get((day, column)), self.find_baseline(day, column)
        if value is None or baseline is None:
            return self._changes.get((day, column))
        is_relative = self.funnel.columns.has_relative_deviations(column)
        return (value - baseline) / (baseline or 1.0) if is_relative else value - baseline

    def compute_threshold_multiple(self, day: int, column: int) -> float | None:
        """Return the deviation of a value as a multiple of its threshold.

        The result is None if the deviation is not known, if the thresholds are hidden, or for
        impossible counts.
        """
        deviation = self.compute_deviation(day, column)
        if (
            deviation is None
            or self.thresholds is None
            or self.funnel.columns.is_excess_column(column)
        ):
            return None
        return deviation / self.thresholds[column]

    def add_values_of_tool_result(self, analysis_result: Mapping[str, Any]) -> None:
        """Add the values in an `analysis_result`, a mapping with `arguments` and `result`.

        Results of calls with the argument `rows` are skipped, because they repeat the player's own
        rows.
        """
        self.latest = set()
        if "rows" in analysis_result["arguments"]:
            return
        for fact in iter_nested_mappings_with_enclosing_fields(analysis_result["result"]):
            self._add_values_baselines_and_suspicion_score(fact)
        for day in {day for day, _ in self.latest}:
            self._add_computed_counts_and_rates(day)

    def _add_values_baselines_and_suspicion_score(self, result_fields: Mapping[str, Any]) -> None:
        """Store everything that one mapping of a tool result contains about a series or a day.

        This includes values, changes, baselines, titles of planned events and the suspicion score.
        """
        day = self.find_day_index(result_fields.get("date"))
        column = self._find_series_column(result_fields)
        baseline = _find_first_number_in_fields(
            result_fields, "baseline_value", "median_value", "median"
        )
        if column is not None:
            if any(name in result_fields for name in WEEKDAYS):
                self._add_weekday_baselines(column, result_fields)
            elif baseline is not None and (day is not None or not self._by_weekday):
                self._store_baseline(day or 0, column, baseline)
        if day is None:
            return
        if column is not None:
            self._store_value_unless_none(
                day, column, _find_first_number_in_fields(result_fields, "observed_value", "value")
            )
            change = _find_first_number_in_fields(result_fields, "change")
            if change is not None:
                self._changes[day, column] = change
                self.latest.add((day, column))
        title = result_fields.get("title")
        if isinstance(title, str) and title not in self.calendar.get(day, ()):
            self.calendar.setdefault(day, []).append(title)
        if (score := _find_first_number_in_fields(result_fields, "suspicion_score")) is not None:
            self.suspicion[day] = score
        # This mapping encloses the list of issues. Set all pairs to 0 here; the issues are read
        # later.
        if "issue_count" in result_fields and column is None:
            for pair in range(len(self.funnel.quality_check_names)):
                self._store_value_unless_none(
                    day, self.funnel.columns.excess_column_of_pair(pair), 0.0
                )
        if self.funnel.columns.has_daytime_share:
            share = self.funnel.columns.daytime_share
            self._store_value_unless_none(
                day, share, _find_first_number_in_fields(result_fields, "daytime_share")
            )
            usual = _find_first_number_in_fields(result_fields, "baseline_daytime_share")
            if usual is not None:
                self._store_baseline(day, share, usual)
        self._add_counts_and_rates(day, result_fields)

    def _add_counts_and_rates(self, day: int, result_fields: Mapping[str, Any]) -> None:
        """Store the counts and rates of a day.

        If the fields contain an hour, store the counts of this hour instead.
        """
        counts = [result_fields.get(name) for name in self.funnel.event_count_names]
        hour = result_fields.get("hour")
        if isinstance(hour, int) and all(isinstance(count, int) for count in counts):
            self.hours[day, hour] = [int(count or 0) for count in counts]
            self.latest.update((day, stage) for stage in range(len(counts)))
        elif hour is None:
            for column, name in enumerate(self.funnel.daily_series_names):
                self._store_value_unless_none(
                    day, column, _find_first_number_in_fields(result_fields, name)
                )

    def _add_weekday_baselines(self, column: int, result_fields: Mapping[str, Any]) -> None:
        for day, weekday in enumerate(list_weekday_names_of_first_week(self.dates[0])):
            baseline = _find_first_number_in_fields(result_fields, weekday)
            if baseline is not None:
                self._store_baseline(day, column, baseline)

    def _find_series_column(self, result_fields: Mapping[str, Any]) -> int | None:
        """Return the column of the series named in the fields, or None if they name no series."""
        kind, name = result_fields.get("entity_type"), result_fields.get("entity_name")
        if isinstance(kind, str) and isinstance(name, str):
            return self.funnel.columns.find_column_of_entity(kind, name)
        names = (
            result_fields.get(each) for each in ("entity_name", "metric_name", "series", "name")
        )
        return next((self._names[name] for name in names if name in self._names), None)

    def _store_value_unless_none(self, day: int, column: int, value: float | None) -> None:
        if value is not None:
            self.values[day, column] = value
            self.latest.add((day, column))

    def _store_baseline(self, day: int, column: int, baseline: float) -> None:
        self._baselines[day % DAYS_PER_WEEK if self._by_weekday else 0, column] = baseline

    def _add_computed_counts_and_rates(self, day: int) -> None:
        """Compute a day's counts from its hourly counts, and its rates from its counts.

        Counts are computed only if all hours are known. Known counts and rates are not replaced.
        """
        funnel = self.funnel
        hours = [self.hours[day, at] for at in range(HOURS_PER_DAY) if (day, at) in self.hours]
        if len(hours) == HOURS_PER_DAY:
            for stage, counts in enumerate(zip(*hours, strict=True)):
                self.values.setdefault((day, stage), float(sum(counts)))
            # With raw disclosure, do not compute impossible counts, which the player has to find.
            for pair in range(len(funnel.quality_check_names) if self.thresholds else 0):
                excess = sum(max(row[pair + 1] - row[pair], 0) for row in hours)
                self.values[day, funnel.columns.excess_column_of_pair(pair)] = float(excess)
        for column, (above, below) in enumerate(
            funnel.rate_stage_indices, start=funnel.columns.rates.start
        ):
            into, out_of = (self.values.get((day, stage)) for stage in (above, below))
            if into is not None and out_of is not None:
                rate = round(100.0 * into / (out_of or 1.0), RATE_DECIMALS)
                self.values.setdefault((day, column), rate)


def iter_nested_mappings_with_enclosing_fields(
    result: Mapping[str, Any], enclosing_fields: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield a tool result and every mapping nested in it, merged with its parents' scalar fields.

    Some tools return a table as a list of column names and a list of rows. Each of these rows is
    converted to a mapping.
    """
    merged = {
        **(enclosing_fields or {}),
        **{k: v for k, v in result.items() if not _is_mapping_or_sequence(v)},
    }
    yield merged
    columns = result.get("columns")
    if isinstance(columns, list | tuple):
        for row in result["rows"]:
            yield from iter_nested_mappings_with_enclosing_fields(
                dict(_iter_fields_of_table_row(columns, row)), merged
            )
        return
    for value in result.values():
        if not _is_mapping_or_sequence(value):
            continue
        for element in [value] if isinstance(value, Mapping) else value:
            if isinstance(element, Mapping):
                yield from iter_nested_mappings_with_enclosing_fields(element, merged)


def _iter_fields_of_table_row(
    columns: Sequence[Any], row: Sequence[Any]
) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a table row.

    If a column name is a list, it contains the names of the values in the cell. If the cell is a
    nested table, its rows are yielded as mappings in a single field named `rows`.
    """
    for name, value in zip(columns, row, strict=True):
        if isinstance(name, str):
            yield name, value
        elif value and _is_mapping_or_sequence(value[0]):
            yield "rows", [dict(_iter_fields_of_table_row(name, each)) for each in value]
        else:
            yield from zip(name, value, strict=True)


def _is_mapping_or_sequence(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _find_first_number_in_fields(fields: Mapping[str, Any], *field_names: str) -> float | None:
    """Return the number in the first of the named fields that contains one, or None."""
    numbers: Iterable[Any] = (fields.get(name) for name in field_names)
    return next(
        (float(n) for n in numbers if isinstance(n, int | float) and not isinstance(n, bool)), None
    )
