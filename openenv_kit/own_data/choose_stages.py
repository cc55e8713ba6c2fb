"""Lists the stages of a table: its count columns or the texts of its metric column."""

from __future__ import annotations

from openenv_kit.errors import find_nearest_name
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.column_profiles import MAX_METRICS
from openenv_kit.own_data.column_roles import ColumnRoles
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_table import TableSource
from openenv_kit.own_data.table_views import IS_DROPPED


def list_stage_texts(
    source: TableSource, roles: ColumnRoles, options: ImportOptions, max_stages: int
) -> tuple[str, ...]:
    """Return the names of the stages as they are spelled in the table.

    The order is that of `--stages`. Without this option, it is the order of the count columns, or
    the alphabetical order of the texts in the metric column.

    Raises:
        TableRefused: a stage does not occur in the table, or the metric column has more than
            `max_stages` distinct texts.
    """
    if roles.metric is None:
        return tuple(source.columns[position] for position in roles.stages)
    found = source.connection.execute(
        f"SELECT DISTINCT trim(c{roles.metric}) AS name FROM dated_rows "
        f"WHERE NOT {IS_DROPPED} AND trim(c{roles.metric}) <> '' "
        f"ORDER BY name LIMIT {MAX_METRICS * 20}"
    ).fetchall()
    names = [row[0] for row in found]
    column = source.columns[roles.metric] or "without a name"
    if not options.stages:
        if len(names) > max_stages:
            raise TableRefused(
                f"The column {column} has {len(names)} different texts; name the stages in funnel "
                "order with --stages."
            )
        return tuple(names)
    for stage in options.stages:
        if stage not in names:
            nearest = find_nearest_name(
                stage, [name for name in names if name not in options.stages]
            )
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            raise TableRefused(f"--stages {stage}: not in the column {column}.{hint}")
    return options.stages
