"""Creates SQL views of a table's rows: with dates as text, and with one row for each count."""

from __future__ import annotations

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.column_profiles import describe_columns
from openenv_kit.own_data.column_roles import ColumnRoles, TableShape
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_table import TableSource

DROPPED_DATES = (
    *("", "total", "totals", "grand total", "sum", "summe", "gesamt", "(not set)"),
    *("null", "nan", "none", "nat"),
)
"""Texts (in lower case) in a date column that mark rows to ignore, such as totals."""

IS_DROPPED = "lower(date_text) IN (" + ", ".join(f"'{text}'" for text in DROPPED_DATES) + ")"


def create_dated_rows(source: TableSource, roles: ColumnRoles, options: ImportOptions) -> None:
    """Create the view or table `dated_rows` of the rows that match `--where`.

    Its column `date_text` contains the date as text. A row of a pivoted table becomes one row for
    each date, with the column `value`.

    Raises:
        TableRefused: a column of `--where` does not exist.
    """
    connection = source.connection
    connection.execute("CREATE TEMP TABLE row_filters (position INTEGER, value VARCHAR)")
    conditions = ["true"]
    for number, row_filter in enumerate(options.where):
        if row_filter.column not in source.columns:
            listed = describe_columns(list(source.columns))
            raise TableRefused(f"--where {row_filter.column}: no column has this name. {listed}")
        column = source.columns.index(row_filter.column)
        connection.execute("INSERT INTO row_filters VALUES ($1, $2)", [number, row_filter.value])
        conditions.append(
            f"coalesce(trim(c{column}), '') = "
            f"(SELECT value FROM row_filters WHERE position = {number})"
        )
    selected = " AND ".join(conditions)
    if roles.shape is TableShape.PIVOTED:
        connection.execute("CREATE TEMP TABLE date_headers (position INTEGER, header VARCHAR)")
        connection.execute(
            "INSERT INTO date_headers SELECT unnest($1), unnest($2)",
            [list(roles.date_headers), [source.columns[p] for p in roles.date_headers]],
        )
        cells = ", ".join(f"c{position}" for position in roles.date_headers)
        headers = "(SELECT list(header ORDER BY position) FROM date_headers)"
        headers_set = set(roles.date_headers)
        others = (p for p in range(len(source.columns)) if p not in headers_set)
        kept = ", ".join(f"c{position}" for position in others)
        query = (
            f"SELECT row, {kept}, unnest([{cells}]) AS value, unnest({headers}) AS date_text "
            f"FROM source_rows WHERE {selected}"
        )
    else:
        date = f"coalesce(trim(c{roles.date}), '')"
        if roles.time is not None:
            time = f"coalesce(trim(c{roles.time}), '')"
            date = f"CASE WHEN {date} = '' THEN '' ELSE trim({date} || ' ' || {time}) END"
        query = f"SELECT *, {date} AS date_text FROM source_rows WHERE {selected}"
    # A view would plan the query over thousands of columns again each time it is used.
    kind = "TABLE" if roles.shape is TableShape.PIVOTED else "VIEW"
    connection.execute(f"CREATE TEMP {kind} dated_rows AS {query}")


def list_role_columns(roles: ColumnRoles) -> list[str]:
    """Return the columns of `dated_rows` that are needed for counting, without the row id."""
    columns = [f"c{position}" for position in roles.stages]
    if roles.metric is not None:
        columns.append(f"c{roles.metric}")
    if roles.value is not None:
        columns.append(f"c{roles.value}")
    if roles.shape is TableShape.PIVOTED:
        columns.append("value")
    return columns


def create_stage_names(source: TableSource, names: tuple[str, ...]) -> None:
    """Create the table `stage_names` with the index and the name of each stage."""
    connection = source.connection
    connection.execute("CREATE TEMP TABLE stage_names (metric INTEGER, name VARCHAR)")
    connection.execute(
        "INSERT INTO stage_names SELECT unnest($1), unnest($2)",
        [list(range(len(names))), list(names)],
    )


def build_cells_sql(roles: ColumnRoles, relation: str, columns: tuple[str, ...]) -> str:
    """Return a SELECT statement with one row for each cell that contains a count.

    Args:
        roles: roles of the table's columns.
        relation: view of the table's rows.
        columns: columns of the view to keep, such as `row`.

    Returns:
        A query with the kept columns, `metric` (index of the stage) and `cell` (text of the count).
    """
    kept = ", ".join(columns)
    if roles.shape in (TableShape.WIDE, TableShape.CASES):
        cells = ", ".join(f"c{position}" for position in roles.stages)
        return (
            f"SELECT {kept}, unnest(range({len(roles.stages)})) AS metric, "
            f"unnest([{cells}]) AS cell FROM {relation}"
        )
    cell = {
        TableShape.LONG: f"c{roles.value}",
        TableShape.PIVOTED: "value",
        TableShape.EVENTS: "'1'",
    }[roles.shape]
    return (
        f"SELECT {kept}, metric, {cell} AS cell FROM {relation} "
        f"JOIN stage_names ON trim(c{roles.metric}) = name"
    )
