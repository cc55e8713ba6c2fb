"""Actions of a visitor, without a browser."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Mapping
from functools import partial
from html import unescape
from typing import Any, ClassVar
from unittest.mock import Mock

import gradio as gr
import pytest

from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from metric_tracker_rl.page.report import FunnelReport
from metric_tracker_rl.page.visible_state import rebuild_episode_from_reset_arguments
from openenv_kit.environment import Environment, get_environment
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.errors import KitError, ServerError
from openenv_kit.page import layout, page_address
from openenv_kit.page.environment_view import EnvironmentView, get_environment_view_or_default
from openenv_kit.page.events import Page
from openenv_kit.page.page_address import choose_unseen_task_reset
from openenv_kit.page.playback import create_playback_that_checks_recording
from openenv_kit.page.tabs import play, play_views
from openenv_kit.page.visitor import ConfirmationRequired, Visitor, create_limited_in_process_client
from openenv_kit.recordings.format import parse_runs_until_error
from support.visitors import TASK, expected_rows_of, report_editor_of, start_visitor

NAMES = ["metric_tracker_rl", "drilldown", "firewatch"]


def whole_page(view: EnvironmentView) -> Page:
    with gr.Blocks() as blocks:
        return layout.build_page(view, blocks)


def shown(page: Page, visitor: Visitor) -> str:
    """All that the page could send about a visitor."""
    return unescape(
        "".join(view.render(page.environment_view, visitor) for view in page.views.values())
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"severity": ""}, "severity is empty"),
        ({"observed_value": "many"}, "observed (events, % or share) is not a number"),
        ({"observed_value": -5}, "observed (events, % or share) is below 0"),
        ({"delta_value": -5}, ""),
    ],
)
def test_incomplete_report_needs_a_confirmation(
    funnel_view: EnvironmentView, changes: dict[str, Any], said: str
) -> None:
    visitor = start_visitor(funnel_view)
    visitor.report_rows = [{**expected_rows_of(visitor)[0], **changes}]
    assert (
        report_editor_of(funnel_view, visitor).explain_why_row_cannot_be_submitted(
            visitor.report_rows[0]
        )
        == said
    )
    if not said:
        play._submit_report_or_ask_if_faulty(funnel_view, visitor, None)
        assert visitor.is_done
        return
    with pytest.raises(ConfirmationRequired, match="Row 1: ") as asked:
        play._submit_report_or_ask_if_faulty(funnel_view, visitor, None)
    assert not visitor.is_done
    asked.value.on_confirm(visitor)
    assert visitor.is_done


def test_duplicate_row_and_empty_report_need_a_confirmation(
    funnel_view: EnvironmentView,
) -> None:
    visitor = start_visitor(funnel_view)
    with pytest.raises(ConfirmationRequired, match="nothing was wrong"):
        play._submit_report_or_ask_if_faulty(funnel_view, visitor, None)
    visitor.report_rows = 2 * expected_rows_of(visitor)[:1]
    with pytest.raises(ConfirmationRequired, match="in the report twice"):
        play._submit_report_or_ask_if_faulty(funnel_view, visitor, None)


def test_a_call_that_ends_the_episode_is_asked_about_and_what_would_have_helped_is_told() -> None:
    view = get_environment_view_or_default(get_environment("firewatch"))
    visitor = start_visitor(view, **choose_unseen_task_reset(view, Visitor(view.environment)))
    with pytest.raises(ConfirmationRequired, match="this ends the episode") as asked:
        play._call_suggested_tool_or_ask_before_end(view, visitor, '["declare_resolved", {}]')
    assert not visitor.is_done
    asked.value.on_confirm(visitor)
    assert visitor.is_done
    assert "What would have mended it" in view.score_explanation_html(
        visitor.playback_steps, visitor.reset
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_example_on_the_first_screen_is_never_the_episode_that_a_button_starts(name: str) -> None:
    view = get_environment_view_or_default(get_environment(name))
    assert view.example_html
    assert 'class="mt-btn' not in view.example_html
    visitor, seen = Visitor(view.environment), {view.example_task_id}
    for _ in range(70):
        reset = choose_unseen_task_reset(view, visitor)
        task = reset.get("task_id") or json.dumps(reset)
        assert task not in seen
        seen.add(task)
        visitor.finished_task_ids.append(task)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_visitor_who_comes_back_has_all_that_they_left(name: str) -> None:
    view = get_environment_view_or_default(get_environment(name))
    visitor = start_visitor(view, **choose_unseen_task_reset(view, Visitor(view.environment)))
    for _ in range(6):
        move = view.suggest_next_step(visitor)
        if move.event == "ask" and not visitor.is_done:
            play._call_suggested_tool_or_ask_before_end(view, visitor, move.value)
        elif move.event == "pick":
            play._set_overview_selection(visitor, move.value)
    visitor.report_rows = [{"date": "a day"}]
    assert visitor.step_count > 0
    again = Visitor(view.environment)
    assert again.restore_saved_episode(visitor.to_saved_json())
    page = whole_page(view)
    untimed = [re.sub(r"\d+\.\d ms", "", shown(page, each)) for each in (visitor, again)]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", '{"reset": 3}', '{"reset": {"task_id": "none"}, "actions": []}']
)
def test_visitor_ignores_invalid_saved_state(funnel_view: EnvironmentView, kept: str) -> None:
    visitor = Visitor(funnel_view.environment)
    assert not visitor.restore_saved_episode(kept)
    assert not visitor.has_episode


def test_a_copy_is_a_new_visitor_and_one_who_left_keeps_nothing(
    funnel_view: EnvironmentView,
) -> None:
    visitor = start_visitor(funnel_view)
    assert not copy.deepcopy(visitor).has_episode
    visitor.close_episode_and_clear()
    assert (visitor.playback_steps, visitor.report_rows, visitor.to_saved_json()) == ([], [], "")


def test_rejected_reset_is_shown_and_keeps_the_episode(funnel_view: EnvironmentView) -> None:
    visitor = start_visitor(funnel_view)
    before = visitor.playback_steps
    visitor.start_episode(scenario_family="rate_drop")
    assert "Did you mean 'rate_drop_from_median'" in visitor.problem
    assert visitor.playback_steps is before


@pytest.mark.slow
def test_nothing_typed_by_a_visitor_becomes_markup(funnel_view: EnvironmentView) -> None:
    evil = "<img src=x onerror=alert(1)>"
    visitor = start_visitor(funnel_view)
    visitor.report_rows, visitor.selection, visitor.selected_tool = (
        [dict.fromkeys(ROW_FIELDS, evil)],
        evil,
        evil,
    )
    visitor.call_tool("rows_for_date", {"date": evil})
    page = whole_page(funnel_view)
    texts = [component.render(funnel_view, visitor) for component in page.views.values()]
    assert [text for text in texts if "<img" in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("submits", [False, True])
def test_no_view_holds_an_answer_before_the_end_unless_in_debug(
    funnel_view: EnvironmentView, submits: bool
) -> None:
    for debug in (False, True):
        connect = partial(create_limited_in_process_client, funnel_view.environment, debug=debug)
        visitor = Visitor(funnel_view.environment, connect)
        visitor.start_episode(task_id=TASK)
        effects = [
            repr(cause.effect)
            for cause in rebuild_episode_from_reset_arguments(
                visitor.reset
            ).episode.generated.planned_anomalies
        ]
        if submits:
            visitor.take_step(report_editor_of(funnel_view, visitor).build_submit_action([]))
        page = shown(whole_page(funnel_view), visitor)
        assert ("never read" in page) is submits
        assert [effect in page for effect in effects] == [debug] * len(effects)


def test_saved_rollout_replays_with_the_same_replies(funnel_view: EnvironmentView) -> None:
    visitor = start_visitor(funnel_view)
    visitor.call_tool("list_dates", {})
    name, text = play._create_recording(visitor)
    assert name == f"{TASK}.jsonl"
    (run,), _ = parse_runs_until_error(text)
    replayed = create_playback_that_checks_recording(run, funnel_view.environment)
    assert [step.matches_recording for step in replayed.steps] == [True, True]


DONE = ["pick", "ask", "add_row", "edit_rows", "submit", "next_episode", "yes", "no", "start"]
DONE += ["suggest", "stop_guide", "draft", "apply_report", "preview", "show_step", "run"]
DONE += ["read_data", "make_opening_calls", "choose_tool"]
VALUES = [
    None,
    "",
    "0",
    "{",
    '["list_dates", {}]',
    '["x", []]',
    '[0, "", "add"]',
    '[0, "date", "x"]',
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_random_events_break_nothing_and_discard_no_episode_without_confirmation(
    name: str,
) -> None:
    """Walks over the handlers of the page, often with what it would send, and with reloads.

    `test_web_walks` walks in a browser.
    """
    view = get_environment_view_or_default(get_environment(name))
    with gr.Blocks() as blocks:
        layout.build_page(view, blocks)
    acts: dict[str, Any] = {}
    for function in blocks.fns.values():
        acts |= {event: function.fn for _, event in function.targets if event in DONE}
    assert sorted(acts) == sorted(DONE)
    rng = random.Random(31)
    for _ in range(5):
        visitor = Visitor(view.environment)
        visitor.is_page_loaded = True
        for _ in range(30):
            if rng.random() < 0.1:  # a reload: what the browser kept is all there is
                back = Visitor(view.environment)
                page_address.restore_or_start_episode_on_page_load(
                    view, back, json.dumps({"query": {}, "kept": visitor.to_saved_json()})
                )
                assert back.to_saved_json() == visitor.to_saved_json()
                visitor = back
            event = rng.choice(DONE)
            value = rng.choice(VALUES)
            is_running = visitor.has_episode and not visitor.is_done
            move = view.suggest_next_step(visitor) if is_running else None
            if move and move.event in DONE and rng.random() < 0.5:
                event, value = move.event, move.value
            before, steps, asked = (
                visitor.playback_steps,
                visitor.step_count,
                visitor.pending_confirmation,
            )
            own_steps = steps > visitor.opening_step_count
            had = bool(own_steps or visitor.report_rows) and not visitor.is_done
            await acts[event](visitor, gr.EventData(None, {"value": value}))
            assert not visitor.problem.startswith("The server")
            if had and visitor.playback_steps[:1] != before[:1]:
                assert event == "yes", f"{event} lost an episode"
                assert asked is not None


def test_a_wrong_value_is_answered_by_name_and_costs_a_step(funnel_view: EnvironmentView) -> None:
    visitor = start_visitor(funnel_view)
    visitor.call_tool("rows_for_date", {"date": "2000-01-01"})
    assert visitor.step_count == 1
    assert "2000-01-01" in visitor.problem
    assert visitor.problem in unescape(play_views.guide_html(funnel_view, visitor))
    with pytest.raises(KitError):
        play._call_suggested_tool_or_ask_before_end(funnel_view, visitor, "not a question")
    assert visitor.step_count == 1


def test_values_are_those_of_the_replies(funnel_view: EnvironmentView) -> None:
    visitor = start_visitor(funnel_view)
    visitor.call_tool(
        "get_rows_with_abs_diff_from_median_gt", {"metric_name": "app_opens", "threshold": 1.0}
    )
    listed = visitor.last_observation["analysis_result"]["result"]["results"][0]["rows"]
    offered = [
        (row["date"], row["observed_value"])
        for row in report_editor_of(funnel_view, visitor).suggested_rows()
    ]
    assert offered == [(row["date"], row["value"]) for row in listed]
    assert FunnelReport(visitor).build_suggested_rows_from_result({}) == []
    assert json.loads(visitor.to_saved_json())["said"] == "step 1"


class Flaky(InProcessEpisode):
    """A session that is lost before a step, as an idle one is that the server ended."""

    lost: ClassVar[list[int]] = [3]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.taken = 0

    def step(self, action: Mapping[str, Any]) -> dict[str, Any]:
        self.taken += 1
        if self.taken in self.lost:
            self.lost.remove(self.taken)
            raise ServerError("The server did not answer.")
        return super().step(action)


def test_lost_session_is_reopened_without_a_message(
    funnel_view: EnvironmentView,
) -> None:
    whole = start_visitor(funnel_view)
    broken = Visitor(funnel_view.environment, connect=lambda: Flaky(funnel_view.environment))
    broken.start_episode(task_id=TASK)
    for tool in ("list_dates", "list_suspicious_dates", "list_entities", "get_metric_median"):
        assert broken.call_tool(tool, {}) == whole.call_tool(tool, {})
    assert (broken.step_count, Flaky.lost) == (4, [])
    assert (broken.to_saved_json(), broken.problem) == (whole.to_saved_json(), "")


def test_step_after_failed_reconnection_repeats_all_steps_in_a_new_session(
    funnel_view: EnvironmentView,
) -> None:
    clients: list[InProcessEpisode] = []

    def connect() -> InProcessEpisode:
        if len(clients) == 1:
            clients.append(clients[0])
            raise ServerError("The server is full.")
        clients.append(InProcessEpisode(funnel_view.environment))
        return clients[-1]

    whole, visitor = start_visitor(funnel_view), Visitor(funnel_view.environment, connect)
    visitor.start_episode(task_id=TASK)
    assert visitor.call_tool("list_dates", {}) == whole.call_tool("list_dates", {})
    clients[0].step = Mock(side_effect=ServerError("The connection was lost."))  # type: ignore[method-assign]
    with pytest.raises(ServerError, match="full"):
        visitor.call_tool("list_entities", {})
    # A closed client would connect to a new session that does not have the episode.
    clients[0].step = Mock(return_value={"status": "error", "message": "no episode"})  # type: ignore[method-assign]
    assert visitor.call_tool("list_entities", {}) == whole.call_tool("list_entities", {})
    assert visitor.to_saved_json() == whole.to_saved_json()


async def test_event_that_arrives_twice_takes_one_step(funnel_view: EnvironmentView) -> None:
    with gr.Blocks() as blocks:
        layout.build_page(funnel_view, blocks)
    (ask,) = (
        function.fn
        for function in blocks.fns.values()
        if any(event == "ask" for _, event in function.targets)
    )
    visitor = start_visitor(funnel_view)
    call = json.dumps(["list_dates", {}])
    for number in (1, 1, 2):
        await ask(visitor, gr.EventData(None, {"value": call, "number": number}))
    assert visitor.step_count == 2
    await ask(visitor, gr.EventData(None, {"value": call}))
    await ask(visitor, gr.EventData(None, {"value": call}))
    assert visitor.step_count == 4
