"""The page in a real Chromium, driven by clicks and keys against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from web import conftest as web_tests
from web.conftest import CUT_OFF, Visit, WebServer, page_client, web_server

from firewatch_env.environment import ENVIRONMENT
from firewatch_env.page.story import GROUP_OF
from openenv_kit.play.driver import moves, observed
from openenv_kit.play.recording import RunRecorder

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OpenVisit = Callable[..., Visit]
FIRST = "task_easy_oom_baseline"
DEADLOCK = "task_easy_thread_deadlock"
TAB = "[role=tab]"
SHORTEST = "task_easy_timeout_propagation"
"""The named task that the reference policy ends in the fewest ticks."""

browser, visit = web_tests.browser, web_tests.visit


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server of this environment's page; its models run on loopback."""
    log = tmp_path_factory.mktemp("firewatch") / "server.log"
    variables = {"ENVIRONMENT": "firewatch", "METRIC_TRACKER_PRIVATE_ENDPOINTS": "true"}
    with web_server(log, **variables) as server:
        yield server


@pytest.fixture
def open_visit(visit: OpenVisit) -> OpenVisit:
    return lambda **options: visit(told=FIRST, **options)


def task_label(task: str) -> str:
    return task.removeprefix("task_").replace("_", " ").replace(" ", ": ", 1)


def start(mine: Visit, task: str) -> None:
    mine.choose("#fw-task", task_label(task))
    mine.page.click("#mt-start")
    mine.sees("#mt-card", task)
    mine.tab("Incident")
    expect(mine.page.locator("#mt-graph .js-plotly-plot")).to_be_visible()


def act(mine: Visit, action: Mapping[str, Any], tick: int) -> None:
    """Take an action by clicks, and wait for the tick to pass."""
    name, target = action["action_type"], action.get("target_service")
    group = GROUP_OF[name]
    mine.tab(group.title())
    chosen = mine.page.locator(f"#fw-{group}-action input").first
    if chosen.input_value() != name:
        mine.choose(f"#fw-{group}-action", name)
    if target and mine.page.locator("#fw-service input").first.input_value() != target:
        mine.choose("#fw-service", target)
        expect(mine.page.locator("#fw-services [aria-current]")).to_contain_text(target)
    for parameter, value in action.get("parameters", {}).items():
        label = f"{parameter.replace('_', ' ')} (optional)"
        field = mine.page.get_by_label(label).locator("visible=true")
        expect(field).to_have_value("")
        if isinstance(value, str):
            field.click()
            mine.page.get_by_role("option", name=value, exact=True).first.click()
        else:
            field.fill(f"{value:.0f}")
            field.press("Tab")
    mine.page.click(f"#fw-{group}-run")
    mine.sees("#fw-headline dd", f"{tick} of")


def reference(task: str) -> list[Mapping[str, Any]]:
    session = ENVIRONMENT.session()
    opening = session.reset(task_id=task)
    return [action for action, _ in moves(session, ENVIRONMENT.policies["reference"], opening)]


def test_an_incident_is_solved_by_clicks_alone(open_visit: OpenVisit) -> None:
    mine = open_visit(width=1400)
    start(mine, SHORTEST)
    mine.tab("Watch")
    mine.tab("Race")
    mine.page.click("#mt-race-start")
    mine.sees("#mt-status", "race: reference 0")
    mine.tab("Incident")
    deeds = reference(SHORTEST)
    for tick, action in enumerate(deeds, start=1):
        assert mine.page.locator("#fw-score .mt-outcome").count() == 0
        expect(mine.page.locator("#mt-harm")).to_be_hidden()
        act(mine, action, tick)
    mine.sees(".fw-score", "1.0000")
    mine.sees("#fw-score", "No change was unneeded")
    mine.sees("#fw-score", "Declared over, and it was")
    mine.sees("#mt-status", f"tick {len(deeds)} of 20 · over")
    names = mine.page.locator("#mt-harm .legendtext")
    expect(names).to_have_text(["nobody acted", "reference", "you"])
    expect(mine.page.locator("#fw-moves li")).to_have_count(len(deeds))
    expect(mine.page.locator("#fw-score .mt-outcome")).to_be_in_viewport()
    same_call(mine).click()
    reads_the_same_call(mine)
    mine.tab("Watch")
    expect(mine.page.locator("#mt-race section section")).to_have_count(2)
    mine.sees("#mt-race section section:last-child", "1.0000")


def same_call(mine: Visit) -> Locator:
    return mine.page.locator("#mt-answer summary", has_text="The same call")


def reads_the_same_call(mine: Visit) -> None:
    """In all three ways; the last deed was a declaration."""
    for way, call in (
        ("Python", "env.step(FirewatchAction(action_type='declare_resolved'"),
        ("curl", '"action_type": "declare_resolved"'),
        ("MCP", '"name": "declare_resolved"'),
    ):
        expect(mine.page.get_by_role("region", name=way, exact=True)).to_contain_text(call)


def test_parameters_are_filled_in_where_an_action_takes_them(open_visit: OpenVisit) -> None:
    mine = open_visit()
    start(mine, FIRST)
    more = {"action_type": "scale_replicas", "target_service": "profile-db"}
    act(mine, {**more, "parameters": {"replicas": 8}}, 1)
    mine.sees("#fw-moves", "scale_replicas profile-db replicas=8")
    mine.sees("#mt-answer", "8 pods (usual 4)")
    broken = {"action_type": "circuit_break", "target_service": "profile-db"}
    act(mine, {**broken, "parameters": {"state": "closed"}}, 2)
    mine.sees("#mt-answer", "breakers already closed")
    act(mine, {"action_type": "escalate"}, 3)
    mine.sees("#fw-moves li", "escalated")


def test_a_service_is_chosen_in_the_graph_and_in_the_table(open_visit: OpenVisit) -> None:
    mine = open_visit()
    start(mine, DEADLOCK)
    service = mine.page.locator("#fw-service input").first
    expect(service).to_have_value("mobile-gateway")
    label = mine.page.locator("#mt-graph .textpoint", has_text="banner-")
    expect(label).to_be_visible()
    box = label.bounding_box()
    assert box is not None
    # A service's name stands to the right of its mark.
    mine.page.mouse.click(box["x"] - 12, box["y"] + box["height"] / 2)
    expect(service).to_have_value("banner-api")
    mine.sees("#fw-detail", "banner-api")
    mine.page.get_by_role("button", name="Look at profile-api").focus()
    mine.page.keyboard.press("Enter")
    expect(service).to_have_value("profile-api")
    mine.sees("#fw-logs", "No logs of profile-api fetched yet")
    mine.sees("#mt-status", "tick 0 of 20")


def test_a_drawn_incident_is_started_and_a_bad_seed_is_explained(open_visit: OpenVisit) -> None:
    mine = open_visit()
    seed = mine.page.get_by_label("Seed (optional)")
    seed.fill("many")
    seed.press("Tab")
    mine.page.click("#mt-start")
    mine.sees("#mt-status", "seed is 'many'; allowed: a whole number")
    mine.page.get_by_role("button", name="One of a split").click()
    mine.page.get_by_label("Place in the split").fill("5")
    mine.page.get_by_label("Place in the split").press("Tab")
    mine.page.click("#fw-start-split")
    mine.sees("#mt-card", "train_hard_5")
    mine.sees("#mt-status", "tick 0 of 40")


def test_an_incident_is_raced_and_declared_by_keyboard_alone_and_then_over(
    open_visit: OpenVisit, web: WebServer, tmp_path: Path
) -> None:
    mine, path = open_visit(), tmp_path / "run.jsonl"
    mine.type("#fw-task input", task_label(DEADLOCK))
    mine.press("#mt-start")
    mine.sees("#mt-card", DEADLOCK)
    mine.press(TAB, "Watch", back=True)
    mine.press(TAB, "Race")
    mine.press("#mt-race-start")
    mine.sees("#mt-status", "race: reference 0")
    mine.press(TAB, "Incident", back=True)
    mine.press("#fw-look-run")
    mine.sees("#mt-status", "race: reference 1")
    with page_client(web.url) as other:  # who plays at the same time
        told = json.loads(other.predict({"task_id": SHORTEST}, api_name="/start"))
        assert told["message"]
    mine.page.reload()
    mine.sees("#mt-status", "tick 1 of 20")
    mine.problems.clear()  # what was open when the page was left
    mine.press(TAB, GROUP_OF["declare_resolved"].title())
    mine.type(f"#fw-{GROUP_OF['declare_resolved']}-action input", "declare_resolved")
    mine.press(f"#fw-{GROUP_OF['declare_resolved']}-run")
    mine.sees(".fw-score", "0.0000")
    mine.press("#mt-answer summary", same_call(mine).inner_text())
    reads_the_same_call(mine)
    mine.press("#fw-reveal")
    mine.sees("#fw-revealed", "The reference")
    mine.press(TAB, "Watch", back=True)
    mine.press(TAB, "Race")
    mine.sees("#mt-race section section:last-child", "1.0000")
    record(path)
    path.write_text(path.read_text()[:-9])
    lines = len(path.read_text().splitlines())
    mine.press(TAB, "Recording", back=True)
    mine.open_file(path)
    mine.sees("#mt-recording", f"Line {lines}: not JSON. What stands before it is shown.")
    mine.sees("#mt-scene", "step 0 of")
    mine.tab("Incident")
    mine.tab("Look")
    mine.page.click("#fw-look-run")
    mine.sees("#mt-status", "This episode is over.")
    mine.tab("Episode")
    start(mine, DEADLOCK)
    expect(mine.page.locator("#fw-score .mt-outcome")).to_have_count(0)
    expect(mine.page.locator("#mt-harm")).to_be_hidden()


def test_a_policy_a_model_and_a_recording_are_watched(
    open_visit: OpenVisit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fake_model import SCRIPTS, answer, fake_model

    mine, path = open_visit(), tmp_path / "run.jsonl"
    mine.tab("Watch")
    mine.page.click("#mt-watch-policy")
    mine.sees("#mt-scene", "step 0 of")
    mine.page.click("#mt-step")
    mine.sees("#mt-scene", "trace_distributed_request mobile-gateway")
    mine.sees("#fw-watched", "1 of 20")
    assert mine.page.locator("#fw-watched-score .mt-outcome").count() == 0
    mine.page.click("#mt-end")
    mine.sees("#fw-watched-score .fw-score", "1.0000")
    expect(mine.page.locator("#mt-watched-harm .legendtext")).to_have_count(3)
    mine.sees("#mt-status", "tick 0 of 20")
    mine.tab("Recording")
    record(path)
    with mine.page.expect_file_chooser() as chooser:
        mine.page.click("#mt-upload")
    chooser.value.set_files(path)
    mine.sees("#mt-scene", "step 0 of")
    mine.page.click("#mt-end")
    mine.sees("#mt-scene", "The answer is the recorded one.")
    mine.sees("#fw-watched-score", "Declared over, and it was")
    calls = cycle(
        [
            ("fetch_logs", {"target_service": "profile-db"}),
            ("fetch_lags", {}),
            ("restart_service", {"target_service": "profile-db"}),
            ("declare_resolved", {}),
        ]
    )
    for name in ("on-call", "on-call-again"):
        monkeypatch.setitem(SCRIPTS, name, lambda *_: answer(next(calls)))
    with fake_model() as model:
        mine.tab("Model")
        address = mine.page.get_by_label("OpenAI-compatible endpoint")
        mine.page.get_by_label("Model", exact=True).fill("on-call")
        mine.page.locator("#mt-key input").fill("sk-some-key")
        address.fill(model.url)
        expect(address).to_have_value(model.url)
        mine.page.click("#mt-watch-model")
        mine.sees("#mt-scene", "on-call · step")
        mine.page.click("#mt-end")
        mine.sees("#fw-watched-score", "Score")
        mine.watch_model(model.url, "on-call-again")
        mine.sees("#fw-watched-score", "Score")
    mine.page.locator("#mt-frames button", has_text="fetch_lags").click()
    mine.sees("#mt-scene", "Unknown tool 'fetch_lags'")
    mine.sees("#fw-watched", "1 of 20")
    a_first_visit_shows_the_reference(open_visit())


def a_first_visit_shows_the_reference(new: Visit) -> None:
    new.page.evaluate("sessionStorage.clear()")
    new.page.add_init_script("localStorage.clear()")
    new.page.goto(new.page.url.partition("?")[0])
    new.sees("#mt-first", "A run plays by itself.")
    new.sees("#mt-scene", "reference · step")
    new.page.get_by_role("button", name="Play it yourself").click()
    new.sees("#mt-card", "task_")
    expect(new.page.locator("#mt-first button")).to_have_count(0)
    new.sees("#mt-status", "tick 0 of")
    new.problems.clear()  # what was open when the page was left


def record(path: Path) -> None:
    """A recorded run of the reference policy."""
    session, reset = ENVIRONMENT.session(), {"task_id": DEADLOCK}
    opening = session.reset(**reset)
    with path.open("w") as stream:
        recorder = RunRecorder(
            stream, "reference", reset, json.loads(json.dumps(observed(opening)))
        )
        for action, reply in moves(session, ENVIRONMENT.policies["reference"], opening):
            recorder.step(action, observed(reply))
        recorder.end(reply.reward)


def test_a_phone_shows_every_tab_without_scrolling_sideways(open_visit: OpenVisit) -> None:
    mine = open_visit(width=390, color_scheme="dark")
    start(mine, "task_hard_metastable_failure")
    act(mine, {"action_type": "fetch_logs", "target_service": "payment-api"}, 1)
    act(mine, {"action_type": "declare_resolved"}, 2)
    mine.sees(".fw-score", "0.0000")
    cut_off: dict[tuple[str, str], list[str]] = {}
    for scheme in ("dark", "light"):
        mine.page.emulate_media(color_scheme=scheme)
        for tab in ("Episode", "Incident", "Watch"):
            mine.tab(tab)
            width = mine.page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, (scheme, tab)
            cut_off[scheme, tab] = mine.page.evaluate(CUT_OFF)
        mine.tab("Incident")
        for chart in ("graph", "detail", "budget", "harm"):
            drawn = mine.page.locator(f"#mt-{chart} .main-svg").first.bounding_box()
            assert drawn is not None
            assert 300 < drawn["width"] <= 390, (scheme, chart)
        dark = mine.page.evaluate("document.body.classList.contains('dark')")
        assert dark is (scheme == "dark")
    assert {place: what for place, what in cut_off.items() if what} == {}


def test_no_tab_has_a_barrier_in_either_theme(open_visit: OpenVisit) -> None:
    mine = open_visit(width=1400)
    start(mine, DEADLOCK)
    act(mine, {"action_type": "fetch_logs", "target_service": "profile-api"}, 1)
    act(mine, {"action_type": "declare_resolved"}, 2)
    mine.sees("#fw-score .mt-fall", "closure")
    mine.page.click("#fw-reveal")
    mine.sees("#fw-revealed", "The reference")
    mine.tab("Watch")
    mine.page.click("#mt-watch-policy")
    mine.sees("#mt-scene", "step 0 of")
    mine.page.click("#mt-end")
    mine.sees("#fw-watched-score", "1.0000")
    found = {}
    for scheme in ("light", "dark"):
        mine.page.emulate_media(color_scheme=scheme)
        for tab in ("Episode", "Incident", "Watch"):
            mine.tab(tab)
            found[scheme, tab] = mine.barriers()
    assert {place: each for place, each in found.items() if each} == {}
