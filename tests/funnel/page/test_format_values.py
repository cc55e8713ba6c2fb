"""Numbers of rows, with units."""

from __future__ import annotations

from metric_tracker_rl.page.format_values import format_field_with_unit


def test_numbers_of_rows_have_units() -> None:
    rate = {"entity_type": "conversion_rate"}
    assert format_field_with_unit("observed_value", 12.5, rate) == "12.5 %"
    assert format_field_with_unit("delta_value", -1.5, rate) == "-1.5 points"
    assert (
        format_field_with_unit("median_value", 1200, {"metric_name": "app_opens"}) == "1,200 events"
    )
    assert format_field_with_unit("sample_size", 28, {"metric_name": "app_opens"}) == "28"
    assert format_field_with_unit("suspicion_score", 2.5729, {}) == "2.6 times its threshold"
    assert format_field_with_unit("found", True, rate) == "yes"
