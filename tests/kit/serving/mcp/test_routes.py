"""MCP: streamable HTTP, the framework's form and the WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl import available_analysis_methods
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from support.episode_servers import open_mcp_session
from support.playable_environments import Game
from support.server_requests import call_mcp

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = Settings(episode_store="memory", max_mcp_sessions=3)
    with TestClient(build_app(settings)) as client:
        yield client


@pytest.fixture
def session(client: TestClient) -> Iterator[dict[str, str]]:
    answer = call_mcp(client, "initialize", protocolVersion="2025-06-18")
    headers = {"mcp-session-id": answer.headers["mcp-session-id"]}
    yield headers
    client.delete("/mcp", headers=headers)


async def test_a_real_client_lists_and_calls_the_tools_and_solves_an_episode(
    server_url: str,
) -> None:
    from fastmcp import Client

    async with Client(f"{server_url}/mcp?task_id=hard_mixed_multi") as mcp:
        assert mcp.initialize_result.serverInfo.name == "metric_tracker_rl"
        names = {tool.name for tool in await mcp.list_tools()}
        expected = {method.name for method in available_analysis_methods()}
        assert names == expected | {"submit_solution", "submit_payload_generator"}
        moves = get_policy("reference").generate_actions({})
        action: Any = next(moves)
        while "analysis_method" in action:
            answer = await mcp.call_tool(action["analysis_method"], action.get("analysis_args", {}))
            action = moves.send(
                ENVIRONMENT.tools.observation_from_messages("", answer.structured_content)
            )
        rows = [json.loads(json.dumps(row, default=dict)) for row in action["classifications"]]
        final = await mcp.call_tool("submit_solution", {"rows": rows})
        assert (final.meta["reward"], final.meta["done"]) == (1.0, True)
        assert final.structured_content["reward_breakdown"]["total_score"] == 1.0
        wrong = await mcp.call_tool("list_dates", {}, raise_on_error=False)
        assert "over" in wrong.structured_content["message"]


async def test_the_protocol_s_reference_client_lists_and_calls_too(server_url: str) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with (
        streamable_http_client(f"{server_url}/mcp") as (read, write, _),
        ClientSession(read, write) as mcp,
    ):
        await mcp.initialize()
        assert len((await mcp.list_tools()).tools) > 20
        answer = await mcp.call_tool("rows_for_date", {"date": "1999-01-01"})
        assert answer.isError
        assert "1999-01-01" in answer.content[0].text


def test_every_tool_has_a_schema_and_says_whether_it_only_reads(client: TestClient) -> None:
    tools = call_mcp(client, "tools/list").json()["result"]["tools"]
    assert all(tool["inputSchema"]["type"] == "object" and tool["description"] for tool in tools)
    finals = [tool["name"] for tool in tools if not tool["annotations"]["readOnlyHint"]]
    assert finals == ["submit_solution", "submit_payload_generator"]


def test_no_tool_resets(client: TestClient, session: dict[str, str]) -> None:
    answer = call_mcp(client, "tools/call", session, name="reset", arguments={}).json()
    assert "Unknown tool" in answer["error"]["message"]


def test_sessions_do_not_share_an_episode(client: TestClient, session: dict[str, str]) -> None:
    other = call_mcp(client, "initialize").headers["mcp-session-id"]
    call_mcp(client, "tools/call", session, name="submit_solution", arguments={"rows": []})
    answer = call_mcp(client, "tools/call", {"mcp-session-id": other}, name="list_dates").json()
    assert answer["result"]["isError"] is False
    client.delete("/mcp", headers={"mcp-session-id": other})


def test_mcp_session_plays_the_trainers_episode(client: TestClient) -> None:
    episode_id = client.post("/reset", json={"seed": 3}).json()["episode_id"]
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    answer = client.post(f"/mcp?episode_id={episode_id}", json=body)
    headers = {"mcp-session-id": answer.headers["mcp-session-id"]}
    call_mcp(client, "tools/call", headers, name="list_dates")
    state = client.get("/state", params={"episode_id": episode_id}).json()
    assert state["step_count"] == 1


def test_a_session_that_is_gone_is_a_404(client: TestClient) -> None:
    headers = {"mcp-session-id": "gone"}
    assert call_mcp(client, "tools/call", headers, name="list_dates").status_code == 404
    assert call_mcp(client, "tools/list", headers).status_code == 404
    assert client.delete("/mcp", headers=headers).status_code == 404


def test_an_unknown_version_of_the_protocol_is_refused(client: TestClient) -> None:
    answer = client.post("/mcp", json=PING, headers={"mcp-protocol-version": "1.0"})
    assert answer.status_code == 400
    assert client.post("/mcp", json=PING).json()["result"] == {}


def test_a_notification_gets_no_answer(client: TestClient) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    answer = client.post("/mcp", json=note)
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", -32600),
        (b"[]", -32600),
        (b"{", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"resources/list"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_dates"}}', -32602),
    ],
)
def test_a_request_that_makes_no_sense_is_an_error_of_the_protocol(
    client: TestClient, body: bytes, code: int
) -> None:
    answer = client.post("/mcp", content=body)
    assert answer.status_code == 200
    assert (answer.json()["jsonrpc"], answer.json()["error"]["code"]) == ("2.0", code)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("submit_solution", {}),
        ("submit_payload_generator", {}),
        ("submit_payload_generator", {"generator_methods": []}),
    ],
)
def test_a_submission_without_its_argument_submits_nothing(
    client: TestClient, session: dict[str, str], name: str, arguments: dict[str, Any]
) -> None:
    answer = call_mcp(client, "tools/call", session, name=name, arguments=arguments).json()
    assert f"{name}: " in answer["error"]["message"]
    assert "Nothing was submitted." in answer["error"]["message"]
    with client.websocket_connect(f"/ws?session_id={session['mcp-session-id']}") as socket:
        socket.send_json({"type": "state"})
        state = socket.receive_json()["data"]
    assert (state["status"], state["step_count"]) == ("running", 0)


def test_session_limit_error_names_the_limit_and_a_retry_time(client: TestClient) -> None:
    opened = [call_mcp(client, "openenv/session/create").json()["result"] for _ in range(3)]
    refused = call_mcp(client, "initialize").json()["error"]["data"]
    assert (refused["active_sessions"], refused["max_sessions"]) == (3, 3)
    assert refused["retry_after_s"] > 0
    for each in opened:
        closed = call_mcp(client, "openenv/session/close", **each).json()["result"]
        assert closed["closed"] is True
    again = call_mcp(client, "openenv/session/close", **opened[0]).json()
    assert "Unknown session_id" in again["error"]["message"]


def test_the_framework_s_dialect_and_a_websocket_share_a_session(client: TestClient) -> None:
    session = call_mcp(client, "openenv/session/create").json()["result"]["session_id"]
    result = call_mcp(client, "tools/call", session_id=session, name="list_dates").json()["result"]
    assert result["structuredContent"]["status"] == "analyzed"
    with client.websocket_connect(f"/ws?session_id={session}") as socket:
        socket.send_json({"type": "step", "data": {"analysis_method": "list_dates"}})
        assert socket.receive_json()["data"]["observation"]["status"] == "analyzed"
        socket.send_json({"type": "state"})
        assert socket.receive_json()["data"]["step_count"] == 2
    call_mcp(client, "openenv/session/close", session_id=session)
    with client.websocket_connect(f"/ws?session_id={session}") as socket:
        assert session in socket.receive_json()["data"]["message"]


def test_mcp_websocket_is_a_session(client: TestClient) -> None:
    with client.websocket_connect("/mcp") as socket:
        socket.send_text("{")
        assert socket.receive_json()["error"]["code"] == -32700
        socket.send_json({**PING, "method": "tools/call", "params": {"name": "list_dates"}})
        answer = socket.receive_json()["result"]["structuredContent"]
        assert answer["result"]["dates"]


def test_an_mcp_message_on_ws_plays_the_session_s_own_episode(client: TestClient) -> None:
    request = {**PING, "method": "tools/call", "params": {"name": "list_dates"}}
    with client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "mcp", "data": request})
        before = socket.receive_json()["data"]["result"]
        assert before["isError"]
        socket.send_json({"type": "reset"})
        socket.receive_json()
        socket.send_json({"type": "mcp", "data": request})
        assert socket.receive_json()["data"]["result"]["isError"] is False
        socket.send_json({"type": "state"})
        assert socket.receive_json()["data"]["step_count"] == 1


def test_a_batch_is_refused_and_nothing_of_it_is_played(
    game_client: TestClient, game: Game
) -> None:
    session = open_mcp_session(game_client, "")
    request = {"jsonrpc": "2.0", "method": "tools/call", "params": game.look.params}
    for version in ("2025-03-26", "2025-11-25"):
        headers = {"mcp-protocol-version": version, **session}
        answer = game_client.post(
            "/mcp", json=[{**request, "id": 1}, {**request, "id": 2}], headers=headers
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (200, -32600)
        assert "one object" in error["message"]
    with game_client.websocket_connect(f"/ws?session_id={session['mcp-session-id']}") as socket:
        socket.send_json({"type": "state"})
        assert socket.receive_json()["data"]["step_count"] == 0


def test_response_of_a_client_gets_no_reply(game_client: TestClient) -> None:
    for outcome in ({"result": {}}, {"error": {"code": 1, "message": "no"}}):
        answer = game_client.post("/mcp", json={"jsonrpc": "2.0", "id": 5, **outcome})
        assert (answer.status_code, answer.content) == (202, b"")
    with game_client.websocket_connect("/mcp") as socket:
        socket.send_json({"jsonrpc": "2.0", "id": 5, "result": {}})
        socket.send_json({"jsonrpc": "2.0", "id": 6, "method": "ping"})
        assert socket.receive_json()["id"] == 6
