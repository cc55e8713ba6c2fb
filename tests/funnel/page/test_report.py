"""The report editor and the guide of the funnel."""

from __future__ import annotations

import json
import re

import pytest

from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.page.visible_state import rebuild_episode_from_reset_arguments
from metric_tracker_rl.page.words import REASON_BY_TOOL, explain_rule_of_row
from openenv_kit.page.begin_episode import begin_episode
from openenv_kit.page.components.elements import format_short_date
from openenv_kit.page.environment_view import EnvironmentView, NextStepHint
from openenv_kit.page.tabs import play
from openenv_kit.page.visitor import Visitor
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


def follow_suggestions(view: EnvironmentView, visitor: Visitor) -> list[NextStepHint]:
    """Do what the page suggests until the episode ends; return the suggestions."""
    hints = []
    while not visitor.is_done:
        hint = view.suggest_next_step(visitor)
        hints.append(hint)
        if hint.event == "ask":
            play._call_suggested_tool_or_ask_before_end(view, visitor, hint.value)
        elif hint.event == "apply_report":
            play._apply_suggested_report(view, visitor, None)
        else:
            assert hint.event == "submit"
            play._submit_report_or_ask_if_faulty(view, visitor, None)
    return hints


@pytest.mark.parametrize("level", ["easy", "medium", "hard", "expert"])
def test_following_the_suggestions_on_the_page_scores_one(
    funnel_view: EnvironmentView, level: str
) -> None:
    for seed in range(3):
        visitor = Visitor(funnel_view.environment)
        begin_episode(funnel_view, visitor, {"difficulty": level, "seed": seed})
        follow_suggestions(funnel_view, visitor)
        assert visitor.last_observation["reward"] == 1.0


def test_suggested_report_is_the_difference_to_the_rows_with_the_rule_behind_each(
    funnel_view: EnvironmentView,
) -> None:
    visitor = start_visitor(funnel_view)
    expected = expected_rows_of(visitor)
    extra = {**expected[0], "entity_name": "payment_successful", "entity_type": "event_count"}
    visitor.report_rows = [{**expected[0], "severity": "low"}, extra]
    hint = next(
        hint for hint in follow_suggestions(funnel_view, visitor) if hint.event == "apply_report"
    )
    changes = re.findall('<i aria-hidden="true">(.)</i><span>(.*?) <b>', hint.details_html)
    assert [sign for sign, _ in changes] == ["+"] * (len(expected) - 1) + ["±", "−"]
    assert ("±", "change severity of") in changes
    assert hint.details_html.count("<small>Rule ") == len(expected)
    assert "<p>(4) A step moved:" in hint.details_html


def test_every_tool_that_a_reference_policy_calls_has_a_reason_in_words(
    funnel_view: EnvironmentView,
) -> None:
    assert set(REASON_BY_TOOL) <= set(funnel_view.environment.tools.tool_names)
    for mode in ({}, {"profile": "lean"}, {"disclosure": "raw"}):
        visitor = start_visitor(funnel_view, difficulty="expert", seed=1, max_steps=200, **mode)
        for _ in range(40):
            hint = funnel_view.suggest_next_step(visitor)
            if hint.event != "ask" or not hint.label.startswith("Run"):
                break
            _, arguments = json.loads(hint.value)
            day = format_short_date(arguments.get("date", ""))
            assert hint.text in [text.format(day=day) for text in REASON_BY_TOOL.values()], hint
            play._call_suggested_tool_or_ask_before_end(funnel_view, visitor, hint.value)


def test_suggestion_to_read_a_day_names_its_date(funnel_view: EnvironmentView) -> None:
    visitor = start_visitor(funnel_view, task_id=TASK)
    texts = {}
    for hint in follow_suggestions(funnel_view, visitor):
        if hint.label.startswith("Run"):
            tool, arguments = json.loads(hint.value)
            texts[tool] = (hint.text, arguments)
    text, arguments = texts["rows_for_date"]
    assert text.startswith(f"{format_short_date(arguments['date'])} is outside its normal range.")


def test_rule_about_a_composite_rate_names_its_steps_and_no_direction() -> None:
    row = {"entity_type": "conversion_rate", "entity_name": "app_open_to_order_placed"}
    text = explain_rule_of_row(row, ORDERING_APP)
    assert "a change that no single step shows" in text
    assert "app open → menu open; menu open → product added to cart; product added" in text
    assert "order placed → payment" not in text
    assert "leak" not in text


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
        shown = funnel_view.overview_html(visitor.playback_steps, visitor.reset)
        assert (f'<td class="num">{count:,}' in shown) is tells
