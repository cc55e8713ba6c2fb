"""Decides how the numbers of a table are read, and rejects tables that contain no counts."""

from __future__ import annotations

from openenv_kit.errors import truncated_repr
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.column_roles import ColumnRoles, TableShape
from openenv_kit.own_data.number_formats import (
    MAX_COUNT,
    NumberForm,
    NumberProblem,
    NumberReading,
    build_trimmed_sql,
    choose_reading,
)
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.read_table import TableSource
from openenv_kit.own_data.table_views import IS_DROPPED, build_cells_sql

MAX_FORMS = 500
MARK_NAMES = {" ": "space", "'": "apostrophe"}


def decide_number_reading(
    source: TableSource,
    roles: ColumnRoles,
    options: ImportOptions,
    stage_texts: tuple[str, ...],
    actions: list[str],
) -> NumberReading:
    """Return the thousands mark and the decimal mark of a table's counts.

    Args:
        source: the table.
        roles: roles of its columns.
        options: the user's options; `thousands` and `decimal` are used.
        stage_texts: names of the stages.
        actions: list to which a line is appended if another reading was possible.

    Raises:
        TableRefused: the numbers are not counts, or can be read in two ways.
    """
    if roles.shape is TableShape.EVENTS:
        return NumberReading("", "")
    forms = _list_number_forms(source, roles)
    if not forms:
        raise TableRefused("The count columns are empty; pass --stages or --value-column.")
    decision = choose_reading(forms, thousands=options.thousands, decimal=options.decimal)
    if decision.form is not None:
        place = f"{source.describe_row(decision.form.first_row)}: "
        cell = truncated_repr(decision.form.example)
        if decision.problem is NumberProblem.AMBIGUOUS:
            mark = "." if "." in decision.form.example else ","
            raise TableRefused(
                f"{place}{cell} can have a thousands mark or a decimal mark, as in every row; "
                f"pass --thousands {mark} or --decimal {mark} to choose."
            )
        raise TableRefused(
            f"{place}{cell} in {stage_texts[decision.form.metric]} is not a count; counts are "
            "whole numbers of at least 0. Choose other columns with --stages or --value-column."
        )
    for form in forms:
        if sum(character == "9" for character in form.shape) > len(str(MAX_COUNT)):
            raise TableRefused(
                f"{source.describe_row(form.first_row)}: {truncated_repr(form.example)} in "
                f"{stage_texts[form.metric]} is above {MAX_COUNT:,}; is the column an identifier?"
            )
    if decision.has_alternative:
        marks = [
            f"{MARK_NAMES.get(mark, mark)} as {name} mark"
            for name, mark in (
                ("thousands", decision.reading.thousands),
                ("decimal", decision.reading.decimal),
            )
            if mark
        ]
        actions.append(
            f"numbers read with {' and '.join(marks)}: the only reading with whole numbers "
            "throughout"
        )
    if roles.shape is TableShape.CASES:
        _refuse_other_than_flags(source, forms, stage_texts)
    return decision.reading


def _list_number_forms(source: TableSource, roles: ColumnRoles) -> list[NumberForm]:
    kept_rows = f"(SELECT * FROM dated_rows WHERE NOT {IS_DROPPED})"
    found = source.connection.execute(
        "SELECT shape, is_zero, min(row) AS first, arg_min(text, row), arg_min(metric, row) FROM ("
        "SELECT row, metric, text, regexp_matches(text, '[.,]0+$') AS is_zero, "
        "translate(left(text, 60), '0123456789', '9999999999') AS shape FROM ("
        f"SELECT row, metric, {build_trimmed_sql('cell')} AS text FROM "
        f"({build_cells_sql(roles, kept_rows, ('row',))})) WHERE text IS NOT NULL) "
        f"GROUP BY shape, is_zero ORDER BY first, shape LIMIT {MAX_FORMS}"
    ).fetchall()
    return [NumberForm(*row) for row in found]


def _refuse_other_than_flags(
    source: TableSource, forms: list[NumberForm], stage_texts: tuple[str, ...]
) -> None:
    # Single digits are checked by `collect_counts`, because 0 and 7 have the same form.
    for form in forms:
        if len(form.shape) > 1:
            raise TableRefused(
                f"{source.describe_row(form.first_row)}: {truncated_repr(form.example)} in "
                f"{stage_texts[form.metric]}; a table with one row per case has only 0 and 1."
            )
