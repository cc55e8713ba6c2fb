"""Bar charts: heights, description and usual values."""

from __future__ import annotations

import re

from openenv_kit.page.components.bar_chart import (
    BarChart,
    ComparedBar,
    bar_chart_html,
    compared_bars_html,
)

CHART = BarChart("opens", ["0:00", "1:00", "2:00"], [5.0, 20.0, 10.0], "{:.0f}".format, [1])


def test_highest_bar_fills_the_chart_and_is_named_in_the_sentence() -> None:
    html = bar_chart_html(CHART)
    assert 'aria-label="opens: highest at 1:00 with 20."' in html
    heights = [float(each) for each in re.findall(r"v(-[\d.]+)h", html)]
    assert heights == [-15.0, -30.0, -60.0]


def test_emphasized_bars_have_their_own_shape() -> None:
    html = bar_chart_html(CHART)
    (strong,) = re.findall('class="strong" d="([^"]*)"', html)
    assert strong.count("M") == 1
    assert strong.startswith("M1.14 ")


def test_every_value_is_in_the_table_and_for_hover() -> None:
    html = bar_chart_html(CHART)
    assert html.count('<td class="num">') == 3
    assert "2:00: 10" in html


def test_bar_and_usual_value_share_one_scale() -> None:
    bars = [ComparedBar("a", 50.0, 100.0, "50"), ComparedBar("b", None, None, "–")]
    html = compared_bars_html("Funnel", bars, "nothing read")
    assert 'class="usual" width="100.00%"' in html
    assert 'class="value" y="22%" width="50.00%"' in html
    assert html.count("<rect") == 2


def test_chart_without_values_says_what_to_do() -> None:
    html = compared_bars_html("Funnel", [ComparedBar("a", None, 3.0, "–")], "Read the <day>.")
    assert "Read the &lt;day&gt;." in html
    assert "<svg" not in html
