"""What a visitor does, without a browser: arrive, ask, fill in, submit, leave and come back."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
import pytest

from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.reporting_policy.labels import ROW_FIELDS
from metric_tracker_rl.page.metric_map.map_html import made_again
from metric_tracker_rl.page.report_editor import FunnelReport
from openenv_kit.environment import Environment, get_environment
from openenv_kit.episode_clients.websocket import InProcess
from openenv_kit.errors import KitError, ServerError
from openenv_kit.page import is_on, layout, page_address
from openenv_kit.page.components.playback_html import as_jsonl
from openenv_kit.page.environment_view import Report, Scenes, scenes_of
from openenv_kit.page.events import Page
from openenv_kit.page.page_address import next_reset
from openenv_kit.page.playback import recorded, run_of
from openenv_kit.page.tabs import play, watch
from openenv_kit.page.visitor import Unsure, Visitor

TASK = "hard_mixed_multi"
NAMES = ["metric_tracker_rl", "drilldown", "firewatch"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return scenes_of(get_environment("metric_tracker_rl"))


def started(scenes: Scenes, **reset: Any) -> Visitor:
    visitor = Visitor(scenes.environment)
    visitor.arrived = True
    visitor.start(**(reset or {"task_id": TASK}))
    assert visitor.started, visitor.problem
    return visitor


def expected(visitor: Visitor) -> list[dict[str, Any]]:
    return [row.as_dict() for row in made_again(visitor.reset).episode.expected_rows]


def report_of(scenes: Scenes, visitor: Visitor) -> Report:
    report = scenes.report(visitor)
    assert report is not None
    return report


def whole_page(scenes: Scenes) -> Page:
    with gr.Blocks() as blocks:
        return layout.build_page(scenes, blocks)


def shown(page: Page, visitor: Visitor) -> str:
    """All that the page could send about a visitor."""
    return unescape("".join(view.show(page.scenes, visitor) for view in page.views.values()))


def test_every_expected_row_is_offered_by_the_tool_that_shows_it(scenes: Scenes) -> None:
    for task in TASKS:
        visitor = started(scenes, task_id=task)
        for row in expected(visitor):
            arguments = {"date": row["date"]}
            if row["detection_method"].startswith("compare"):
                arguments["entity_name"] = row["entity_name"]
            visitor.call(row["detection_method"], arguments)
            assert row in report_of(scenes, visitor).offers()


def test_a_row_is_filled_in_with_what_a_call_has_told_and_with_nothing_else(scenes: Scenes) -> None:
    visitor = started(scenes)
    row = next(each for each in expected(visitor) if each["entity_type"] == "event_count")
    place = {name: row[name] for name in ("date", "entity_type", "entity_name")}
    before = report_of(scenes, visitor).filled_in(place)
    assert before == {**place, "detection_method": row["detection_method"]}
    visitor.call("rows_for_date", {"date": row["date"]})
    assert "observed_value" not in report_of(scenes, visitor).filled_in(place), (
        "its median is not known yet"
    )
    visitor.call("get_metric_median", {"metric_name": row["entity_name"]})
    assert report_of(scenes, visitor).filled_in(place) == row


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"severity": ""}, "severity is empty"),
        ({"observed_value": "many"}, "observed (events, % or share) is no number"),
        ({"observed_value": -5}, "observed (events, % or share) is below 0"),
        ({"delta_value": -5}, ""),
    ],
)
def test_a_report_that_is_not_finished_is_handed_in_only_by_who_says_so_twice(
    scenes: Scenes, changes: dict[str, Any], said: str
) -> None:
    visitor = started(scenes)
    visitor.rows = [{**expected(visitor)[0], **changes}]
    assert report_of(scenes, visitor).unfinished(visitor.rows[0]) == said
    if not said:
        play._submit(scenes, visitor, None)
        assert visitor.over
        return
    with pytest.raises(Unsure, match="Row 1: ") as asked:
        play._submit(scenes, visitor, None)
    assert not visitor.over
    asked.value.act(visitor)
    assert visitor.over


def test_a_row_that_is_there_twice_and_an_empty_report_are_questions(scenes: Scenes) -> None:
    visitor = started(scenes)
    with pytest.raises(Unsure, match="nothing was wrong"):
        play._submit(scenes, visitor, None)
    visitor.rows = 2 * expected(visitor)[:1]
    with pytest.raises(Unsure, match="in the report twice"):
        play._submit(scenes, visitor, None)


def test_a_call_that_ends_the_episode_is_asked_about_and_what_would_have_helped_is_told() -> None:
    scenes = scenes_of(get_environment("firewatch"))
    visitor = started(scenes, **next_reset(scenes, Visitor(scenes.environment)))
    with pytest.raises(Unsure, match="this ends the episode") as asked:
        play._ask(scenes, visitor, '["declare_resolved", {}]')
    assert not visitor.over
    asked.value.act(visitor)
    assert visitor.over
    assert "What would have mended it" in scenes.story_html(visitor.frames, visitor.reset)


def test_the_guide_of_the_funnel_leads_to_a_row_of_the_report(scenes: Scenes) -> None:
    visitor = started(scenes)
    for _ in range(12):
        move = play.next_move(scenes, visitor)
        if move.event == "ask":
            play._ask(scenes, visitor, move.value)
        elif move.event == "pick":
            play._pick(visitor, move.value)
    assert move.label == "Go to the rows it points to"
    assert report_of(scenes, visitor).offers()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_opening_is_a_finished_play_and_the_next_episode_is_another(name: str) -> None:
    scenes = scenes_of(get_environment(name))
    assert scenes.demo is not None
    assert scenes.demo.finished
    assert re.search(r"[01]\.\d\d$", scenes.headline(scenes.demo.frames))
    assert 'class="mt-btn' not in scenes.picture_html(scenes.demo.so_far, scenes.demo.reset)
    visitor, seen = Visitor(scenes.environment), {scenes.demo.reset["task_id"]}
    for _ in range(70):
        reset = next_reset(scenes, visitor)
        task = reset.get("task_id") or json.dumps(reset)
        assert task not in seen
        seen.add(task)
        visitor.finished.append(task)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_visitor_who_comes_back_has_all_that_they_left(name: str) -> None:
    scenes = scenes_of(get_environment(name))
    visitor = started(scenes, **next_reset(scenes, Visitor(scenes.environment)))
    for _ in range(6):
        move = scenes.next_move(visitor)
        if move.event == "ask":
            play._ask(scenes, visitor, move.value)
        elif move.event == "pick":
            play._pick(visitor, move.value)
    visitor.rows = [{"date": "a day"}]
    assert visitor.steps > 0
    again = Visitor(scenes.environment)
    assert again.restore(visitor.kept())
    page = whole_page(scenes)
    untimed = [re.sub(r"\d+\.\d ms", "", shown(page, each)) for each in (visitor, again)]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", '{"reset": 3}', '{"reset": {"task_id": "none"}, "actions": []}']
)
def test_what_a_browser_kept_may_be_anything(scenes: Scenes, kept: str) -> None:
    visitor = Visitor(scenes.environment)
    assert not visitor.restore(kept)
    assert not visitor.started


def test_a_copy_is_a_new_visitor_and_one_who_left_keeps_nothing(scenes: Scenes) -> None:
    visitor = started(scenes)
    assert not copy.deepcopy(visitor).started
    visitor.clear()
    assert (visitor.frames, visitor.rows, visitor.kept()) == ([], [], "")


def test_a_bad_reset_is_told_and_leaves_the_episode(scenes: Scenes) -> None:
    visitor = started(scenes)
    before = visitor.frames
    visitor.start(scenario_family="rate_drop")
    assert "Did you mean 'rate_drop_from_median'" in visitor.problem
    assert visitor.frames is before


@pytest.mark.slow
def test_nothing_typed_by_a_visitor_becomes_markup(scenes: Scenes) -> None:
    evil = "<img src=x onerror=alert(1)>"
    visitor = started(scenes)
    visitor.rows, visitor.place, visitor.tool = [dict.fromkeys(ROW_FIELDS, evil)], evil, evil
    visitor.call("rows_for_date", {"date": evil})
    page = whole_page(scenes)
    texts = [view.show(scenes, visitor) for view in page.views.values()]
    assert [text for text in texts if "<img" in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("submits", [False, True])
def test_no_view_holds_an_answer_before_the_end_unless_in_debug(
    scenes: Scenes, submits: bool
) -> None:
    for debug in (False, True):
        connect = partial(InProcess, scenes.environment, debug=debug)
        visitor = Visitor(scenes.environment, connect)
        visitor.start(task_id=TASK)
        effects = [repr(cause.effect) for cause in made_again(visitor.reset).episode.draw.causes]
        if submits:
            visitor.step(report_of(scenes, visitor).action([]))
        page = shown(whole_page(scenes), visitor)
        assert ("was expected and not reported" in page) is submits
        assert [effect in page for effect in effects] == [debug] * len(effects)


def test_every_count_is_told_after_the_end_and_not_before(scenes: Scenes) -> None:
    for reset, over, tells in (
        ({}, False, False),
        ({}, True, True),
        ({"feedback": "score"}, True, False),
    ):
        visitor = started(scenes, task_id=TASK, **reset)
        if over:
            visitor.step(report_of(scenes, visitor).action([]))
        count = made_again(visitor.reset).episode.daily.iloc[12, 0]
        assert (f"{count:,} events" in scenes.below_html(visitor)) is tells


def test_a_visitor_looks_at_their_own_steps_again(scenes: Scenes) -> None:
    visitor = started(scenes)
    visitor.call("list_dates", {})
    watch._watch_play(visitor, None)
    assert visitor.playback is not None
    assert visitor.playback.frames == visitor.frames
    run, _ = run_of(as_jsonl(visitor.playback))
    assert [frame.same for frame in recorded(run, scenes.environment).frames] == [True, True]


DONE = ["pick", "ask", "add_row", "edit_rows", "submit", "next_episode", "yes", "no", "start"]
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
async def test_whatever_is_clicked_nothing_breaks_and_no_episode_is_lost_without_a_question(
    name: str,
) -> None:
    """Walks over the handlers of the page, often with what it would send, and with reloads.

    `test_web_walks` walks in a browser.
    """
    scenes = scenes_of(get_environment(name))
    with gr.Blocks() as blocks:
        layout.build_page(scenes, blocks)
    acts: dict[str, Any] = {}
    for function in blocks.fns.values():
        acts |= {event: function.fn for _, event in function.targets if event in DONE}
    assert sorted(acts) == sorted(DONE)
    rng = random.Random(31)
    for _ in range(5):
        visitor = Visitor(scenes.environment)
        visitor.arrived = True
        for _ in range(30):
            if rng.random() < 0.1:  # a reload: what the browser kept is all there is
                back = Visitor(scenes.environment)
                page_address.arrive(scenes, back, json.dumps({"query": {}, "kept": visitor.kept()}))
                assert back.kept() == visitor.kept()
                visitor = back
            event = rng.choice(DONE)
            value = rng.choice(VALUES)
            move = play.next_move(scenes, visitor) if visitor.started else None
            if move:
                assert move.label, f"the guide names a move without a button: {move.text}"
                assert f'data-mt="{move.event}"' in layout.status_html(scenes, visitor) or (
                    visitor.question
                )
            if move and move.event in DONE and rng.random() < 0.5:
                event, value = move.event, move.value
            before, steps, asked = visitor.frames, visitor.steps, visitor.question
            had = bool(steps or visitor.rows) and not visitor.over
            await acts[event](visitor, gr.EventData(None, {"value": value}))
            assert not visitor.problem.startswith("The server")
            if had and visitor.frames[:1] != before[:1]:
                assert event == "yes", f"{event} lost an episode"
                assert asked is not None


def test_the_page_is_on_where_the_framework_would_have_its_own() -> None:
    assert not is_on({})
    assert not is_on({"ENABLE_WEB_INTERFACE": "false"})
    assert is_on({"ENABLE_WEB_INTERFACE": "True"})


LOADED = """
import sys
from server.app import app
rooms = ("openenv_kit.page.", "metric_tracker_rl.page", "drilldown_env.page", "firewatch_env.page")
print(sorted(name for name in sys.modules if name.startswith(rooms)), "plotly" in sys.modules)
"""


@pytest.mark.slow
def test_the_server_loads_nothing_of_the_page_when_the_page_is_off() -> None:
    environ = {k: v for k, v in os.environ.items() if k != "ENABLE_WEB_INTERFACE"}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[] False"


def test_nothing_outside_the_kits_page_imports_gradio_and_nobody_plotly() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("openenv_kit", "metric_tracker_rl", "drilldown_env", "firewatch_env")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.match(r"\s*(import|from) (gradio|plotly)", line)
    ]
    assert found
    assert [each for each in found if not each.startswith("openenv_kit/page/")] == []
    assert [each for each in found if "plotly" in each] == []


def test_the_page_is_one_script_and_defines_no_name_twice() -> None:
    script = "".join(each.read_text() for each in layout.SCRIPTS)
    names = re.findall(r"^(?:async )?(?:function|const|let) +(\w+)", script, re.MULTILINE)
    assert {"openRecordings", "choose"} <= set(names)
    assert [name for name, times in Counter(names).items() if times > 1] == []


def test_a_wrong_value_is_answered_by_name_and_costs_a_step(scenes: Scenes) -> None:
    visitor = started(scenes)
    visitor.call("rows_for_date", {"date": "2000-01-01"})
    assert visitor.steps == 1
    assert "2000-01-01" in visitor.problem
    assert visitor.problem in unescape(layout.status_html(scenes, visitor))
    with pytest.raises(KitError):
        play._ask(scenes, visitor, "not a question")
    assert visitor.steps == 1


def test_values_are_those_of_the_replies(scenes: Scenes) -> None:
    visitor = started(scenes)
    visitor.call(
        "get_rows_with_abs_diff_from_median_gt", {"metric_name": "app_opens", "threshold": 1.0}
    )
    listed = visitor.reply["analysis_result"]["result"]["results"][0]["rows"]
    offered = [(row["date"], row["observed_value"]) for row in report_of(scenes, visitor).offers()]
    assert offered == [(row["date"], row["value"]) for row in listed]
    assert FunnelReport(visitor).drafts({}) == []
    assert json.loads(visitor.kept())["said"] == "step 1"


class Flaky(InProcess):
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


def test_a_session_that_was_lost_is_opened_again_and_nobody_notices(scenes: Scenes) -> None:
    whole = started(scenes)
    broken = Visitor(scenes.environment, connect=lambda: Flaky(scenes.environment))
    broken.start(task_id=TASK)
    for tool in ("list_dates", "list_suspicious_dates", "list_entities", "get_metric_median"):
        assert broken.call(tool, {}) == whole.call(tool, {})
    assert (broken.steps, Flaky.lost) == (4, [])
    assert (broken.kept(), broken.problem) == (whole.kept(), "")
