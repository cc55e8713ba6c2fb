"""Readable names of tools, fields and replies."""

from __future__ import annotations

import pytest

from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.tabs import play_views
from support.visitors import start_visitor


@pytest.mark.parametrize(
    ("tool", "arguments", "finding"),
    [
        ("task_overview", {}, "rules and thresholds"),
        ("rows_for_date", {"date": "2022-06-02"}, "5 counts and 6 rates of Thu 2 Jun"),
        ("detect_funnel_break", {"date": "2022-06-02"}, "no steps with a large drop"),
        ("get_metric_median", {}, "11 series"),
    ],
)
def test_finding_of_a_step_is_in_words(
    funnel_view: EnvironmentView, tool: str, arguments: dict[str, str], finding: str
) -> None:
    visitor = start_visitor(funnel_view, task_id="easy_single_spike")
    visitor.call_tool(tool, arguments)
    assert funnel_view.finding_text(visitor.last_observation) == finding


def test_every_tool_with_a_form_has_a_title_without_its_technical_name(
    funnel_view: EnvironmentView,
) -> None:
    visitor = start_visitor(funnel_view, task_id="easy_single_spike")
    html = play_views.tools_html(funnel_view, visitor)
    assert "Counts and rates of a day</button>" in html
    tools = play_views.list_tools_with_form(funnel_view, visitor)
    assert {tool.name for tool in tools} <= set(funnel_view.tool_titles)
