"""The waterfall of a score."""

from __future__ import annotations

from openenv_kit.page.components.waterfall import ScorePart, waterfall_chart_html


def test_a_waterfall_never_leaves_its_axis() -> None:
    html = waterfall_chart_html(
        [ScorePart("<b>", 0.4, "x"), ScorePart("y", -0.9, "z")], 0.0, "never below 0"
    )
    assert "left:0.00%;width:40.00%" in html
    assert html.count("left:0.00%") == 3
    assert "&lt;b&gt;" in html
