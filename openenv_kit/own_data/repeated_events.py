"""Finds repeated events, and rejects an id column whose values do not identify events."""

from __future__ import annotations

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.column_roles import ColumnRoles
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.detect_shape import ID_WORDS
from openenv_kit.own_data.locked_connection import fetch_row
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_table import TableSource
from openenv_kit.own_data.table_views import IS_DROPPED, list_role_columns

MAX_OTHER_EVENT_SHARE = 0.01
MAX_OTHER_CONTENT_SHARE = 0.2
"""Largest share of the rows that may share their id with a row of another event, or of another time
or count. Exports have a few such rows; if there are more, the column identifies something else."""


def refuse_unsuitable_id_column(
    source: TableSource, roles: ColumnRoles, options: ImportOptions
) -> None:
    """Reject an id column whose ids are shared by several events, such as a column of user ids.

    Raises:
        TableRefused: too many rows share their id with a row of another event, time or count.
    """
    if roles.id is None:
        return
    names = ("moment", *list_role_columns(roles))
    content = "{" + ", ".join(f"'{name}': {name}" for name in names) + "}"
    event = "0" if roles.metric is None else f"c{roles.metric}"
    found = fetch_row(
        source.connection,
        "SELECT sum(rows), sum(rows - 1), sum(rows) FILTER (has_events), "
        "sum(rows) FILTER (has_contents) FROM (SELECT count(*) AS rows, "
        f"min({event}) <> max({event}) AS has_events, "
        f"min({content}) <> max({content}) AS has_contents "
        "FROM timed_rows WHERE coalesce(id, '') <> '' GROUP BY id)",
    )
    total, left_out, other_events, other_contents = (
        int(value or 0) for value in found or (0, 0, 0, 0)
    )
    if other_events > MAX_OTHER_EVENT_SHARE * total:
        difference = "event"
    elif other_contents > MAX_OTHER_CONTENT_SHARE * total:
        difference = "time or counts"
    else:
        return
    raise TableRefused(
        f"--id-column {options.id_column}: rows with one id differ in their {difference}, and "
        f"{left_out:,} of {format_count(total, 'row')} would be left out; pass the column that "
        f"identifies {'an event' if roles.shape.is_counted else 'a row'}."
    )


def describe_repeated_events(source: TableSource, roles: ColumnRoles) -> str:
    """Return a note about rows that are counted although they are copies of another row.

    Returns:
        A sentence that names the id column; empty if no row is repeated, no column identifies the
        rows, or an id column is already used.
    """
    candidates = [
        position
        for position, name in enumerate(source.columns)
        if ID_WORDS.search(name) and position not in (roles.metric, *roles.stages)
    ]
    if roles.id is not None or not roles.shape.is_counted or not candidates:
        return ""
    contents = ", ".join(f"c{position}" for position in range(len(source.columns)))
    id_counts = ", ".join(f"count(DISTINCT c{position})" for position in candidates)
    is_stage = "true"
    if roles.metric is not None:
        is_stage = f"trim(c{roles.metric}) IN (SELECT name FROM stage_names)"
    # Hashes take a fraction of the memory of the rows.
    found = fetch_row(
        source.connection,
        f"SELECT count(*), count(DISTINCT hash({contents})), {id_counts} FROM dated_rows "
        f"WHERE NOT {IS_DROPPED} AND {is_stage}",
    )
    total, distinct, *distinct_ids = found if found is not None else (0, 0)
    identifying = [
        source.columns[position]
        for position, ids in zip(candidates, distinct_ids, strict=True)
        if ids == distinct
    ]
    repeated = total - distinct
    if not repeated or not identifying:
        return ""
    verb, pronoun = ("was", "it") if repeated == 1 else ("were", "them")
    return (
        f"{format_count(repeated, 'repeated row')} {verb} counted; pass --id-column "
        f"{identifying[0]} to leave {pronoun} out."
    )
