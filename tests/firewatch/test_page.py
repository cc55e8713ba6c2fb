"""The page's parts without a browser: what is drawn of a story, and what is said of a score."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

import openenv_kit.environment as kit
from firewatch_env.actions import ACTIONS
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.evidence.measuring import ERROR
from firewatch_env.grade import impact
from firewatch_env.page import charts, episode, incident, panels, score, story
from firewatch_env.page.scenes import FirewatchScenes
from firewatch_env.page.state import FirewatchVisitor
from firewatch_env.page.story import GROUPS, Story, action_text
from firewatch_env.policies.par import par
from firewatch_env.tasks.book import find
from openenv_kit.errors import InvalidValueError
from openenv_kit.page.builder import lay_out
from openenv_kit.page.page import Page
from openenv_kit.page.scenes import scenes_of
from openenv_kit.page.watching import Frame, scripted
from openenv_kit.play.driver import moves, observed

DEADLOCK = "task_easy_thread_deadlock"
ROOT, OTHER = "banner-api", "profile-api"  # in it: what is blocked, and what is not
FALSE_ALERT = "task_medium_canary_false_alert"
DUAL = "task_hard_multiteam_dual_fault"
MADE_WORSE = "task_easy_oom_baseline"
DECLARE: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _served(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This environment is the one that the process serves."""
    monkeypatch.setenv(kit.VARIABLE, "firewatch")
    kit.get_environment.cache_clear()
    yield
    kit.get_environment.cache_clear()


@pytest.fixture
def visitor() -> FirewatchVisitor:
    new = FirewatchVisitor()
    new.start(task_id=DEADLOCK)
    return new


def look(visitor: FirewatchVisitor, service: str, tool: str = "get_metrics_detail") -> None:
    visitor.call(tool, {"target_service": service})


def played(policy: str, task: str) -> tuple[Any, Story]:
    """The session of a policy's play, and its story."""
    session = ENVIRONMENT.session()
    opening = session.reset(task_id=task)
    frames = [Frame({}, observed(opening))]
    for action, reply in moves(session, ENVIRONMENT.policies[policy], opening):
        frames.append(Frame(action, observed(reply)))
    return session, Story(frames, session.state().max_steps)


def score_of(visitor: FirewatchVisitor) -> str:
    """What the Incident tab says of the score."""
    return str(incident.scored(visitor)[0])


# Actions and graph.


def test_every_action_is_in_one_group_by_what_it_does() -> None:
    grouped = [name for group in GROUPS for name in story.names_of(group)]
    assert sorted(grouped) == sorted(ACTIONS)
    sorts = {"look": "investigation", "declare": "closing"}
    for name, group in story.GROUP_OF.items():
        assert ACTIONS[name].sort == sorts.get(group, "remediation"), name


@pytest.mark.parametrize("task", [*ENVIRONMENT.default_tasks, "task_hard_metastable_failure"])
def test_the_graph_runs_from_the_entry_down_to_the_leaves(task: str) -> None:
    visitor = FirewatchVisitor()
    visitor.start(task_id=task)
    told = visitor.story
    assert sorted(told.services) == sorted(told.graph)
    row = {name: at for at, layer in enumerate(told.layers) for name in layer}
    assert all(row[callee] > row[caller] for caller in told.graph for callee in told.graph[caller])
    places = charts._places(told)
    assert len(set(places.values())) == len(places), "two services stand in one place"
    calls, *nodes = charts.service_graph(told).data
    drawn = {name: trace.name for trace in nodes for name in trace.customdata}
    assert drawn == {name: view["status"] for name, view in told.now["services"].items()}
    heads = [(x, y) for x, y, size in zip(calls.x, calls.y, calls.marker.size, strict=True) if size]
    assert heads == [places[callee] for callees in told.graph.values() for callee in callees]


def test_the_chosen_service_is_marked_in_the_graph_and_in_the_table(
    visitor: FirewatchVisitor,
) -> None:
    visitor.select(ROOT)
    _, *nodes = charts.service_graph(visitor.story).data
    ringed = [
        name
        for trace in nodes
        for name, width in zip(trace.customdata, trace.marker.line.width, strict=False)
        if width
    ]
    assert ringed == [ROOT]
    assert panels.services_html(visitor.story).count('aria-current="true"') == 1


# What the replies told.


def test_metrics_are_those_of_the_replies_tick_by_tick(visitor: FirewatchVisitor) -> None:
    replies = [visitor.reply]
    for _ in range(3):
        look(visitor, ROOT)
        replies.append(visitor.reply)
    visitor.call("restart_service", {"target_service": ROOT})
    replies.append(visitor.reply)
    told = [each.content["services"][ROOT] for each in replies if each]
    figure = charts.service_metrics(visitor.story)
    shown = [list(trace.y) for trace in figure.data]
    keys = [(key, factor) for _, metrics, factor, _ in charts.PANELS for key in metrics]
    assert shown == [[view[key] * factor for view in told] for key, factor in keys]
    assert all(list(trace.x) == [0, 1, 2, 3, 4] for trace in figure.data)
    assert {shape.x0 for shape in figure.layout.shapes} == {4}
    left, burn = charts.budget(visitor.story).data
    assert list(left.y) == [each.content["slo_budget_remaining_pct"] for each in replies if each]
    assert list(burn.y) == [each.content["current_slo_burn_rate"] for each in replies if each]


def test_an_alert_that_fires_again_is_there_again() -> None:
    def frame(tick: int, *alerts: str) -> Frame:
        active = [{"alert_id": each, "severity": "page"} for each in alerts]
        return Frame({}, {"services": {"a": {}}, "sim_tick": tick, "active_alerts": active})

    told = Story([frame(0, "x"), frame(1, "x", "y"), frame(2, "y"), frame(3, "x", "y")], 20)
    spans = [(each.alert["alert_id"], each.first, each.last) for each in told.firings]
    assert sorted(spans) == [("x", 0, 1), ("x", 3, 3), ("y", 1, 3)]
    assert [each[1] for each in spans] == sorted(each[1] for each in spans)


def test_what_was_done_is_told_with_its_tick_and_what_came_back(visitor: FirewatchVisitor) -> None:
    look(visitor, ROOT)
    visitor.call("restart_service", {"target_service": ROOT})
    visitor.step("", {"action_type": "fetch_logs", "target_service": "nowhere"})
    told = visitor.story.moves
    assert [(m.tick, m.text, m.group, m.refused) for m in told] == [
        (1, f"get_metrics_detail {ROOT}", "look", False),
        (2, f"restart_service {ROOT}", "repair", False),
        (3, "fetch_logs nowhere", "look", True),
    ]
    html = panels.moves_html(visitor.story)
    assert "8 pods restart in place" in html
    assert "Unknown target_service" in html
    assert charts.service_metrics(visitor.story).layout.shapes[0].x0 == 2


def test_logs_are_shown_once_they_were_fetched(visitor: FirewatchVisitor) -> None:
    visitor.select(ROOT)
    assert "fetched yet" in panels.logs_html(visitor.story)
    look(visitor, ROOT, "fetch_logs")
    lines = visitor.story.now["services"][ROOT]["recent_logs"]
    assert lines
    assert panels.logs_html(visitor.story).count("<li") == len(lines)
    assert '<li class="warn">' in panels.logs_html(visitor.story)
    visitor.select(OTHER)
    assert "fetched yet" in panels.logs_html(visitor.story)


def test_everything_from_a_world_is_escaped() -> None:
    bad = "<script>x</script>"
    session = ENVIRONMENT.session()
    opening = json.loads(json.dumps(observed(session.reset(task_id=DEADLOCK))))
    for view in opening["services"].values():
        view["recent_logs"] = [bad]
    for alert in opening["active_alerts"]:
        alert |= {"description": bad, "alertname": bad, "severity": bad}
    text = json.dumps(opening).replace(ROOT, bad)
    frames = [Frame({"action_type": bad}, json.loads(text) | {"message": bad})]
    told = Story(frames, 20, bad)
    for html in (
        panels.headline_html(told),
        panels.services_html(told),
        panels.services_html(told, choose=True),
        panels.alerts_html(told),
        panels.logs_html(told),
        panels.moves_html(told),
    ):
        assert "<script" not in html
    assert told.service == bad


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
    session = ENVIRONMENT.session()
    frames = [
        Frame({}, observed(session.reset(task_id=DEADLOCK))),
        Frame(action, observed(session.step(action))),
        Frame({}, {"status": "said"}),
    ]
    told = Story(frames, 20)
    assert len(told.seen) == 2
    assert panels.moves_html(told)


# Nothing is told too early.


class Sealed:
    """A session of which only public progress may be read."""

    def __init__(self, session: Any) -> None:
        self.task_id, self.done, self.state = session.task_id, session.done, session.state


def test_an_incident_under_way_is_drawn_from_its_replies_alone(
    visitor: FirewatchVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_replay(*_: Any) -> Any:
        raise AssertionError("a world was replayed before the end")

    monkeypatch.setattr(score, "replay", no_replay)
    monkeypatch.setattr(score, "find", no_replay)
    page = whole_page()
    for _ in range(3):
        look(visitor, ROOT)
        played, visitor.session = visitor.session, Sealed(visitor.session)  # type: ignore[assignment]
        before = [list(view.show(visitor)) for view in page.views.values()]
        assert score_of(visitor) == ""
        assert before
        visitor.session = played
    visitor.call("declare_resolved", DECLARE)
    with pytest.raises(AssertionError, match="before the end"):
        incident.scored(visitor)


def whole_page() -> Page:
    """The page with all its tabs, not served."""
    with gr.Blocks() as blocks:
        return lay_out(FirewatchScenes(ENVIRONMENT), False, blocks)


def test_a_watched_play_tells_its_score_at_its_last_move_only() -> None:
    scenes = scenes_of()
    assert isinstance(scenes, FirewatchScenes)
    policy = ENVIRONMENT.policies["reference"]
    playback = scripted(policy, {"task_id": DEADLOCK})
    assert scenes.show_board(None)[0] == ""
    playback.run_to_end()
    playback.catch_up()
    assert "1.0000" in scenes.show_board(playback)[1]
    assert scenes.show_board(playback)[2]["visible"]
    playback.go(playback.at - 1)
    assert scenes.show_board(playback)[1] == ""
    assert not scenes.show_board(playback)[2]["visible"]


def test_a_watched_play_of_which_nothing_is_told_is_an_empty_board() -> None:
    playback = scripted(ENVIRONMENT.policies["null"], {"task_id": DEADLOCK})
    playback.frames[:] = [Frame({}, {"status": "said"}, words="Hm.")]
    assert FirewatchScenes(ENVIRONMENT).show_board(playback)[0] == ""


# The score.


@pytest.mark.parametrize("policy", ["reference", "keyword_rules", "spray", "null"])
@pytest.mark.parametrize("task", [DEADLOCK, "task_medium_retry_storm", DUAL, FALSE_ALERT])
def test_the_curves_are_the_replays_that_the_score_is_made_of(policy: str, task: str) -> None:
    session, told = played(policy, task)
    found = score.courses_of(session, told)
    assert found is not None
    nobody, mine, reference = (sum(each) for each in (found.nobody, found.played, found.reference))
    expected_impact = impact(nobody, mine, reference, found.power)
    assert round(expected_impact, 4) == told.now["score_parts"]["impact"]
    expected = par(find({"task_id": task}))
    assert [nobody, reference] == pytest.approx([each * score.MINUTES for each in expected])
    ticks = told.now["sim_tick"]
    measured = told.now["bad_customer_minutes"]
    assert measured == pytest.approx(sum(found.played[:ticks]), rel=ERROR, abs=0.01)
    assert len(found.nobody) == len(found.played) == found.max_ticks + 30


def test_the_harm_chart_draws_the_three_courses() -> None:
    session, told = played("spray", DEADLOCK)
    found = score.courses_of(session, told)
    assert found is not None
    drawn = {trace.name: tuple(trace.y) for trace in charts.harm(found, "you").data}
    assert drawn == {
        "nobody acted": found.nobody,
        "reference": found.reference,
        "you": found.played,
    }
    assert drawn["you"] != drawn["reference"] != drawn["nobody acted"]


def told_score(policy: str, task: str) -> str:
    session, told = played(policy, task)
    return score.score_html(told, score.courses_of(session, told), "you")


@pytest.mark.parametrize(
    ("policy", "task", "sentences"),
    [
        ("reference", DEADLOCK, ["1.0000", "No change was unneeded", "and it was"]),
        ("declare_at_once", DEADLOCK, ["0.0000", "Nothing was changed", "let down again after"]),
        ("null", DEADLOCK, ["0.0000", "as if nobody had been there"]),
        ("spray", DEADLOCK, ["An unneeded change is one without which"]),
        ("keyword_rules", MADE_WORSE, ["cost them", "It was not over, and nobody declared it so."]),
        ("declare_at_once", FALSE_ALERT, ["0.0000", "nothing to spare", "something still paged"]),
        ("reference", FALSE_ALERT, ["1.0000", "there was nothing to spare", "and it was"]),
    ],
)
def test_each_factor_has_its_sentence(policy: str, task: str, sentences: list[str]) -> None:
    html = told_score(policy, task)
    for sentence in sentences:
        assert sentence in html


def test_what_was_over_but_not_declared_is_told(visitor: FirewatchVisitor) -> None:
    visitor.call("restart_service", {"target_service": ROOT})
    while not visitor.session.done:
        look(visitor, ROOT)
    assert "It was over, and nobody declared it so." in score_of(visitor)


# A visitor.


def test_a_visitor_looks_at_what_they_acted_on(visitor: FirewatchVisitor) -> None:
    assert visitor.service == "mobile-gateway"
    look(visitor, ROOT)
    assert visitor.service == ROOT
    visitor.select("nowhere")
    visitor.select(None)
    assert visitor.service == ROOT
    visitor.call("escalate", DECLARE)
    assert visitor.service == ROOT


def test_another_episode_forgets_the_one_before_and_a_refused_one_does_not(
    visitor: FirewatchVisitor,
) -> None:
    look(visitor, ROOT)
    visitor.start(task_id="task_easy_thread_deadlok")
    assert "Did you mean" in visitor.problem
    assert len(visitor.frames) == 2
    visitor.start(task_id="task_easy_cert_expiry")
    assert (len(visitor.frames), visitor.service) == (1, "partner-gateway")


def test_nothing_is_added_after_the_end(visitor: FirewatchVisitor) -> None:
    visitor.call("declare_resolved", DECLARE)
    before = visitor.frames
    look(visitor, ROOT)
    assert visitor.frames == before
    assert "over" in visitor.problem


@pytest.mark.slow
def test_an_incident_is_started_from_the_form(visitor: FirewatchVisitor) -> None:
    episode._start(visitor, DEADLOCK, " 7 ")
    assert visitor.reset == {"task_id": DEADLOCK, "seed": 7}
    with pytest.raises(InvalidValueError, match="seed is 'x'; allowed: a whole number"):
        episode._start(visitor, DEADLOCK, "x")
    page = whole_page()
    episode._start_drawn(page, visitor, "validation", 4)
    assert visitor.session.task_id == "validation_medium_4"
    card = episode.card_html(page, visitor)
    assert "Medium: 8 services, 30 ticks" in card
    assert "You are the engineer on call" in card


def test_figures_by_key_are_a_table_and_log_lines_are_lines(visitor: FirewatchVisitor) -> None:
    scenes = FirewatchScenes(ENVIRONMENT)
    look(visitor, ROOT, "thread_dump")
    assert visitor.reply is not None
    html = scenes.answer_html(observed(visitor.reply))
    assert "<caption>pools (4)</caption>" in html
    assert "{" not in html
    look(visitor, ROOT, "fetch_logs")
    assert scenes.answer_html(observed(visitor.reply)).startswith('<ol class="fw-logs"')


@pytest.mark.slow
def test_a_server_without_the_page_loads_none_of_it() -> None:
    program = (
        "import sys; from firewatch_env.environment import ENVIRONMENT as e; e.session().reset(); "
        "print([n for n in sys.modules if n in ('gradio', 'plotly') or '.page.' in n])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
