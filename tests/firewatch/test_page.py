"""The page's parts without a browser: what is drawn of a story, and what is said of a score."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from firewatch_env.actions import ACTIONS
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.grade import impact
from firewatch_env.page import graph, panels, score
from firewatch_env.page.scenes import FirewatchScenes, story
from firewatch_env.page.story import GROUP_OF, Story, action_text
from firewatch_env.tasks.book import find
from firewatch_env.tasks.task import AFTER
from firewatch_env.tools import GROUPS, RUNBOOK
from openenv_kit.environment import list_default_task_names
from openenv_kit.page.playback import PlaybackStep, create_playback_of_policy
from openenv_kit.page.tabs.play_views import question_panel_html
from openenv_kit.page.visitor import Visitor

SCENES = FirewatchScenes(ENVIRONMENT)
DEADLOCK = "task_easy_thread_deadlock"
ROOT = find({"task_id": DEADLOCK}).roots[0][0]
FALSE_ALERT = "task_medium_canary_false_alert"
DUAL = "task_hard_multiteam_dual_fault"
MADE_WORSE = "task_easy_oom_baseline"
DECLARE: dict[str, Any] = {}


def started(task: str = DEADLOCK) -> Visitor:
    visitor = Visitor(ENVIRONMENT)
    visitor.start_episode(task_id=task)
    return visitor


def story_of(visitor: Visitor) -> Story:
    play = story(visitor.playback_steps, visitor.selection)
    assert play is not None
    return play


def look(visitor: Visitor, service: str, tool: str = "get_metrics_detail") -> None:
    visitor.call_tool(tool, {"target_service": service})


def played(policy: str, task: str) -> Story:
    """The story of a policy's play."""
    playback = create_playback_of_policy(
        ENVIRONMENT.policies[policy], {"task_id": task}, ENVIRONMENT
    )
    play = story(playback.steps)
    assert play is not None
    return play


# Actions and graph.


def test_every_action_is_in_one_group_by_what_it_does() -> None:
    assert set(GROUP_OF) == set(ACTIONS)
    assert set(GROUP_OF.values()) == set(GROUPS)


@pytest.mark.parametrize(
    "task", [*list_default_task_names(ENVIRONMENT), "task_hard_metastable_failure"]
)
def test_the_graph_runs_from_the_entry_down_to_the_leaves(task: str) -> None:
    visitor = started(task)
    play = story_of(visitor)
    assert sorted(play.services) == sorted(play.graph)
    row = {name: at for at, layer in enumerate(play.layers) for name in layer}
    assert all(row[callee] > row[caller] for caller in play.graph for callee in play.graph[caller])
    places = graph.places_of(play)
    assert len(set(places.values())) == len(places), "two services stand in one place"
    html = graph.graph_html(play)
    assert html.count('d="M') == sum(len(callees) for callees in play.graph.values())
    for name, view in play.now["services"].items():
        health = graph.health_of_service(view)
        errors = f"{100 * view['http_server_error_rate']:.0f} %"
        assert f'aria-label="{name}: {health}, server errors {errors}, outside probes' in html


@pytest.mark.parametrize(
    ("rate", "health"),
    [
        *((0.0, "healthy"), (0.0499, "healthy"), (0.05, "degraded"), (0.2, "critical")),
        *((0.5, "down"), (1, "down"), (None, "unknown")),
    ],
)
def test_health_on_the_map_follows_the_errors_that_callers_get(
    rate: float | None, health: str
) -> None:
    view = {"status": "healthy", "http_server_error_rate": rate}
    assert graph.health_of_service(view) == health


def test_the_chosen_service_is_marked_in_the_graph_and_in_the_table() -> None:
    visitor = started()
    visitor.selection = ROOT
    play = story_of(visitor)
    (marked,) = re.findall(
        'class="fw-node [a-z]+ at" data-mt="pick" data-value="([^"]*)"', graph.graph_html(play)
    )
    assert marked == ROOT
    assert panels.services_html(play).count('aria-current="true"') == 1
    visitor.selection = "nowhere"
    assert story_of(visitor).chosen == ""


# What the replies told.


def test_metrics_are_those_of_the_replies_tick_by_tick() -> None:
    visitor = started()
    for _ in range(3):
        look(visitor, ROOT)
    visitor.call_tool("restart_service", {"target_service": ROOT})
    play = story_of(visitor)
    assert play.ticks == [0, 1, 2, 3, 4]
    key = "process_memory_utilization"
    replies = [frame.observation["services"][ROOT][key] for frame in visitor.playback_steps]
    assert play.series(ROOT, key) == replies
    visitor.selection = ROOT
    html = graph.metrics_html(story_of(visitor))
    assert html.count("<figure") == len(graph.PANELS) + 1
    assert html.count('class="mark" d="M20.0 0') == len(graph.PANELS), "the repair at tick 4 of 20"


def test_an_alert_that_fires_again_is_there_again() -> None:
    def frame(tick: int, *alerts: str) -> PlaybackStep:
        active = [{"alert_id": each, "severity": "page"} for each in alerts]
        return PlaybackStep({}, {"services": {"a": {}}, "sim_tick": tick, "active_alerts": active})

    play = Story([frame(0, "x"), frame(1, "x", "y"), frame(2, "y"), frame(3, "x", "y")], 20)
    spans = [(each.alert["alert_id"], each.first, each.last) for each in play.firings]
    assert sorted(spans) == [("x", 0, 1), ("x", 3, 3), ("y", 1, 3)]
    assert [each[1] for each in spans] == sorted(each[1] for each in spans)


def test_logs_are_shown_once_they_were_fetched() -> None:
    visitor = started()
    visitor.selection = ROOT
    assert "fetched yet" in panels.logs_html(story_of(visitor))
    look(visitor, ROOT, "fetch_logs")
    html = panels.logs_html(story_of(visitor))
    assert html.count("<li") == len(story_of(visitor).now["services"][ROOT]["recent_logs"]) > 0
    assert '<li class="warn">' in html


def test_everything_from_a_world_is_escaped() -> None:
    bad = "<script>x</script>"
    opening = json.loads(json.dumps(started().playback_steps[0].observation))
    for view in opening["services"].values():
        view["recent_logs"] = [bad]
    for alert in opening["active_alerts"]:
        alert |= {"description": bad, "alertname": bad, "severity": bad}
    text = json.dumps(opening).replace(ROOT, bad)
    visitor = started()
    frames = [PlaybackStep({"action_type": bad}, json.loads(text) | {"message": bad})]
    visitor.playback_steps, visitor.selection = frames, bad
    shown = SCENES.overview_html(frames, {}, bad) + SCENES.details_html(visitor)
    asked = SCENES.question_panel(visitor)
    assert asked is not None
    assert "<script" not in shown + question_panel_html(asked)
    assert "&lt;script" in shown


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ({}, ""),
        ({"action_type": 7, "target_service": ["a"], "parameters": 3}, "7 ['a']"),
        ({"action_type": "x", "parameters": {"state": "open"}}, "x state=open"),
    ],
)
def test_no_action_of_a_recording_breaks_the_page(action: dict[str, Any], text: str) -> None:
    assert action_text(action) == text
    visitor = started()
    visitor.take_step(action)
    frames = [*visitor.playback_steps, PlaybackStep({}, {"status": "said"})]
    play = story(frames)
    assert play is not None
    assert len(play.seen) == 2
    assert SCENES.overview_html(frames, visitor.reset)
    assert SCENES.overview_html([PlaybackStep({}, {"status": "said"})], {}) == ""


# Nothing is told too early.


def test_an_incident_under_way_is_drawn_from_its_replies_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_replay(*_: Any) -> Any:
        raise AssertionError("a world was replayed before the end")

    visitor = started()
    monkeypatch.setattr(score, "replay", no_replay)
    monkeypatch.setattr(score, "find", no_replay)
    for _ in range(3):
        look(visitor, ROOT)
        shown = SCENES.overview_html(visitor.playback_steps, visitor.reset, ROOT)
        assert "the cause" not in shown + SCENES.details_html(visitor)
    visitor.call_tool("declare_resolved", DECLARE)
    with pytest.raises(AssertionError, match="before the end"):
        SCENES.overview_html(visitor.playback_steps, visitor.reset)


def test_a_played_episode_tells_its_causes_and_its_score_at_its_last_step_only() -> None:
    playback = create_playback_of_policy(
        ENVIRONMENT.policies["reference"], {"task_id": DEADLOCK}, ENVIRONMENT
    )
    shown = SCENES.overview_html(playback.steps, playback.reset)
    assert "the cause was here" in shown
    assert "nobody acted" in shown
    assert SCENES.result_headline(playback.steps) == "Mended and declared: 1.00"
    shown = SCENES.overview_html(playback.steps[:-1], playback.reset)
    assert "the cause was here" not in shown
    assert "nobody acted" not in shown


# The score.


@pytest.mark.parametrize("policy", ["reference", "keyword_rules", "declare_at_once", "null"])
@pytest.mark.parametrize("task", [DEADLOCK, "task_medium_retry_storm", DUAL, FALSE_ALERT])
def test_the_curves_are_the_replays_that_the_score_is_made_of(policy: str, task: str) -> None:
    play = played(policy, task)
    found = score.courses_of({"task_id": task}, play)
    assert found is not None
    nobody, mine, reference = (sum(each) for each in (found.nobody, found.played, found.reference))
    parts = play.now["score_parts"]
    declared, changed = play.now["incident_declared"], parts["changes"] > 0
    expected = impact(nobody, mine, reference, declared, changed)
    assert expected == pytest.approx(parts["impact"], abs=1e-4)
    ticks = play.now["sim_tick"]
    measured = play.now["bad_customer_minutes"]
    assert measured == pytest.approx(sum(found.played[:ticks]), abs=0.01)
    assert len(found.nobody) == len(found.played) == found.max_ticks + AFTER
    assert graph.harm_html(found, "you").count("<path") == 4


@pytest.mark.parametrize(
    ("policy", "task", "sentences"),
    [
        ("reference", DEADLOCK, ["1.0000", "No change was unneeded", "and it was"]),
        ("declare_at_once", DEADLOCK, ["0.0000", "Nothing was changed", "let down again after"]),
        ("null", DEADLOCK, ["0.0000", "It was not over."]),
        ("random", MADE_WORSE, ["An unneeded change is one without which"]),
        ("null", FALSE_ALERT, ["0.0000", "nothing to spare", "nobody declared it so"]),
        ("reference", FALSE_ALERT, ["1.0000", "there was nothing to spare", "and it was"]),
    ],
)
def test_each_factor_has_its_sentence(policy: str, task: str, sentences: list[str]) -> None:
    play = played(policy, task)
    html = score.score_html(play, score.courses_of({"task_id": task}, play), "you")
    for sentence in sentences:
        assert sentence in html


# The guide and the questions.


def test_the_guide_leads_from_the_failing_service_to_the_declaration() -> None:
    visitor = started()
    first = SCENES.suggest_next_step(visitor)
    assert first.event == "pick"
    service = story_of(visitor).now["services"][first.value]
    assert graph.health_of_service(service) != "healthy"
    visitor.selection = ROOT
    assert "fetch_logs" in SCENES.suggest_next_step(visitor).value
    visitor.call_tool("restart_service", {"target_service": ROOT})
    while story_of(visitor).now["user_impact_active"]:
        look(visitor, ROOT)
    assert "declare_resolved" in SCENES.suggest_next_step(visitor).value


def test_every_tool_is_a_question_or_takes_settings() -> None:
    visitor = started()
    visitor.selection = ROOT
    asked = SCENES.question_panel(visitor)
    assert asked is not None
    offered = {call.tool for calls in asked.groups.values() for call in calls}
    rest = {tool.name for tool in ENVIRONMENT.tools.tools} - offered
    assert rest == {RUNBOOK}
    for calls in asked.groups.values():
        for call in calls:
            ENVIRONMENT.tools.build_action(call.tool, call.arguments)


@pytest.mark.slow
def test_a_server_without_the_page_loads_none_of_it() -> None:
    program = (
        "import sys; from firewatch_env.environment import ENVIRONMENT as e\n"
        "e.create_session().reset()\n"
        "print([n for n in sys.modules if n in ('gradio', 'plotly') or '.page.' in n])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
