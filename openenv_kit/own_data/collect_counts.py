"""Aggregates the rows of a table into counts by time and stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.column_roles import ColumnRoles, TableShape
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.date_formats import DateFormat
from openenv_kit.own_data.locked_connection import fetch_row
from openenv_kit.own_data.number_formats import NumberReading, build_count_sql
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_table import TableSource
from openenv_kit.own_data.table_views import build_cells_sql, list_role_columns

SLOT_MINUTES = 15
"""Length of the slots in which events are counted. The UTC offset of every time zone is a multiple
of 15 minutes, so that each slot lies within one local hour."""
MAX_MOMENTS = 2_000_000
"""Largest number of combinations of time and stage in a table."""
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class MomentCounts:
    """Arrays with one entry for each combination of time and stage that has rows.

    Attributes:
        moment: time, to the second; in UTC if the date format is absolute, otherwise local.
        metric: index of the stage.
        row_count: number of rows.
        value_count: number of distinct counts in these rows.
        smallest: smallest of these counts.
        total: sum of these counts.
        last_row: number of the last of these rows, from 1.
    """

    moment: npt.NDArray[np.datetime64]
    metric: npt.NDArray[np.int64]
    row_count: npt.NDArray[np.int64]
    value_count: npt.NDArray[np.int64]
    smallest: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    last_row: npt.NDArray[np.int64]


def create_unique_rows(source: TableSource, roles: ColumnRoles) -> int:
    """Create the view `unique_rows`, which keeps the earliest of the rows with the same id.

    Returns:
        The number of rows that were left out.
    """
    connection = source.connection
    columns = list_role_columns(roles)
    if roles.id is None:
        connection.execute("CREATE TEMP VIEW unique_rows AS SELECT * FROM timed_rows")
        return 0
    fields = ", ".join(f"'{name}': {name}" for name in ("moment", *columns))
    names = ", ".join(("moment", *columns))
    has_id = "coalesce(id, '') <> ''"
    connection.execute(
        f"CREATE TEMP VIEW unique_rows AS SELECT row, unnest(kept) FROM (SELECT min(row) AS row, "
        f"min({{{fields}}}) AS kept FROM timed_rows WHERE {has_id} GROUP BY id) "
        f"UNION ALL SELECT row, {names} FROM timed_rows WHERE NOT {has_id}"
    )
    counted = fetch_row(
        connection,
        f"SELECT count(*) FILTER ({has_id}) - count(DISTINCT id) FILTER ({has_id}) FROM timed_rows",
    )
    return int(counted[0]) if counted is not None else 0


def collect_counts(
    source: TableSource, roles: ColumnRoles, reading: NumberReading, stage_texts: tuple[str, ...]
) -> MomentCounts:
    """Return the counts of the view `unique_rows` by time and stage.

    Raises:
        TableRefused: the table has no counts or too many distinct times, or it has one row per case
            and a flag that is neither 0 nor 1.
    """
    moment = "moment"
    if roles.shape.is_counted:
        moment = f"time_bucket(INTERVAL '{SLOT_MINUTES} minutes', moment) AS moment"
    count = build_count_sql(reading, "cell")
    cells = build_cells_sql(roles, "unique_rows", ("row", moment))
    relation = source.connection.sql(
        "SELECT epoch(moment)::BIGINT AS moment, metric, count(*) AS row_count, "
        "count(DISTINCT value) AS value_count, min(value) AS smallest, max(value) AS largest, "
        "sum(value)::BIGINT AS total, max(row) AS last_row "
        f"FROM (SELECT row, moment, metric, {count} AS value FROM ({cells})) "
        "WHERE value IS NOT NULL GROUP BY moment, metric ORDER BY moment, metric "
        f"LIMIT {MAX_MOMENTS + 1}"
    )
    found = {name: np.asarray(values) for name, values in relation.fetchnumpy().items()}
    if len(found["moment"]) > MAX_MOMENTS:
        raise TableRefused(
            f"The table has more than {MAX_MOMENTS:,} counts; aggregate it with --sql, by day or "
            "hour, or pass --event-column if each row is one event."
        )
    if not len(found["moment"]):
        raise TableRefused("The table has no counts; check --stages and --where.")
    if roles.shape is TableShape.CASES and found["largest"].max() > 1:
        position = int(np.argmax(found["largest"] > 1))
        raise TableRefused(
            f"{source.describe_row(int(found['last_row'][position]))}: a count above 1 in "
            f"{stage_texts[int(found['metric'][position])]}; a table with one row per case has "
            "only 0 and 1."
        )
    integers = {
        name: found[name].astype(np.int64)
        for name in ("metric", "row_count", "value_count", "smallest", "total", "last_row")
    }
    return MomentCounts(moment=found["moment"].astype("datetime64[s]"), **integers)


def is_daily(
    counts: MomentCounts, roles: ColumnRoles, date_format: DateFormat, options: ImportOptions
) -> bool:
    """Return whether the table has one row per day."""
    if not date_format.has_time:
        return True
    if roles.shape.is_counted:
        return False
    seconds = counts.moment.astype(np.int64) % SECONDS_PER_DAY
    if not seconds.any():
        return True
    local = convert_to_local_time(counts.moment, date_format, options).astype(np.int64)
    return not (local % SECONDS_PER_DAY).any()


def convert_to_local_time(
    moments: npt.NDArray[np.datetime64], date_format: DateFormat, options: ImportOptions
) -> npt.NDArray[np.datetime64]:
    """Convert UTC times to the user's time zone; times without an offset are already local."""
    if not date_format.is_absolute or options.timezone is None:
        return moments
    import pandas as pd

    local = pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(options.timezone)
    result: npt.NDArray[np.datetime64] = local.tz_localize(None).to_numpy().astype("datetime64[s]")
    return result


def find_clock_changes(
    hours: npt.NDArray[np.datetime64], timezone: str, *, repeated: bool
) -> npt.NDArray[np.bool_]:
    """Return an array that says for each local hour whether a clock change repeats or skips it.

    Args:
        hours: local times.
        timezone: name of the time zone.
        repeated: whether to find the hours that occur twice; otherwise those that are skipped.
    """
    import pandas as pd

    index = pd.DatetimeIndex(hours)
    if repeated:
        found = index.tz_localize(timezone, ambiguous="NaT", nonexistent="shift_forward").isna()
    else:
        every_hour = np.ones(len(hours), dtype=bool)
        found = index.tz_localize(timezone, ambiguous=every_hour, nonexistent="NaT").isna()
    return np.asarray(found, dtype=bool)


def merge_repeated_rows(
    source: TableSource,
    counts: MomentCounts,
    date_format: DateFormat,
    options: ImportOptions,
    other_texts: tuple[str, ...],
    actions: list[str],
) -> npt.NDArray[np.int64]:
    """Return one count for each entry of `counts`.

    With `--sum`, it is the sum of the rows with the same time and stage. Otherwise these rows must
    have equal counts, unless the clock change repeats their hour: their counts are then added.

    Args:
        source: the table.
        counts: counts of the table.
        date_format: format of the table's dates.
        options: the user's options; `sum_rows` and `timezone` are used.
        other_texts: names of the columns that an error message suggests for `--where`.
        actions: list to which a line for each kind of merged rows is appended.

    Raises:
        TableRefused: rows with the same time and stage have different counts.
    """
    if options.sum_rows:
        added = int((counts.row_count - 1).sum())
        if added:
            actions.append(f"{format_count(added, 'count')} added to another of the same date")
        return counts.total
    is_clock_change = np.zeros(len(counts.moment), dtype=bool)
    is_pair = counts.row_count == 2
    if is_pair.any() and date_format.has_time and not date_format.is_absolute:
        is_clock_change = is_pair & _find_repeated_hours(counts, options.timezone)
        if is_clock_change.any():
            days = len(np.unique(counts.moment[is_clock_change].astype("datetime64[D]")))
            actions.append(f"both rows of a repeated hour added on {format_count(days, 'day')}")
    differs = (counts.value_count > 1) & ~is_clock_change
    if differs.any():
        position = int(np.argmax(differs))
        column_names = ", ".join(other_texts)
        where = f"--where {other_texts[0]}=VALUE" if other_texts else "--where COLUMN=VALUE"
        columns = f" (text columns: {column_names})" if other_texts else ""
        moment = str(counts.moment[position]).replace("T", " ")
        date_text = moment if date_format.has_time else moment[:10]
        raise TableRefused(
            f"{source.describe_row(int(counts.last_row[position]))}: {date_text} has "
            f"{counts.row_count[position]} rows with {counts.value_count[position]} different "
            f"counts; pass {where} to select one{columns}, or --sum to add them up."
        )
    is_repeated = (counts.row_count > 1) & ~is_clock_change
    if is_repeated.any():
        repeated = int((counts.row_count[is_repeated] - 1).sum())
        actions.append(f"{format_count(repeated, 'repeated count')} with equal values left out")
    return np.where(is_clock_change, counts.total, counts.smallest)


def _find_repeated_hours(counts: MomentCounts, timezone: str | None) -> npt.NDArray[np.bool_]:
    """Return an array that says for each time whether a clock change repeats its hour.

    If no time zone is given, an hour from 0 to 3 o'clock counts as repeated if it has two rows and
    no other such hour of the same year has two rows.
    """
    if timezone is not None:
        return find_clock_changes(counts.moment, timezone, repeated=True)
    seconds = counts.moment.astype(np.int64) % SECONDS_PER_DAY
    is_candidate = (counts.row_count == 2) & (seconds < 4 * 3600)
    years = counts.moment.astype("datetime64[Y]")
    days = counts.moment.astype("datetime64[D]")
    result = np.zeros(len(years), dtype=bool)
    for year in np.unique(years[is_candidate]):
        in_year = is_candidate & (years == year)
        # A second hour or a second day would be repeated rows, not a clock change.
        if len(np.unique(days[in_year])) == 1 and len(np.unique(seconds[in_year])) == 1:
            result |= in_year
    return result
