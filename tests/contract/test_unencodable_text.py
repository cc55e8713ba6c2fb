"""Text with half of a surrogate pair is rejected everywhere, and episodes stay playable."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ToolArgumentError
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.interface import NewEpisode
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.sqlite import SqliteStore
from openenv_kit.session import Session
from openenv_kit.unencodable_text import describe_unencodable_text
from support.server_requests import call_mcp, send_message

BAD = "half an emoji: \ud83d"
NAMES = ["drilldown", "firewatch", "metric_tracker_rl", "pipe_leak"]
HARMLESS: Mapping[str, dict[str, Any]] = {
    "drilldown": {"tool": "change_log", "arguments": {}},
    "firewatch": {"action_type": "escalate"},
    "metric_tracker_rl": {"analysis_method": "list_dates"},
    "pipe_leak": {"tool": "listen", "arguments": {"segment": 1}},
}


def list_bad_actions(environment: Environment) -> Iterator[dict[str, Any]]:
    """Actions of every tool with the bad text as each argument, within lists and as field names."""
    tools = environment.tools
    for tool in tools.tools:
        for argument in tool.parameters.get("properties", {}):
            for value in (BAD, [BAD], [{"name": BAD}], {BAD: 1}):
                with suppress(ToolArgumentError):  # a wrong argument already
                    yield dict(tools.build_action(tool.name, {argument: value}))
        with suppress(ToolArgumentError):
            yield dict(tools.build_action(tool.name, {BAD: 1}))
    yield {**HARMLESS[environment.name], BAD: 1}
    yield dict.fromkeys(HARMLESS[environment.name], BAD)


@pytest.mark.parametrize("name", NAMES)
def test_session_rejects_every_unencodable_argument_without_counting_a_step(name: str) -> None:
    environment = get_environment(name)
    session = environment.create_session()
    session.reset(split="test", index=0)
    actions = list(list_bad_actions(environment))
    assert len(actions) > 4
    for action in actions:
        reply = session.step(action)
        assert (reply.status, reply.done, session.steps) == ("error", False, 0)
        assert "half of a surrogate pair" in reply.message
        reply.message.encode()
    session.step(HARMLESS[name])
    assert session.steps == 1


@pytest.mark.parametrize("name", NAMES)
def test_session_rejects_an_unencodable_reset_and_keeps_the_episode(name: str) -> None:
    environment = get_environment(name)
    session = environment.create_session()
    session.reset(split="test", index=0)
    task_id = session.task_id
    for argument in environment.reset_arguments:
        reply = session.reset(**{argument: [BAD]})
        assert reply.status == "error"
        reply.message.encode()
    assert session.task_id == task_id


def serve(folder: Path, name: str) -> TestClient:
    settings = Settings(episode_store=str(folder / "store.db"))
    return TestClient(build_app(settings, get_environment(name)))


def read_stored_actions(folder: Path) -> list[Any]:
    """Return the actions of all episodes in the store's file."""
    with closing(sqlite3.connect(folder / "store.db")) as database:
        rows = database.execute("SELECT action_json FROM actions ORDER BY action_index")
        return [json.loads(action_json) for (action_json,) in rows]


def as_json(value: Any) -> bytes:
    """JSON with the escape sequences that a client's own library writes."""
    return json.dumps(value).encode()


@pytest.mark.parametrize("name", NAMES)
def test_http_rejects_every_unencodable_argument_and_stores_nothing(
    name: str, tmp_path: Path
) -> None:
    headers = {"content-type": "application/json"}
    with serve(tmp_path, name) as client:
        names = client.post("/reset", json={"split": "test", "index": 0}).json()
        episode = {"episode_id": names["episode_id"]}
        for action in list_bad_actions(get_environment(name)):
            content = as_json({**episode, "action": action})
            answered = client.post("/step", content=content, headers=headers)
            assert answered.status_code == 200
            assert "half of a surrogate pair" in answered.json()["observation"]["message"]
        assert client.get("/state", params=episode).json()["step_count"] == 0
        assert client.post("/step", json={**episode, "action": HARMLESS[name]}).status_code == 200
    assert read_stored_actions(tmp_path) == [HARMLESS[name]]
    with serve(tmp_path, name) as client:  # after a restart
        assert client.get("/state", params=episode).json()["step_count"] == 1
        assert client.post("/step", json={**episode, "action": HARMLESS[name]}).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_websocket_rejects_every_unencodable_argument(name: str, tmp_path: Path) -> None:
    with serve(tmp_path, name) as client, client.websocket_connect("/ws") as socket:
        for reset in ({"split": "test"}, {"split": "test", "episode_id": "named"}):
            send_message(socket, "reset", reset)
            for action in list_bad_actions(get_environment(name)):
                assert (
                    "half of a surrogate pair"
                    in send_message(socket, "step", action)["observation"]["message"]
                )
            assert send_message(socket, "step", HARMLESS[name])["done"] is False
            socket.send_json({"type": "state"})
            assert socket.receive_json()["data"]["step_count"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_mcp_rejects_every_unencodable_argument(name: str, tmp_path: Path) -> None:
    environment = get_environment(name)
    with serve(tmp_path, name) as client:
        player = client.post("/reset", json={"split": "test"}).json()["player_id"]
        opened = call_mcp(client, "initialize", path=f"/mcp?player_id={player}")
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        for tool in environment.tools.tools:
            for argument in (*tool.parameters.get("properties", {}), BAD):
                params = {"name": tool.name, "arguments": {argument: [BAD]}}
                message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
                answered = client.post(
                    "/mcp",
                    content=as_json(message),
                    headers={**session, "content-type": "application/json"},
                )
                assert answered.status_code == 200
                # Some arguments are rejected while the call becomes an action.
                assert '"error"' in answered.text or '"isError":true' in answered.text
                assert "nternal" not in answered.text
        played = call_mcp(
            client, "tools/call", session, name=HARMLESS_TOOL[name], arguments=CALL[name]
        )
        assert "result" in played.json()


HARMLESS_TOOL = {
    "drilldown": "change_log",
    "firewatch": "escalate",
    "metric_tracker_rl": "list_dates",
    "pipe_leak": "listen",
}
CALL: Mapping[str, dict[str, Any]] = {**{name: {} for name in NAMES}, "pipe_leak": {"segment": 1}}


def test_problem_names_the_place_the_text_and_what_is_allowed() -> None:
    action = {"arguments": {"rows": [{"date": "2022-01-01"}, {"date": BAD}]}}
    problem = describe_unencodable_text(action, "action") or ""
    assert problem.startswith(f"action.arguments.rows[1].date is {BAD!r}")
    assert "UTF-8" in problem
    assert describe_unencodable_text({"a": ["😀", None, 1.0, True]}, "action") is None


# Actions that fail with an internal error.

GOOD = {"analysis_method": "list_dates"}
FAILING = {"analysis_method": "list_entities"}


@pytest.fixture
def broken_tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Makes a tool of the funnel raise an error that nobody expects, or repairs it."""
    act = Session.step

    def step(self: Session, action: Mapping[str, Any]) -> Any:
        if action == FAILING:
            self.steps += 1
            raise RuntimeError("a bug in a tool")
        return act(self, action)

    def switch(is_broken: bool) -> None:
        monkeypatch.setattr(Session, "step", step if is_broken else act)

    return switch


def count_steps(client: TestClient, episode: dict[str, str]) -> int:
    return int(client.get("/state", params=episode).json()["step_count"])


def test_action_with_an_internal_error_is_removed_before_the_reply(
    broken_tool: Callable[[bool], None], tmp_path: Path
) -> None:
    broken_tool(True)
    app = serve(tmp_path, "metric_tracker_rl").app
    with TestClient(app, raise_server_exceptions=False) as client:
        names = client.post("/reset", json={"split": "test"}).json()
        episode = {"episode_id": names["episode_id"]}
        client.post("/step", json={**episode, "action": GOOD})
        answered = client.post("/step", json={**episode, "action": FAILING, "request_id": "one"})
        assert answered.status_code == 500
        assert read_stored_actions(tmp_path) == [GOOD]
        assert count_steps(client, episode) == 1
        # The same request may be sent again, and another action is played.
        again = client.post("/step", json={**episode, "action": GOOD, "request_id": "one"})
        assert again.json()["observation"]["status"] == "analyzed"
        assert count_steps(client, episode) == 2
    with serve(tmp_path, "metric_tracker_rl") as client:
        assert count_steps(client, episode) == 2


def test_websocket_episode_continues_after_an_internal_error(
    broken_tool: Callable[[bool], None], tmp_path: Path
) -> None:
    broken_tool(True)
    with serve(tmp_path, "metric_tracker_rl") as client, client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", {"split": "test"})
        send_message(socket, "step", GOOD)
        socket.send_json({"type": "step", "data": FAILING})
        assert socket.receive_json()["type"] == "error"
        assert send_message(socket, "step", GOOD)["observation"]["status"] == "analyzed"
        socket.send_json({"type": "state"})
        assert socket.receive_json()["data"]["step_count"] == 2


async def store_actions(folder: Path, actions: list[dict[str, Any]]) -> dict[str, str]:
    """Store an episode whose server was killed before it could remove an action."""
    environment = get_environment("metric_tracker_rl")
    start = {"reset": {"split": "test"}, "versions": dict(environment.versions)}
    store = SqliteStore(str(folder / "store.db"), StoreLimits())
    new = NewEpisode(
        "http", as_json(start), [as_json(action) for action in actions], player_id="pl-1"
    )
    await store.create_or_replace_episode("metric_tracker_rl/killed", new)
    await store.close()
    return {"episode_id": "killed"}


async def test_rebuild_drops_a_last_action_that_fails(
    broken_tool: Callable[[bool], None], tmp_path: Path
) -> None:
    broken_tool(True)
    episode = await store_actions(tmp_path, [GOOD, FAILING])
    with serve(tmp_path, "metric_tracker_rl") as client:
        assert count_steps(client, episode) == 1
        answered = client.post("/step", json={**episode, "action": GOOD})
        assert answered.json()["observation"]["status"] == "analyzed"


async def test_episode_that_cannot_be_rebuilt_is_refused_by_its_id_and_affects_no_other(
    broken_tool: Callable[[bool], None], tmp_path: Path
) -> None:
    broken_tool(True)
    episode = await store_actions(tmp_path, [FAILING, GOOD])
    with serve(tmp_path, "metric_tracker_rl") as client:
        for answered in (
            client.post("/step", json={**episode, "action": GOOD}),
            client.get("/state", params=episode),
            client.post("/step", json={"player_id": "pl-1", "action": GOOD}),
        ):
            assert answered.status_code == 409
            assert "cannot be replayed" in answered.json()["detail"]
        assert "'killed'" in client.get("/state", params=episode).json()["detail"]
        with client.websocket_connect("/ws") as socket:
            refused = send_message(socket, "reset", {"episode_id": "killed", "resume": True})
            assert "cannot be replayed" in refused["observation"]["message"]
            assert (
                send_message(socket, "reset", {"split": "test"})["observation"]["status"] == "ready"
            )
