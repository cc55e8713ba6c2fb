"""Detects the shape of a table and the roles of its columns."""

from __future__ import annotations

import re

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.column_profiles import (
    ColumnProfile,
    describe_columns,
    find_column,
    profile_columns,
)
from openenv_kit.own_data.column_roles import ColumnRoles, TableShape
from openenv_kit.own_data.date_formats import DateFormat, find_date_format, parse_date_directives
from openenv_kit.own_data.locked_connection import fetch_row
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_table import TableSource

MIN_DATE_HEADERS = 20
"""Smallest number of date headers of a pivoted table."""
MIN_REPEATS = 3.0
"""Smallest number of rows per date and stage at which rows are events or cases, not counts."""

_METRIC_WORDS = re.compile(r"metric|measure|event|stage|step|action|name|series|kpi|variable", re.I)
_VALUE_WORDS = re.compile(r"value|count|total|number|amount|^n$|anzahl|wert|events|users", re.I)
_HOUR_WORDS = re.compile(r"^(hour|time|hr|stunde|uhrzeit|heure|hora)(_?of_?day)?$", re.I)
ID_WORDS = re.compile(r"(^|_)(id|uuid|insert_id|key)$", re.I)


def detect_shape(source: TableSource, options: ImportOptions) -> ColumnRoles:
    """Detect the shape of a table and the roles of its columns from the options and first rows.

    Raises:
        TableRefused: the table has no known shape, or a column that an option names does not exist.
    """
    profiles = profile_columns(source, options.date_format)
    date_headers = _find_date_headers(profiles, options)
    _refuse_missing_header(source, date_headers)
    if len(date_headers) >= MIN_DATE_HEADERS:
        return _find_pivoted_roles(source, profiles, date_headers, options)
    date = _choose_date_column(profiles, options)
    time = _choose_time_column(profiles, date, options)
    others = tuple(profile for profile in profiles if profile.name and profile not in (date, time))
    id_column = (
        find_column(profiles, "--id-column", options.id_column) if options.id_column else None
    )
    others = tuple(profile for profile in others if profile is not id_column)
    detected = _RoleFinder(source, options, others, date, time)
    shape = detected.choose_shape()
    roles = detected.find_roles(shape)
    used = {roles.metric, roles.value, *roles.stages}
    notes = list(roles.notes)
    if time is not None and not options.time_column:
        notes.append(f"The column {time.name} was taken as the hour; --time-column changes this.")
    return ColumnRoles(
        shape=shape,
        date=date.position,
        time=time.position if time else None,
        metric=roles.metric,
        value=roles.value,
        id=id_column.position if id_column else None,
        stages=roles.stages,
        other_texts=tuple(
            profile.position
            for profile in others
            if profile.has_few_texts and profile.position not in used
        ),
        notes=tuple(notes),
    )


def _find_date_headers(
    profiles: tuple[ColumnProfile, ...], options: ImportOptions
) -> tuple[int, ...]:
    own = parse_date_directives(options.date_format) if options.date_format else None

    def is_date(name: str) -> bool:
        return own.matches(name) if own else find_date_format(name) is not None

    return tuple(profile.position for profile in profiles if is_date(profile.name))


def _refuse_missing_header(source: TableSource, date_headers: tuple[int, ...]) -> None:
    """Reject a text file without a header, because errors would quote its first row as names.

    Raises:
        TableRefused: a name of a column is a date or a number.
    """
    if source.text_format is None:
        return
    has_number = any(
        re.search(r"\d", name) and not re.search(r"[^\W\d_]", name)
        for position, name in enumerate(source.columns)
        if position not in date_headers
    )
    if has_number or 0 < len(date_headers) < MIN_DATE_HEADERS:
        raise TableRefused(
            f"{source.header_place}: a column's name is a number or date; the first line must "
            f"contain the names of the columns, or at least {MIN_DATE_HEADERS} dates."
        )


def _find_pivoted_roles(
    source: TableSource,
    profiles: tuple[ColumnProfile, ...],
    date_headers: tuple[int, ...],
    options: ImportOptions,
) -> ColumnRoles:
    names = tuple(profile for profile in profiles if profile.position not in date_headers)
    texts = [profile for profile in names if profile.has_few_texts and profile.name]
    if options.metric_column:
        metric = find_column(profiles, "--metric-column", options.metric_column)
    elif len(texts) == 1:
        metric = texts[0]
    elif len(names) == 1:
        metric = names[0]  # The header of this column is often empty.
    else:
        listed = describe_columns([profile.name for profile in names])
        raise TableRefused(
            f"{source.header_place}: {len(date_headers)} headers are dates, but several columns "
            f"can contain the names of the stages; pass --metric-column. {listed}"
        )
    return ColumnRoles(
        shape=TableShape.PIVOTED,
        metric=metric.position,
        date_headers=date_headers,
        other_texts=tuple(profile.position for profile in texts if profile is not metric),
    )


def _choose_date_column(
    profiles: tuple[ColumnProfile, ...], options: ImportOptions
) -> ColumnProfile:
    if options.date_column:
        return find_column(profiles, "--date-column", options.date_column)
    dates = [profile for profile in profiles if profile.date_format is not None and profile.name]
    if len(dates) == 1:
        return dates[0]
    if not dates:
        listed = describe_columns([profile.name for profile in profiles if profile.name])
        raise TableRefused(
            f"No column has dates in a known format; pass --date-column and --date-format. {listed}"
        )
    exact = [profile for profile in dates if profile.name.lower() in ("date", "timestamp", "time")]
    if len(exact) == 1:
        return exact[0]
    listed = describe_columns([profile.name for profile in dates])
    raise TableRefused(f"{len(dates)} columns have dates; pass --date-column. {listed}")


def _choose_time_column(
    profiles: tuple[ColumnProfile, ...], date: ColumnProfile, options: ImportOptions
) -> ColumnProfile | None:
    if options.time_column:
        return find_column(profiles, "--time-column", options.time_column)
    date_format: DateFormat | None = date.date_format
    if date_format is not None and date_format.has_time:
        return None
    clock = re.compile(r"\d{1,2}(?::\d{2}){0,2}(?: ?[AaPp][Mm])?")
    for profile in profiles:
        is_hour = profile is not date and profile.cells and _HOUR_WORDS.search(profile.name)
        if is_hour and all(clock.fullmatch(cell) for cell in profile.cells):
            return profile
    return None


class _RoleFinder:
    """Chooses the shape of a table with a date column, and the columns of that shape."""

    def __init__(
        self,
        source: TableSource,
        options: ImportOptions,
        others: tuple[ColumnProfile, ...],
        date: ColumnProfile,
        time: ColumnProfile | None,
    ) -> None:
        self._source = source
        self._options = options
        self._others = others
        self._date = date
        self._time = time

    def choose_shape(self) -> TableShape:
        """Return the shape that the options imply, or else the shape that the cells suggest."""
        options = self._options
        if options.event_column:
            return TableShape.EVENTS
        if options.metric_column or options.value_column:
            return TableShape.LONG
        named = [profile for profile in self._others if profile.name in options.stages]
        columns = named if len(named) >= 2 else self._list_count_columns()
        if len(columns) >= 2 and len(named) in (0, len(options.stages)):
            if all(profile.is_flag for profile in columns) and self._is_repeated(1):
                return TableShape.CASES
            if named or not self._has_event_times():
                return TableShape.WIDE
        texts = self._list_metric_columns()
        if not texts:
            return TableShape.WIDE
        metric_count = max(len(profile.texts) for profile in texts)
        values = self._list_value_columns()
        if values and not self._has_event_times():
            is_named = any(_VALUE_WORDS.search(profile.name) for profile in values)
            if is_named or not self._is_repeated(metric_count):
                return TableShape.LONG
        return TableShape.EVENTS

    def find_roles(self, shape: TableShape) -> ColumnRoles:
        """Return the columns for a shape. Only `metric`, `value`, `stages` and `notes` are set."""
        if shape in (TableShape.WIDE, TableShape.CASES):
            return self._find_stage_columns_of_wide_table(shape)
        metric_option, name = "--metric-column", self._options.metric_column
        if shape is TableShape.EVENTS:
            metric_option, name = "--event-column", self._options.event_column
        metric = self._choose_column(
            metric_option, name, self._list_metric_columns(), _METRIC_WORDS
        )
        value = None
        if shape is TableShape.LONG:
            columns = [profile for profile in self._list_value_columns() if profile is not metric]
            value = self._choose_column(
                "--value-column", self._options.value_column, columns, _VALUE_WORDS
            )
        return ColumnRoles(
            shape=shape, metric=metric.position, value=value.position if value else None
        )

    def _find_stage_columns_of_wide_table(self, shape: TableShape) -> ColumnRoles:
        stages = self._options.stages
        if stages:
            found = [find_column(self._others, "--stages", stage, stages) for stage in stages]
            return ColumnRoles(shape=shape, stages=tuple(profile.position for profile in found))
        columns = self._list_count_columns()
        if len(columns) < 2:
            numbers = [profile for profile in self._others if profile.is_number]
            rates = [profile for profile in self._others if profile.is_percent]
            listed = describe_columns([profile.name for profile in self._others])
            if numbers or rates:
                raise TableRefused(
                    f"The table needs counts of at least two stages; {len(columns)} columns have "
                    f"whole numbers, the others have rates, decimals or text. {listed}"
                )
            raise TableRefused(
                "No columns have counts; pass --stages, --event-column or --metric-column. "
                f"{listed}"
            )
        ignored = [profile.name for profile in self._others if profile not in columns]
        notes = (f"Ignored columns: {', '.join(ignored)}.",) if ignored else ()
        return ColumnRoles(
            shape=shape, stages=tuple(profile.position for profile in columns), notes=notes
        )

    def _list_count_columns(self) -> list[ColumnProfile]:
        return [
            profile
            for profile in self._others
            if profile.is_count and not ID_WORDS.search(profile.name)
        ]

    def _list_value_columns(self) -> list[ColumnProfile]:
        numbers = [profile for profile in self._others if profile.is_number]
        return [profile for profile in numbers if not ID_WORDS.search(profile.name)]

    def _list_metric_columns(self) -> list[ColumnProfile]:
        texts = [profile for profile in self._others if profile.has_few_texts]
        named = [profile for profile in texts if set(self._options.stages) & profile.texts]
        return named or texts

    def _choose_column(
        self,
        option: str,
        name: str | None,
        columns: list[ColumnProfile],
        words: re.Pattern[str],
    ) -> ColumnProfile:
        if name:
            return find_column(self._others, option, name)
        if len(columns) == 1:
            return columns[0]
        hinted = [profile for profile in columns if words.search(profile.name)]
        if len(hinted) == 1:
            return hinted[0]
        listed = describe_columns([profile.name for profile in self._others])
        raise TableRefused(f"{len(columns)} columns are candidates; pass {option}. {listed}")

    def _has_event_times(self) -> bool:
        """Return whether most times are not whole hours, which is typical of event timestamps."""
        if self._date.date_format is None or not self._date.date_format.has_time:
            return False
        odd = sum(
            not re.search(r"[T ,]\d{1,2}(?::00(?::00(?:[.,]0+)?)?)?(?!:)(?![\d.])", cell)
            for cell in self._date.cells
            if not cell.isdigit()
        )
        unix = [cell for cell in self._date.cells if cell.isdigit() and cell.startswith("1")]
        odd += sum(int(cell[:10]) % 3600 != 0 for cell in unix)
        return odd > len(self._date.cells) / 2

    def _is_repeated(self, rows_per_date: int) -> bool:
        """Return whether each date has many more rows than `rows_per_date`, as in event logs."""
        if self._has_event_times():
            return True
        dates = f"concat_ws(' ', c{self._date.position}"
        dates += f", c{self._time.position})" if self._time else ")"
        found = fetch_row(
            self._source.connection,
            f"SELECT count(*), approx_count_distinct({dates}) FROM source_rows",
        )
        return found is not None and found[0] >= MIN_REPEATS * rows_per_date * max(found[1], 1)
