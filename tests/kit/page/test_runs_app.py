"""Routes of the Runs tab: what they return, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.environment import get_environment
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.runs_app import EnvironmentPage, build_runs_app, parse_runs_folders
from openenv_kit.trainers.tool_episode import ToolEpisode
from support.recorded_runs import record_runs

EASY = {"task_id": "easy_single_spike"}
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
PAGES = {"firewatch": EnvironmentPage("Firewatch", "../firewatch/web/")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record_runs(tmp_path / "reference.jsonl", "reference", [EASY])
    return tmp_path


@pytest.fixture
def client(folder: Path) -> TestClient:
    view = get_environment_view_or_default(ENVIRONMENT)
    return TestClient(build_runs_app(view, [folder], PAGES))


def find_id(client: TestClient, player: str) -> str:
    rollouts = client.get("/list").json()["rollouts"]
    return str(next(each["id"] for each in rollouts if each["player"] == player))


def change_start(lines: str, **changes: Any) -> str:
    start, *rest = lines.splitlines()
    return "\n".join([json.dumps(json.loads(start) | changes), *rest])


def test_list_contains_own_folders_and_the_package_and_is_sent_once(client: TestClient) -> None:
    response = client.get("/list")
    sources = {each["source"] for each in response.json()["rollouts"]}
    assert sources == {"reference.jsonl", "example-model.jsonl"}
    assert response.json()["levels"] == ["easy", "medium", "hard"]
    again = client.get("/list", headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_list_grows_with_its_folder(client: TestClient, folder: Path) -> None:
    before = len(client.get("/list").json()["rollouts"])
    record_runs(folder / "more.jsonl", "null", [{"seed": 3}])
    assert len(client.get("/list").json()["rollouts"]) == before + 1


def test_rollout_has_calls_transcript_and_summary(client: TestClient) -> None:
    found = client.get("/rollout", params={"id": find_id(client, "reference")}).json()
    assert (found["player"], found["task"], found["score"]) == ("reference", EASY["task_id"], 1.0)
    assert found["calls"][-1] == "submit 2 rows"
    assert found["transcript"].count("<li data-step=") == len(found["calls"]) + 1
    assert "found</b>" in found["summary"]
    assert (found["notice"], found["errors"]) == ("", [])


def test_charts_show_only_what_was_read_by_the_step(client: TestClient) -> None:
    rollout_id = find_id(client, "reference")

    def charts(step: int, unread: str = "") -> str:
        parameters: Mapping[str, Any] = {"id": rollout_id, "step": step, "unread": unread}
        return str(client.get("/step", params=parameters).json()["charts"])

    assert charts(0) != charts(4)
    assert charts(99) == charts(6)
    assert "v-matched" not in charts(6)
    assert charts(6, "1") != charts(6)
    assert charts(4, "1") == charts(4)


def test_summary_gives_a_verdict_on_each_expected_row_with_its_step(client: TestClient) -> None:
    rollouts = client.get("/list").json()["rollouts"]
    failing = next(
        each for each in rollouts if each["score"] == 0.0 and each["task"] == EASY["task_id"]
    )
    found = client.get("/rollout", params={"id": failing["id"]}).json()
    assert "1 of 6 calls rejected" in found["summary"]
    assert found["errors"] == [3]
    for outcome in ("never read", "read but not reported", "consequence reported instead"):
        assert f"<b>{outcome}</b>" in found["summary"]


def test_posted_rollout_is_opened_and_named_by_a_key(client: TestClient, folder: Path) -> None:
    record_runs(folder / "null.jsonl", "null", [{"seed": 3}])
    lines = (folder / "null.jsonl").read_text()
    posted = client.post("/rollout", content=lines).json()
    assert posted["id"] == find_id(client, "null")
    assert posted["key"] != posted["id"]
    step = client.get("/step", params={"id": posted["key"], "step": 2})
    assert step.status_code == 200
    other = TestClient(build_runs_app(get_environment_view_or_default(ENVIRONMENT), [], PAGES))
    other.post("/rollout", content=lines)
    assert other.get("/rollout", params={"id": posted["id"]}).status_code == 404


@pytest.mark.parametrize("rollout_id", ["", "0" * 16, "../secret", "%00", "x" * 5000])
def test_unknown_id_is_not_found(client: TestClient, rollout_id: str) -> None:
    response = client.get("/rollout", params={"id": rollout_id})
    assert response.status_code == 404


@pytest.mark.parametrize("step", ["", "-1", "1e9", "x" * 100, "٣"])
def test_malformed_step_is_the_reset(client: TestClient, step: str) -> None:
    rollout_id = find_id(client, "reference")
    response = client.get("/step", params={"id": rollout_id, "step": step})
    assert response.status_code == 200


def test_rollout_of_another_environment_leads_to_its_page(
    client: TestClient, tmp_path: Path
) -> None:
    path = tmp_path / "other.jsonl"
    record_runs(path, "null", [{"seed": 1}], get_environment("firewatch"))
    for lines in (path.read_text(), change_start(path.read_text(), environment="")):
        response = client.post("/rollout", content=lines)
        assert response.status_code == 409
        assert response.json()["href"] == "../firewatch/web/"
        assert response.json()["detail"].startswith("This is a rollout of ")


def change_private(lines: str) -> str:
    return change_start(lines, private=True)


def replace_all(_: str) -> str:
    return "nonsense"


def make_long(lines: str) -> str:
    return lines + " " * 900_001


@pytest.mark.parametrize(
    ("change", "status", "detail"),
    [
        (change_private, 422, "private"),
        (make_long, 413, "more than 900,000"),
        (replace_all, 422, "not JSON"),
        (lambda lines: lines.split("\n", 1)[1], 422, "not a line of a recorded run"),
    ],
)
def test_rollout_that_may_not_be_shown_is_refused_with_the_reason(
    client: TestClient, folder: Path, change: Callable[[str], str], status: int, detail: str
) -> None:
    response = client.post("/rollout", content=change((folder / "reference.jsonl").read_text()))
    assert response.status_code == status
    assert detail in response.json()["detail"]


def test_other_versions_show_only_the_recorded_messages(client: TestClient, folder: Path) -> None:
    lines = change_start((folder / "reference.jsonl").read_text(), versions={"generator": "1"})
    found = client.post("/rollout", content=lines).json()
    assert "another version" in found["notice"]
    assert "Only the recorded messages are shown." in found["notice"]
    step = client.get("/step", params={"id": found["key"], "step": 1}).json()
    assert "without a replay" in step["charts"]


def test_reply_that_differs_from_the_recording_is_reported(
    client: TestClient, folder: Path
) -> None:
    lines = (folder / "reference.jsonl").read_text().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | {"digest": "0" * 64})
    found = client.post("/rollout", content="\n".join(lines)).json()
    assert "another reply to step 3" in found["notice"]
    assert found["replayed"] == 0


def test_unreadable_line_is_named_and_what_stands_before_is_shown(
    client: TestClient, folder: Path
) -> None:
    lines = (folder / "reference.jsonl").read_text().splitlines()
    found = client.post("/rollout", content="\n".join([*lines[:4], "{broken"])).json()
    assert found["notice"].startswith("line 5: not JSON.")
    assert len(found["calls"]) == 3


def test_sealed_task_is_not_replayed(client: TestClient, folder: Path) -> None:
    lines = (folder / "reference.jsonl").read_text()
    sealed = change_start(lines, reset={"split": "sealed", "index": 0})
    found = client.post("/rollout", content=sealed).json()
    assert "Sealed tasks are not replayed" in found["notice"]
    assert found["replayed"] == 0


def test_markup_of_models_and_arguments_is_escaped(client: TestClient, folder: Path) -> None:
    episode = ToolEpisode(record=folder, player_name=MARKUP)
    episode.reset(EASY)
    episode.call_tool(MARKUP, {"a": MARKUP}, MARKUP)
    episode.call_tool("rows_for_date", {"date": MARKUP}, f"<think>{MARKUP}</think>{MARKUP}")
    episode.record_text_without_call(MARKUP)
    episode.close()
    found = client.get("/rollout", params={"id": find_id(client, MARKUP)}).json()
    step = client.get("/step", params={"id": found["key"], "step": 1}).json()
    for html in (found["summary"], found["transcript"], step["reply"], step["charts"]):
        assert "<script>alert" not in html
        assert "<img" not in html
    assert "&lt;script&gt;" in found["transcript"]


def test_script_files_are_served_and_nothing_else(client: TestClient) -> None:
    assert client.get("/static/main.js").status_code == 200
    for path in ("/static/../runs_app.py", "/static/%2e%2e/bridge.js", "/nothing"):
        assert client.get(path).status_code == 404


def test_folders_in_the_setting_are_separated_by_commas() -> None:
    assert parse_runs_folders(" a , /b/c,,") == [Path("a"), Path("/b/c")]
    assert parse_runs_folders("") == []
