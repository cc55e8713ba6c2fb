"""The forms in which rows of a report are edited."""

from __future__ import annotations

import re
from collections.abc import Sequence

from openenv_kit.page.components.row_editor import (
    MAX_ROWS,
    EditorColumn,
    EditorRow,
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


class Report:
    """Texts of a report whose rows need a date."""

    columns: Sequence[EditorColumn] = [EditorColumn("date", "date", [("Monday", "x")])]

    def format_row_title(self, row: EditorRow) -> str:
        return f"row of {row.get('date', '<none>')}"

    def explain_why_row_cannot_be_submitted(self, row: EditorRow) -> str:
        return "" if row.get("date") else "date is empty"


def test_row_with_a_problem_is_unfolded_and_says_it() -> None:
    html = row_editor_html("e", Report(), [{"date": "x"}, {}])
    assert html.count("<details") == 2
    assert re.findall('data-keep="row (.)" open>', html) == ["1"]
    assert html.count("date is empty") == 1
    assert "row of &lt;none&gt;" in html
    assert html.count(" data-empty") == 1
    assert html.count(" selected") == 2


def test_value_that_a_drop_down_does_not_offer_is_kept() -> None:
    html = row_editor_html("e", Report(), [{"date": "strange"}])
    assert '<option value="strange" selected>' in html
