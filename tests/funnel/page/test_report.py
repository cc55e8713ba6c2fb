"""The report editor and the guide of the funnel."""

from __future__ import annotations

from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.page.metric_map.map_html import rebuild_episode_from_reset_arguments
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.tabs import play
from support.visitors import TASK, expected_rows_of, report_editor_of, start_visitor


def test_every_expected_row_is_offered_by_the_tool_that_shows_it(
    funnel_view: EnvironmentView,
) -> None:
    for task in TASKS:
        visitor = start_visitor(funnel_view, task_id=task)
        for row in expected_rows_of(visitor):
            arguments = {"date": row["date"]}
            if row["detection_method"].startswith("compare"):
                arguments["entity_name"] = row["entity_name"]
            visitor.call_tool(row["detection_method"], arguments)
            assert row in report_editor_of(funnel_view, visitor).suggested_rows()


def test_suggested_row_contains_only_values_from_results(
    funnel_view: EnvironmentView,
) -> None:
    visitor = start_visitor(funnel_view)
    row = next(each for each in expected_rows_of(visitor) if each["entity_type"] == "event_count")
    place = {name: row[name] for name in ("date", "entity_type", "entity_name")}
    before = report_editor_of(funnel_view, visitor).fill_row_from_known_values(place)
    assert before == {**place, "detection_method": row["detection_method"]}
    visitor.call_tool("rows_for_date", {"date": row["date"]})
    assert "observed_value" not in report_editor_of(
        funnel_view, visitor
    ).fill_row_from_known_values(place), "its median is not known yet"
    visitor.call_tool("get_metric_median", {"metric_name": row["entity_name"]})
    assert report_editor_of(funnel_view, visitor).fill_row_from_known_values(place) == row


def test_the_guide_of_the_funnel_leads_to_a_row_of_the_report(funnel_view: EnvironmentView) -> None:
    visitor = start_visitor(funnel_view)
    for _ in range(12):
        move = play.choose_next_step_hint(funnel_view, visitor)
        if move.event == "ask":
            play._call_suggested_tool_or_ask_before_end(funnel_view, visitor, move.value)
        elif move.event == "pick":
            play._set_overview_selection(visitor, move.value)
    assert move.label == "Go to the rows it points to"
    assert report_editor_of(funnel_view, visitor).suggested_rows()


def test_report_counts_appear_only_after_the_end(funnel_view: EnvironmentView) -> None:
    for reset, over, tells in (
        ({}, False, False),
        ({}, True, True),
        ({"feedback": "score"}, True, False),
    ):
        visitor = start_visitor(funnel_view, task_id=TASK, **reset)
        if over:
            visitor.take_step(report_editor_of(funnel_view, visitor).build_submit_action([]))
        count = rebuild_episode_from_reset_arguments(visitor.reset).episode.daily.iloc[12, 0]
        assert (f"{count:,} events" in funnel_view.details_html(visitor)) is tells
