"""The table in which rows of a report are edited."""

from __future__ import annotations

from openenv_kit.page.components.row_editor import (
    MAX_ROWS,
    EditorColumn,
    apply_row_edit_if_valid,
    row_editor_html,
)


def test_a_table_of_rows_changes_by_what_the_page_may_send_and_by_nothing_else() -> None:
    columns, rows = (
        [EditorColumn("date", "date"), EditorColumn("severity", "severity")],
        [{"date": "x"}, {}],
    )
    assert apply_row_edit_if_valid(rows, columns, '[0, "date", " y "]') == ([{"date": "y"}, {}], 0)
    assert apply_row_edit_if_valid(rows, columns, '[2, "", "add"]') == ([{"date": "x"}, {}, {}], 2)
    assert apply_row_edit_if_valid(rows, columns, '[0, "", "drop"]') == ([{}], 0)
    for change in (
        None,
        "",
        "3",
        "[0]",
        '[2, "date", "y"]',
        '[-1, "date", "y"]',
        '[0, "gone", "y"]',
        '[0, "date", 3]',
        '["0", "date", "y"]',
        '[5, "", "drop"]',
        "[" * 100_000,
    ):
        assert apply_row_edit_if_valid(rows, columns, change) == (rows, -1), change
    full = [{} for _ in range(MAX_ROWS)]
    assert apply_row_edit_if_valid(full, columns, f'[{MAX_ROWS}, "", "add"]') == (full, -1)
    html = row_editor_html("e", [EditorColumn("date", "date", [("Monday", "x")])], rows, "Rows")
    assert html.count(" selected") == 2
    assert '<option value="strange" selected>' in row_editor_html(
        "e", [EditorColumn("date", "date", [("Monday", "x")])], [{"date": "strange"}], "Rows"
    )
