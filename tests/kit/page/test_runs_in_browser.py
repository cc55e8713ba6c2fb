"""The Runs tab in a browser: list, addresses, keys, comparison, opened files, and markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from openenv_kit.recordings.rollout_catalogue import RolloutCatalogue
from openenv_kit.trainers.tool_episode import ToolEpisode
from support.browser import CUT_OFF, Visit, WebServer, web_server
from support.recorded_runs import record_runs, record_split

pytestmark = [pytest.mark.slow, pytest.mark.browser]

OpenVisit = Callable[..., Visit]
EASY = {"task_id": "easy_single_spike"}
MARKUP = "<img src=x onerror=document.title='run'>"
DRAWN = ".mt-runs-rows, .mt-runs-tasks, .mt-runs-empty, .mt-runs-reply > *"


class RunsServer:
    """A server with a folder of recordings."""

    def __init__(self, server: WebServer, folder: Path) -> None:
        self.url, self.folder = server.url, folder

    def find_id(self, player: str, task: str) -> str:
        rollouts = RolloutCatalogue([self.folder], "metric_tracker_rl").list_rollouts().rollouts
        return next(each.id for each in rollouts if (each.player, each.task) == (player, task))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunsServer]:
    folder = tmp_path_factory.mktemp("runs")
    record_split(folder / "reference.jsonl", "reference", range(4), split="test")
    record_split(folder / "median.jsonl", "median_filter", range(4), split="test")
    episode = ToolEpisode(record=folder, player_name="step 200")
    episode.reset({"split": "test", "index": 1})
    episode.call_tool("task_overview", {}, f"First {MARKUP}")
    episode.call_tool("no_tool", {"x": MARKUP}, "Which tool?")
    episode.call_tool("rows_for_date", {"date": MARKUP}, "And the rows.")
    episode.call_tool("list_dates", {}, "The dates, then.")
    episode.close()
    with web_server(folder.parent / "log", OPENENV_KIT_RUNS=str(folder)) as started:
        yield RunsServer(started, folder)


@pytest.fixture
def open_runs(visit: OpenVisit, server: RunsServer) -> Callable[..., Visit]:
    def open_page(query: str = "", width: int = 1440, **options: str) -> Visit:
        path = f"/web/?tab=runs{query}"
        mine = visit(width=width, url=server.url, path=path, **options)
        mine.page.wait_for_selector(".mt-runs-rows tbody tr, .mt-runs-pane > h2, .mt-runs-empty")
        return mine

    return open_page


def query_of(mine: Visit) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(mine.page.url).query).items()}


def column(mine: Visit, number: int) -> list[str]:
    return mine.page.locator(f".mt-runs-rows tbody tr > :nth-child({number})").all_inner_texts()


def test_list_is_filtered_sorted_and_searched_and_the_address_keeps_it(
    open_runs: Callable[..., Visit],
) -> None:
    mine = open_runs()
    mine.page.select_option("select[name=player]", "median_filter")
    expect(mine.page.locator(".mt-runs-rows tbody tr")).to_have_count(4)
    assert "median_filter (4)" in mine.text("select[name=player]")
    mine.page.click("[data-sort=score]")
    scores = [float(score) for score in column(mine, 3)]
    assert scores == sorted(scores)
    mine.page.click("[data-sort='-score']")
    assert query_of(mine) == {"tab": "runs", "player": "median_filter", "sort": "-score"}
    again = open_runs("&player=median_filter&sort=-score")
    assert column(again, 3) == sorted(column(again, 3), reverse=True)
    assert set(column(again, 4)) == {"median_filter"}
    again.page.fill("input[name=search]", "test-2")
    expect(again.page.locator(".mt-runs-rows tbody tr")).to_have_count(1)
    again.page.fill("input[name=search]", "no such rollout")
    again.sees(".mt-runs-empty", "No rollout matches")
    again.page.click(".mt-runs-empty button")
    assert len(column(again, 1)) > 8


def test_summary_shows_means_by_level_and_the_difference_on_common_tasks(
    open_runs: Callable[..., Visit],
) -> None:
    mine = open_runs("&search=test-")
    means = mine.page.locator(".mt-runs-means tbody tr").all_inner_texts()
    assert any(line.startswith("reference") and "1.00 ± 0.00" in line for line in means)
    assert "4 common tasks" in mine.text(".mt-runs-pairs")
    mine.page.check("input[name=tasks]")
    expect(mine.page.locator(".mt-runs-tasks tbody tr")).to_have_count(4)
    assert query_of(mine)["view"] == "tasks"


def test_address_leads_to_the_same_rollout_step_and_comparison_in_another_browser(
    open_runs: Callable[..., Visit], server: RunsServer
) -> None:
    failing = server.find_id("step 200", "test-1")
    reference = server.find_id("reference", "test-1")
    mine = open_runs(f"&id={failing}&step=2&with={reference}")
    mine.sees(".mt-runs-at", "step 2 of")
    expect(mine.page.locator(".mt-runs-pane > h2")).to_have_text(
        ["step 200, test-1: 0.00", "reference, test-1: 1.00"]
    )
    expect(mine.page.locator(".mt-talk .now")).to_have_count(2)
    mine.sees(".mt-runs-difference", "First difference: step 2.")
    expect(mine.page.locator(".mt-talk .different")).to_have_count(2)
    assert mine.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = [pane.bounding_box() for pane in mine.page.locator(".mt-runs-pane").all()]
    assert boxes[0]
    assert boxes[1]
    assert abs(boxes[0]["width"] - boxes[1]["width"]) < 30
    assert boxes[0]["y"] == boxes[1]["y"]


def test_step_of_the_summary_leads_to_the_call(
    open_runs: Callable[..., Visit], server: RunsServer
) -> None:
    mine = open_runs(f"&id={server.find_id('step 200', 'test-1')}")
    mine.sees(".mt-why", "No report: stopped after step 3.")
    mine.sees(".mt-why", "2 of 4 calls rejected")
    mine.sees(".mt-why", "never read")
    mine.page.locator(".mt-why ul a").first.click()
    mine.sees(".mt-talk .now", "no_tool")
    assert query_of(mine)["step"] == "2"
    mine.sees(".mt-runs-reply", "is not in this episode")


def test_keys_walk_steps_errors_and_rollouts(
    open_runs: Callable[..., Visit], server: RunsServer
) -> None:
    mine = open_runs("&sort=player&player=reference")
    press = mine.page.keyboard.press
    press("/")
    assert mine.page.evaluate("document.activeElement.name") == "search"
    mine.page.keyboard.type("j")  # in a field, keys are text
    assert query_of(mine)["search"] == "j"
    mine.page.fill("input[name=search]", "")
    mine.page.locator(".mt-runs-rows a").first.click()
    mine.sees(".mt-runs-pane > h2", "reference, test-0")
    last = mine.text(".mt-runs-at")
    press("k")
    expect(mine.page.locator(".mt-runs-at")).not_to_have_text(last)
    press("ArrowRight")
    mine.sees(".mt-runs-at", last)
    press("n")
    mine.sees(".mt-runs-pane > h2", "reference, test-1")
    press("p")
    mine.sees(".mt-runs-pane > h2", "reference, test-0")
    press("c")
    assert mine.page.evaluate("document.activeElement.name") == "with"
    mine.page.locator(".mt-runs-pane > h2").click()
    press("?")
    mine.sees("dialog.mt-runs-keys[open]", "next rejected call")
    press("Escape")
    press("Escape")
    expect(mine.page.locator(".mt-runs-rows")).to_be_visible()
    failing = open_runs(f"&id={server.find_id('step 200', 'test-1')}&step=0")
    failing.sees(".mt-runs-at", "step 0 of")
    failing.page.keyboard.press("e")
    failing.sees(".mt-runs-at", "step 2 of")


def test_two_ticked_rows_are_compared_and_back_returns_to_the_list(
    open_runs: Callable[..., Visit],
) -> None:
    mine = open_runs("&search=test-3")
    expect(mine.page.locator("[name=compare]")).to_be_disabled()
    for box in mine.page.locator("[data-tick]").all():
        box.check()
    mine.page.click("[name=compare]")
    expect(mine.page.locator(".mt-runs-pane > h2")).to_have_count(2)
    mine.page.go_back()
    expect(mine.page.locator(".mt-runs-rows")).to_be_visible()
    assert query_of(mine) == {"tab": "runs", "search": "test-3"}


def test_rollout_that_is_not_on_the_server_is_opened_from_its_file(
    open_runs: Callable[..., Visit], tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.jsonl"
    record_runs(path, "null", [EASY, {"seed": 5}], player_name="on my machine")
    path.write_text(path.read_text() + "{broken\n")
    rollouts = RolloutCatalogue([tmp_path], "metric_tracker_rl").list_rollouts().rollouts
    wanted = next(each.id for each in rollouts if each.task == "easy_single_spike")
    mine = open_runs(f"&id={wanted}&step=1")
    mine.sees(".mt-runs-empty", "This rollout is not on this server.")
    mine.problems.clear()  # the browser reports the response 404
    mine.page.set_input_files("#mt-runs input[type=file] >> nth=0", path)
    mine.sees(".mt-runs-pane > h2", "on my machine, easy_single_spike")
    mine.sees(".mt-runs-at", "step 1 of 1")
    assert query_of(mine)["id"] == wanted
    mine.page.keyboard.press("Escape")
    mine.page.select_option("select[name=player]", "on my machine")
    expect(mine.page.locator(".mt-runs-rows tbody tr")).to_have_count(2)
    mine.sees(".mt-runs-problems", "elsewhere.jsonl, line")


def test_id_without_the_browsers_digest_is_the_same(
    open_runs: Callable[..., Visit], tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.jsonl"
    record_runs(path, "null", [{"seed": 6}], player_name="without HTTPS")
    (rollout,) = RolloutCatalogue([tmp_path], "metric_tracker_rl").list_rollouts().rollouts
    mine = open_runs()
    mine.page.evaluate("Object.defineProperty(crypto, 'subtle', { value: undefined })")
    mine.page.set_input_files("#mt-runs input[type=file] >> nth=0", path)
    expect(mine.page.locator(f"[data-tick='{rollout.id}']")).to_have_count(1)


def test_markup_of_models_arguments_and_files_is_shown_and_not_run(
    open_runs: Callable[..., Visit], server: RunsServer, tmp_path: Path
) -> None:
    path = tmp_path / f"{MARKUP.replace('/', '')}.jsonl"
    record_runs(path, "null", [{"seed": 8}], player_name=MARKUP)
    mine = open_runs()
    mine.page.set_input_files("#mt-runs input[type=file] >> nth=0", path)
    mine.page.fill("input[name=search]", "onerror")
    expect(mine.page.locator(".mt-runs-rows tbody tr")).to_have_count(1)
    assert MARKUP in mine.text(".mt-runs-rows tbody")
    mine.page.locator(".mt-runs-rows a").first.click()
    mine.sees(".mt-runs-pane > h2", MARKUP)
    other = open_runs(f"&id={server.find_id('step 200', 'test-1')}&step=2")
    other.sees(".mt-talk", f"First {MARKUP}")
    for page in (mine.page, other.page):
        assert page.title() != "run"
        assert page.locator("#mt-runs img").count() == 0


def test_list_refreshes_when_its_folder_grows(
    open_runs: Callable[..., Visit], server: RunsServer
) -> None:
    mine = open_runs("&player=step 300")
    mine.sees(".mt-runs-empty", "No rollout matches")
    record_runs(server.folder / "growing.jsonl", "null", [EASY], player_name="step 300")
    mine.sees(".mt-runs-rows", "step 300")


def test_other_tabs_drop_the_address_of_a_rollout_and_coming_back_restores_it(
    open_runs: Callable[..., Visit], server: RunsServer
) -> None:
    rollout_id = server.find_id("reference", "test-1")
    mine = open_runs(f"&id={rollout_id}&step=3")
    mine.sees(".mt-runs-at", "step 3 of")
    mine.tab("Leaderboard")
    mine.page.wait_for_function("!location.search.includes('id=')")
    mine.tab("Runs")
    mine.page.wait_for_function(f"location.search.includes('id={rollout_id}&step=3')")
    mine.sees(".mt-runs-at", "step 3 of")


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
def test_no_view_is_cut_off_and_axe_finds_no_barrier(
    open_runs: Callable[..., Visit], server: RunsServer, width: int
) -> None:
    failing = server.find_id("step 200", "test-1")
    reference = server.find_id("reference", "test-1")
    mine = open_runs(width=width)
    views = {
        "list": "&search=test",
        "tasks": "&view=tasks",
        "empty": "&search=nothing",
        "rollout": f"&id={failing}&step=2",
        "comparison": f"&id={failing}&with={reference}",
        "unknown": f"&id={'0' * 16}",
    }
    for name, query in views.items():
        mine.page.goto(f"{server.url}/web/?tab=runs{query}")
        mine.page.wait_for_selector(DRAWN)
        for _ in ("light", "dark"):
            assert mine.page.evaluate(CUT_OFF) == [], name
            assert mine.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            if width in (390, 1440):
                assert mine.barriers() == [], name
            mine.page.click("[data-mt=theme]")
    mine.problems.clear()  # the response 404, and requests of the pages that were left


def test_leaderboard_and_connect_have_no_barriers_and_lead_to_runs(
    visit: OpenVisit, server: RunsServer
) -> None:
    mine = visit(width=390, url=server.url, path="/web/?tab=leaderboard")
    mine.sees("#mt-board", "No language model is listed yet")
    for tab in ("Connect", "Leaderboard"):
        mine.tab(tab)
        mine.page.wait_for_selector(".mt-snippet:visible" if tab == "Connect" else ".mt-board")
        assert mine.barriers() == []
        assert mine.page.evaluate(CUT_OFF) == []
    links = mine.page.locator("table.mt-board a")
    expect(links).to_have_text(["reference", "median_filter"])  # no rollout of upstream_first
    assert links.first.get_attribute("href") == "?tab=runs&player=reference"
