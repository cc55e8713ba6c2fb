"""Tables of rows and units, without a browser."""

from __future__ import annotations

from metric_tracker_rl.page.units import with_unit
from openenv_kit.page.rows import MAX_ROWS, Column, edited, editor_html


def test_a_table_of_rows_changes_by_what_the_page_may_send_and_by_nothing_else() -> None:
    columns, rows = [Column("date", "date"), Column("severity", "severity")], [{"date": "x"}, {}]
    assert edited(rows, columns, '[0, "date", " y "]') == ([{"date": "y"}, {}], 0)
    assert edited(rows, columns, '[2, "", "add"]') == ([{"date": "x"}, {}, {}], 2)
    assert edited(rows, columns, '[0, "", "drop"]') == ([{}], 0)
    for told in (
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
        assert edited(rows, columns, told) == (rows, -1), told
    full = [{} for _ in range(MAX_ROWS)]
    assert edited(full, columns, f'[{MAX_ROWS}, "", "add"]') == (full, -1)
    html = editor_html("e", [Column("date", "date", [("Monday", "x")])], rows, "Rows")
    assert html.count(" selected") == 2
    assert '<option value="strange" selected>' in editor_html(
        "e", [Column("date", "date", [("Monday", "x")])], [{"date": "strange"}], "Rows"
    )


def test_numbers_of_rows_have_units() -> None:
    rate = {"entity_type": "conversion_rate"}
    assert with_unit("observed_value", 12.5, rate) == "12.5 %"
    assert with_unit("delta_value", -1.5, rate) == "-1.5 points"
    assert with_unit("median_value", 1200, {"metric_name": "app_opens"}) == "1,200 events"
    assert with_unit("sample_size", 28, {"metric_name": "app_opens"}) == "28"
    assert with_unit("found", True, rate) == "yes"
