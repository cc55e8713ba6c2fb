"""Line charts: description, marks, gaps and escaped text."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from openenv_kit.page.components.line_chart import (
    ABOVE,
    BELOW,
    LineChart,
    ValueRange,
    chart_group_html,
    chart_legend_html,
    describe_chart,
    line_chart_html,
)

DATES = [f"2024-05-0{day}" for day in range(1, 6)]
CHART = LineChart(
    key="3",
    title="orders",
    unit="events per day",
    values=[10.0, 11.0, None, 30.0, None],
    format_value=lambda value: f"{value:,.0f}",
    usual=[10.0] * 5,
    ranges=[ValueRange(7.0, 13.0)] * 5,
    marks={3: ABOVE},
)


def path_of(html: str, name: str) -> str:
    found = re.search(f'class="{name}" d="([^"]*)"', html)
    return found[1] if found else ""


def test_legend_explains_only_what_is_drawn() -> None:
    plain = replace(CHART, usual=(), ranges=(), marks={}, values=[10.0] * 5)
    assert chart_legend_html([plain]) == ""
    with_lone_day = chart_legend_html([replace(plain, values=CHART.values)])
    assert re.findall("</i> ([^<]*)", with_lone_day) == ["value of a single day"]
    marked = replace(CHART, usual=(), values=[10.0, 11.0, 12.0, 30.0, None])
    html = chart_legend_html([plain, marked], "planned event")
    assert re.findall("</i> ([^<]*)", html) == [
        "normal range",
        "above the normal range",
        "planned event",
    ]


def test_sentence_names_known_days_extremes_and_marked_days() -> None:
    assert describe_chart(CHART, DATES) == (
        "orders, events per day: 3 of 5 days, from 10 to 30; Sat 4 May above the normal range."
    )
    inside = replace(CHART, values=[10.0] * 5, marks={})
    assert describe_chart(inside, DATES).endswith("every day inside the normal range.")
    unread = replace(CHART, values=[None] * 5, marks={})
    assert describe_chart(unread, DATES) == "orders, events per day: no day read yet."


def test_line_has_a_gap_where_a_day_is_not_known_and_a_dot_for_a_lone_day() -> None:
    html = line_chart_html(CHART, DATES)
    assert path_of(html, "line").count("M") == 2
    assert path_of(html, "line").count("L") == 1
    assert path_of(html, "dots").startswith("M70.0 ")
    assert path_of(html, "dots").count("M") == 1


def test_equal_ranges_and_usual_values_are_drawn_once() -> None:
    assert path_of(line_chart_html(CHART, DATES), "range").count("M") == 1
    changing = replace(CHART, usual=[10.0, 10.0, 12.0, 12.0, None])
    assert path_of(line_chart_html(changing, DATES), "usual").count("M") == 2


def test_value_of_each_day_is_there_for_hover_and_focus() -> None:
    html = unescape(line_chart_html(CHART, DATES, selected_day=3))
    assert '["10 · usual 10", "11 · usual 10", "not read yet · usual 10", "30 · usual 10"' in html
    assert "<span>30 · usual 10</span>" in html
    assert "<span></span>" in line_chart_html(CHART, DATES)


def test_mark_of_a_day_without_a_value_is_at_the_edge_that_it_points_to() -> None:
    html = line_chart_html(CHART, DATES)
    assert html.count("▲") == 1
    unknown = replace(CHART, values=[None] * 5, usual=(), ranges=(), marks={1: ABOVE, 2: BELOW})
    html = line_chart_html(unknown, DATES)
    assert re.findall("top:([0-9.]+)%", html) == ["12.0", "88.0"]
    assert "not read yet</p>" not in html
    assert "no value read yet; Thu 2 May above the normal range, Fri 3 May below" in html


def test_chart_without_values_is_an_empty_axis() -> None:
    html = line_chart_html(replace(CHART, values=[None] * 5, usual=(), ranges=(), marks={}), DATES)
    assert "not read yet</p>" in html
    assert "<path" not in html


def test_group_has_one_axis_and_a_table_of_all_values() -> None:
    html = chart_group_html("Daily counts", [CHART, replace(CHART, title="payments")], DATES)
    assert html.count('class="mt-axis"') == 1
    assert html.count("<figure") == 2
    assert html.count("30 ▲</td>") == 2
    assert html.count("–</td>") == 4


def test_text_is_escaped() -> None:
    evil = "<img src=x>"
    chart = replace(CHART, key=evil, title=evil, unit=evil, tag=evil, format_value=lambda _: evil)
    assert "<img" not in chart_group_html(evil, [chart], DATES, 1)


def test_unread_days_are_hatched_and_described() -> None:
    chart = LineChart("k", "orders", "events per day", [1.0, 2.0, 3.0], str, unread_days={1, 2})
    html = line_chart_html(chart, ["2024-01-01", "2024-01-02", "2024-01-03"])
    assert html.count('<i class="unread"') == 1
    assert 'style="left:33.33%;width:66.67%"' in html
    assert "of which the player had not read 2" in html
    assert chart.describe_day(1).endswith("not read")
    assert not chart.describe_day(0).endswith("not read")
