"""The SQL level through every door, and that a query that works for long holds up nobody else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import inference
from drilldown.stranger import DOORS
from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.levels import QUERIES as SQL_TOOLS
from metric_tracker_rl.drilldown.policies import POLICIES
from metric_tracker_rl.drilldown.sql.database import Database
from metric_tracker_rl.drilldown.tasks import SPLITS
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.tools import called
from openenv_kit.play.recording import read_runs, replay
from openenv_kit.serving.app import build_app
from openenv_kit.serving.framework import worked
from openenv_kit.serving.settings import Settings
from openenv_kit.trainers.tool_calls import ToolEpisode, next_call

TASK = "drill_sql_saas_trial"
QUERY = {"analysis_method": "sql", "analysis_args": {"query": "SELECT count(*) FROM counts"}}
OTHER = {"analysis_method": "list_dates"}
LONGEST_S = 60.0
"""Longest wait for what has to come; a test that waits so long fails."""


@pytest.mark.slow
def test_the_reference_plays_by_queries_on_a_socket(server_url: str) -> None:
    episode = ToolEpisode(server_url)
    introduction = episode.reset({"task_id": TASK})
    assert list(episode.tools.names) == [*SQL_TOOLS]
    assert '"sql":{"table":"counts"' in introduction
    answers: list[str] = []
    while (call := next_call("reference", answers, introduction=introduction)) is not None:
        answers.append(episode.call(*call))
    assert episode.reward == 1.0
    assert all(json.loads(answer)["rows_left"] >= 0 for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize("door", ["http", "mcp"])
def test_the_reference_plays_by_queries_over_http_and_mcp(door: str, server_url: str) -> None:
    at = DOORS[door](server_url, TASK)
    player = POLICIES["drill_reference"].play({})
    action, used = next(player), set()
    while True:
        tool, arguments = called(action)
        used.add(tool)
        told = at.call(tool, arguments)
        units = ("numbers", "rows", "bytes", "calls")
        assert min(told[f"{unit}_left"] for unit in units) >= 0
        if tool == "submit_report":
            break
        action = player.send(told)
    assert used == {"overview", "change_log", "sql", "submit_report"}
    assert told["reward"] == 1.0


@pytest.mark.slow
def test_a_run_of_the_reference_is_recorded_and_replayed(tmp_path: Path, server_url: str) -> None:
    results, records = tmp_path / "results.json", tmp_path / "records"
    run = ["--tasks", TASK, "--policy", "reference", "--base-url", server_url]
    assert inference.main([*run, "--record", str(records), "--output", str(results)]) == 0
    assert [each["score"] for each in json.loads(results.read_text())["tasks"]] == [1.0]
    [recorded] = read_runs(records / f"{TASK}.jsonl")
    steps = list(replay(recorded))
    assert len(steps) > 5
    assert all(same for _, _, same in steps)


class HeldQuery:
    """Stands in for a query that works until it is let go.

    Attributes:
        begun: set once it works.
        let_go: set to let it end.
        over: whether it has ended.
    """

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.over = False

    def __call__(self, *_: object) -> tuple[dict[str, Any], dict[str, int]]:
        self.begun.set()
        self.let_go.wait(LONGEST_S)
        self.over = True
        return {"columns": [], "rows": [], "row_count": 0}, {"rows": 0, "bytes": 2}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldQuery]:
    query = HeldQuery()
    monkeypatch.setattr(Database, "query", lambda *_: query())
    yield query
    query.let_go.set()


Answer = dict[str, Any]


@contextmanager
def asked_on_a_socket(client: TestClient) -> Iterator[Callable[[], Answer]]:
    with client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset", "data": {"task_id": TASK}})
        assert socket.receive_json()["data"]["observation"]["status"] == "ready"

        def ask() -> Answer:
            socket.send_json({"type": "step", "data": QUERY})
            told: Answer = socket.receive_json()["data"]["observation"]
            return told

        yield ask


@contextmanager
def asked_over_http(client: TestClient) -> Iterator[Callable[[], Answer]]:
    episode = client.post("/reset", json={"task_id": TASK}).json()["episode_id"]

    def ask() -> Answer:
        body = {"action": QUERY, "episode_id": episode}
        told: Answer = client.post("/step", json=body).json()["observation"]
        return told

    yield ask


@contextmanager
def asked_over_mcp(client: TestClient) -> Iterator[Callable[[], Answer]]:
    player = client.post("/reset", json={"task_id": TASK}).json()["player_id"]
    parameters = {"name": "sql", "arguments": QUERY["analysis_args"]}

    def ask() -> Answer:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}
        headers = {"mcp-session-id": player}
        answer = client.post("/mcp", json=request, headers=headers).json()
        told: Answer = answer["result"]["structuredContent"]
        return told

    yield ask


@contextmanager
def asked_over_mcp_on_a_socket(client: TestClient) -> Iterator[Callable[[], Answer]]:
    with client.websocket_connect(f"/mcp?task_id={TASK}") as socket:

        def call(tool: str, arguments: Mapping[str, Any]) -> Answer:
            params = {"name": tool, "arguments": arguments}
            socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
            told: Answer = socket.receive_json()["result"]["structuredContent"]
            return told

        assert call("overview", {})["status"] == "analyzed"
        yield lambda: call("sql", QUERY["analysis_args"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "door", [asked_on_a_socket, asked_over_http, asked_over_mcp, asked_over_mcp_on_a_socket]
)
def test_others_play_on_while_a_query_is_under_way(door: Any, held: HeldQuery) -> None:
    app = build_app(Settings(episode_store="memory"))
    with (
        TestClient(app, base_url="http://localhost") as client,
        ThreadPoolExecutor(1) as pool,
        client.websocket_connect("/ws") as other,
        door(client) as ask,
    ):
        other.send_json({"type": "reset", "data": {}})
        assert other.receive_json()["data"]["observation"]["status"] == "ready"
        answer: Future[Answer] = pool.submit(ask)
        assert held.begun.wait(LONGEST_S)
        for _ in range(3):
            other.send_json({"type": "step", "data": OTHER})
            assert other.receive_json()["data"]["observation"]["status"] == "analyzed"
        assert not held.over
        assert not answer.done()
        held.let_go.set()
        told = answer.result(LONGEST_S)
    assert told["status"] == "analyzed"
    assert told["analysis_result"]["result"]["row_count"] == 0


def test_calls_at_once_on_one_episode_share_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go = threading.Event(), threading.Event()
    seen: list[int] = []

    def query(_: Database, text: str, left: Mapping[str, int]) -> tuple[Answer, dict[str, int]]:
        seen.append(left["numbers"])
        begun.set()
        let_go.wait(LONGEST_S)
        return {"columns": [], "rows": [], "row_count": 0}, {"numbers": 1_000}

    monkeypatch.setattr(Database, "query", query)
    app = build_app(Settings(episode_store="memory"))
    with (
        TestClient(app, base_url="http://localhost") as client,
        ThreadPoolExecutor(2) as pool,
        client.websocket_connect("/ws") as other,
        asked_over_http(client) as ask,
    ):
        other.send_json({"type": "reset", "data": {}})
        other.receive_json()
        answers = [pool.submit(ask) for _ in range(2)]
        assert begun.wait(LONGEST_S)
        for _ in range(3):  # long enough for the second call to arrive
            other.send_json({"type": "step", "data": OTHER})
            other.receive_json()
        let_go.set()
        left = {answer.result(LONGEST_S)["numbers_left"] for answer in answers}
    assert seen == [12_000, 11_000]
    assert left == {11_000, 10_000}


def test_others_play_on_while_an_episode_is_made_again_from_its_record(held: HeldQuery) -> None:
    app = build_app(Settings(episode_store="memory"))
    with (
        TestClient(app, base_url="http://localhost") as client,
        ThreadPoolExecutor(1) as pool,
        client.websocket_connect("/ws") as other,
        client.websocket_connect("/ws") as player,
    ):
        told = client.post("/reset", json={"task_id": TASK}).json()
        held.let_go.set()
        body = {"action": QUERY, "episode_id": told["episode_id"]}
        assert client.post("/step", json=body).json()["observation"]["status"] == "analyzed"
        held.begun.clear()
        held.let_go.clear()
        held.over = False
        resume = {"episode_id": told["episode_id"], "resume": True}
        player.send_json({"type": "reset", "data": resume})
        answer = pool.submit(player.receive_json)
        assert held.begun.wait(LONGEST_S)
        other.send_json({"type": "reset", "data": {}})
        assert other.receive_json()["data"]["observation"]["status"] == "ready"
        assert not held.over
        held.let_go.set()
        message = answer.result(LONGEST_S)["data"]["observation"]["message"]
    assert message.startswith("Episode resumed after 1 step(s)")


async def test_a_play_is_left_alone_until_its_step_has_ended() -> None:
    begun, let_go = threading.Event(), threading.Event()
    ended = []

    def work() -> None:
        begun.set()
        let_go.wait(LONGEST_S)
        ended.append(True)

    stepping = asyncio.create_task(worked(ENVIRONMENT, {"task_id": TASK}, work))
    await asyncio.to_thread(begun.wait, LONGEST_S)
    stepping.cancel()
    await asyncio.sleep(0)
    assert not stepping.done()
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await stepping
    assert ended == [True]


def test_only_the_sql_level_works_long() -> None:
    assert ENVIRONMENT.works_long({"task_id": TASK})
    assert ENVIRONMENT.works_long({"difficulty": "drill_sql", "causes": 0})
    for reset in ({}, {"task_id": "drill_saas_trial"}, {"difficulty": "drill_sqk"}):
        assert not ENVIRONMENT.works_long(reset)
    for index in range(12):
        sql = SPLITS.task("drill_test", index).config.level.sql
        assert ENVIRONMENT.works_long({"split": "drill_test", "index": index}) == sql
    first = SPLITS.task("drill_test", 0).config.level.sql
    assert ENVIRONMENT.works_long({"split": "drill_test"}) == first
    assert not ENVIRONMENT.works_long({"split": "drill_test", "index": -1})


def test_the_tools_of_a_task_are_known_by_its_arguments_and_by_its_state() -> None:
    def offered(episode: Mapping[str, Any]) -> list[str]:
        return list(ENVIRONMENT.tools.offered(episode).names)

    sql = next(n for n in range(96) if SPLITS.task("drill_test", n).config.level.sql)
    for episode in (
        {"task_id": TASK},
        {"task_id": "drill_sql_custom"},
        {"task_id": f"drill_test-{sql}"},
        {"split": "drill_test", "index": sql},
    ):
        assert offered(episode)[:2] == ["overview", "sql"]
        assert "slice" not in offered(episode)
    assert {"sql", "slice", "compare"} < set(offered({"split": "drill_test"}))
    assert "sql" not in offered({"task_id": "drill_saas_trial"})


@pytest.mark.slow
def test_an_episode_is_made_and_its_bytes_known_without_the_database(
    monkeypatch: pytest.MonkeyPatch, held: HeldQuery
) -> None:
    def no_database(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Database, "__init__", no_database)
    assert build_episode(DrillConfig(17, "drill_sql", "video_streaming", 1)).expected_rows
    assert not held.begun.is_set()
