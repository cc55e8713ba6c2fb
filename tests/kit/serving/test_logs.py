"""Log lines: one for each start and each end of an episode."""

from __future__ import annotations

import json
import logging
import re
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.environment import get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes import running_episodes
from openenv_kit.serving.logs import DropWebSocketUrlLines, JsonFormatter
from openenv_kit.serving.periodic_tasks import end_expired_and_update_metrics
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.websocket.openenv_protocol import CLIENT_KIND_HEADER, DEBUGGER_CLIENT
from openenv_kit.variables import SALT_VARIABLE
from support.raw_connections import Server, frame, running, shake_hands
from support.server_requests import call_mcp, send_message
from support.websocket_session import Conversation, talking


@pytest.fixture
def talk(server_url: str) -> Iterator[Conversation]:
    with talking(server_url) as session:
        yield session


LIST = {"analysis_method": "list_dates"}
EASY = {"task_id": "easy_single_spike"}
SETTINGS = Settings(episode_store="memory")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """Gives the lines about episodes so far, as they would be written."""

    def read() -> list[dict[str, Any]]:
        written = [json.loads(JsonFormatter().format(each)) for each in caplog.records]
        return [line for line in written if line["message"].startswith("episode ")]

    running_episodes.RUNNING_EPISODES._by_key.clear()  # of other tests, whose stores are gone
    with caplog.at_level(logging.INFO):
        yield read


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(build_app(SETTINGS)) as client:
        yield client


def check_pair(found: list[dict[str, Any]], transport: str, **ended: Any) -> None:
    """There is one start and one end, of one episode of that transport."""
    start, end = found
    assert (start["message"], end["message"]) == ("episode started", "episode ended")
    assert start["episode_id"] == end["episode_id"]
    for line in found:
        names = ("environment", "transport", "episode_level", "level")
        shown = [line[name] for name in names]
        assert shown == ["metric_tracker_rl", transport, "easy", "info"]
    assert {name: end.get(name) for name in ended} == ended
    assert end["duration_s"] >= 0


@pytest.mark.parametrize("transport", ["ws", "page"])
def test_episode_on_websocket_completed_has_two_lines(
    client: TestClient, lines: Lines, transport: str
) -> None:
    headers = {CLIENT_KIND_HEADER: DEBUGGER_CLIENT} if transport == "page" else {}
    with client.websocket_connect("/ws", headers=headers) as socket:
        send_message(socket, "reset", EASY)
        send_message(socket, "step", LIST)
        send_message(socket, "step", {})
        send_message(socket, "step", {})  # after the end
    check_pair(lines(), transport, reason="completed", steps=2, score=0.0)


def test_episode_over_http_completed_has_two_lines(client: TestClient, lines: Lines) -> None:
    episode_id = client.post("/reset", json=EASY).json()["episode_id"]
    for action in (LIST, {}, {}):
        client.post("/step", json={"episode_id": episode_id, "action": action})
    client.get("/state", params={"episode_id": episode_id})
    check_pair(lines(), "http", reason="completed", steps=2, score=0.0, episode_id=episode_id)


def test_episode_over_mcp_closed_has_two_lines(client: TestClient, lines: Lines) -> None:
    path = "/mcp?task_id=easy_single_spike"
    opened = call_mcp(client, "initialize", path=path)
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    call_mcp(client, "tools/call", session, name="list_dates", arguments={})
    assert client.delete("/mcp", headers=session).status_code == 204
    check_pair(lines(), "mcp", reason="closed", steps=1, score=None)


def test_episode_out_of_steps_ends_for_that_reason(client: TestClient, lines: Lines) -> None:
    with client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", {**EASY, "max_steps": 1})
        send_message(socket, "step", LIST)
        send_message(socket, "step", LIST)
    check_pair(lines(), "ws", reason="max_steps", steps=2, score=0.0)


def test_websocket_dropped_and_resumed_ends_and_goes_on(client: TestClient, lines: Lines) -> None:
    with client.websocket_connect("/ws") as socket:
        episode_id = send_message(socket, "reset", EASY)["metadata"]["episode_id"]
        send_message(socket, "step", LIST)
    while len(lines()) < 2:  # the server learns of it a moment later
        time.sleep(0.01)
    check_pair(lines(), "ws", reason="disconnected", steps=1)
    with client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", {"episode_id": episode_id, "resume": True})
        send_message(socket, "step", {})
    resumed, ended = lines()[2:]
    assert (resumed["message"], resumed["steps"]) == ("episode resumed", 1)
    assert (ended["reason"], ended["steps"], ended["transport"]) == ("completed", 2, "ws")
    assert ended["episode_id"] == resumed["episode_id"] == episode_id


def test_websocket_resets_or_closes_ends_the_episode_before(
    client: TestClient, lines: Lines
) -> None:
    with client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", EASY)
        send_message(socket, "reset", {**EASY, "episode_id": "mine"})
        send_message(socket, "reset", {**EASY, "episode_id": "mine"})
        socket.send_json({"type": "close"})
        socket.receive()
    ends = [line for line in lines() if line["message"] == "episode ended"]
    assert [end["reason"] for end in ends] == ["restarted", "restarted", "closed"]
    assert len(lines()) == 6


def test_episode_unused_for_its_life_ends_as_expired(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(episode_store=str(tmp_path / "s.db"), episode_ttl_s=60)
    app = build_app(settings)
    with TestClient(app) as client:
        client.post("/reset", json=EASY)
        store, later = app.state.episodes.store, time.monotonic() + 61
        every = [get_environment()]
        client.portal.call(end_expired_and_update_metrics, store, settings, every)  # type: ignore[union-attr]
        assert len(lines()) == 1
        with monkeypatch.context() as patched:
            patched.setattr(running_episodes.time, "monotonic", lambda: later)
            clock = "openenv_kit.serving.store.clock.get_seconds_since_boot"
            patched.setattr(clock, lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + 61)
            client.portal.call(end_expired_and_update_metrics, store, settings, every)  # type: ignore[union-attr]
    check_pair(lines(), "http", reason="expired", steps=0)


def test_episode_that_another_worker_finishes_has_one_end(lines: Lines, tmp_path: Path) -> None:
    settings = Settings(episode_store=str(tmp_path / "s.db"))
    with TestClient(build_app(settings)) as one, TestClient(build_app(settings)) as other:
        episode_id = one.post("/reset", json=EASY).json()["episode_id"]
        running_episodes.RUNNING_EPISODES._by_key.clear()  # the other worker is another process
        for action in (LIST, {}):
            other.post("/step", json={"episode_id": episode_id, "action": action})
    check_pair(lines(), "http", reason="completed", steps=2, score=0.0)


LAST_ACTIONS = {
    "drilldown": {"tool": "submit_report", "arguments": {"rows": []}},
    "firewatch": {"action_type": "declare_resolved"},
    "metric_tracker_rl": {},
}


@pytest.mark.parametrize("name", LAST_ACTIONS)
def test_log_of_sealed_episode_contains_its_score_and_not_its_task(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SALT_VARIABLE, "a salt that nobody knows, of some length")
    settings = Settings(episode_store=str(tmp_path / "s.db"), sealed_tasks=2000)
    app = build_app(settings, get_environment(name))
    with (
        caplog.at_level(logging.DEBUG),
        TestClient(app) as client,
        client.websocket_connect("/ws") as socket,
    ):
        send_message(socket, "reset", {"split": "sealed", "index": 247})
        send_message(socket, "step", LAST_ACTIONS[name])
    written = [JsonFormatter().format(each) for each in caplog.records]
    episodes = [json.loads(line) for line in written if '"episode ' in line]
    assert [line["message"] for line in episodes] == ["episode started", "episode ended"]
    assert episodes[1]["score"] == 0.0
    told = {*episodes[0], *episodes[1]} - {"time", "level", "logger", "message"}
    assert told == {
        *("episode_id", "environment", "transport"),
        *("steps", "score", "duration_s", "reason"),
    }
    # The number must not be part of a time or of an id.
    assert not [line for line in written if re.search(r"(?<![\w.])247(?![\w.])", line)]


def test_log_lines_contain_no_seed(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", {"seed": 31337313373133})
        send_message(socket, "step", {})
        client.post("/reset", json={"seed": 31337313373133})
    assert "31337313373133" not in "".join(JsonFormatter().format(r) for r in caplog.records)


# Internal errors.


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step meets a mistake of ours."""

    def act(*_: Any) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(EpisodeSession, "execute_action", act)


def internal_errors(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    written = [json.loads(JsonFormatter().format(each)) for each in caplog.records]
    return [line for line in written if "exception" in line]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("transport", ["http", "player", "mcp", "ws", "mcp socket"])
def test_internal_error_is_logged_once_with_its_episode(
    client: TestClient, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    made = client.post("/reset", json=EASY).json()
    episode_id, player_id = made["episode_id"], made["player_id"]
    call = {"name": "list_dates", "arguments": {}}
    if transport in ("http", "player"):
        named = {"episode_id": episode_id} if transport == "http" else {"player_id": player_id}
        answer = client.post("/step", json={**named, "action": LIST})
        assert answer.status_code == 500
        text = answer.json()["detail"]
    elif transport == "mcp":
        answer = call_mcp(client, "tools/call", {"mcp-session-id": player_id}, **call)
        assert answer.status_code == 500
        text = answer.json()["detail"]
    elif transport == "ws":
        with client.websocket_connect(f"/ws?session_id={player_id}") as socket:
            text = send_message(socket, "step", LIST)["message"]
    else:
        with client.websocket_connect(f"/mcp?player_id={player_id}") as socket:
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            socket.send_json(body)
            text = socket.receive_json()["error"]["message"]
            socket.send_json({"jsonrpc": "2.0", "id": 2, "method": "ping"})
            assert socket.receive_json()["result"] == {}
    (line,) = internal_errors(caplog)
    assert line["episode_id"] == episode_id
    assert line["reference"] in text
    assert "a mistake" in line["exception"]
    assert "a mistake" not in text


# Clients.


@pytest.mark.slow
def test_clients_that_are_refused_send_nonsense_or_vanish_leave_no_error_line(
    tmp_path: Path,
) -> None:
    token = "a-token-long-enough"
    with running(tmp_path, OPENENV_KIT_TOKEN=token) as server:
        bearer = f"Authorization: Bearer {token}"
        assert server.opens_websocket("/ws") == 401
        assert server.opens_websocket("/ws", bearer, "Origin: http://evil.example") == 403
        assert server.opens_websocket("/firewatch/ws") == 401
        assert server.ask("POST /reset HTTP/1.1\nHost: localhost", b"{}")[0] == 401
        for opcode in (1, 2):
            with server.connect() as connection:
                assert shake_hands(connection, "/ws", bearer) == 101
                connection.sendall(frame(opcode, b'{"type": "reset", "data": {"x": "\xff\xfe"}}'))
                assert connection.recv(1)
                vanish(connection)
        for path in ("/reset", "/step", "/mcp"):
            head = f"POST {path} HTTP/1.1\nHost: localhost\nContent-Type: application/json"
            assert server.ask(f"{head}\n{bearer}", b'{"x": "\xff\xfe"}')[0] < 500
            with server.connect() as connection:
                lines = f"{head}\n{bearer}\nContent-Length: 100\n\n{{".replace("\n", "\r\n")
                connection.sendall(lines.encode())
                vanish(connection)
        with server.connect() as connection:
            assert shake_hands(connection, "/ws", bearer) == 101
            connection.sendall(frame(1, json.dumps({"type": "reset"}).encode()))
            for _ in range(100):
                connection.sendall(frame(1, json.dumps({"type": "step", "data": LIST}).encode()))
            vanish(connection)
        assert server.ask("GET /health HTTP/1.1\nHost: localhost")[0] == 200
    assert noise_of(server) == []


def vanish(connection: Any) -> None:
    """Drop a connection without a word, as a client that is killed does."""
    socket_option = (1, 13)  # SOL_SOCKET, SO_LINGER
    connection.setsockopt(*socket_option, struct.pack("ii", 1, 0))
    connection.close()


def noise_of(server: Server) -> list[str]:
    """Lines of a stopped server's log that report an error, or are no JSON."""
    written = server.log.read_text().splitlines()
    return [
        line
        for line in written
        if not line.startswith("{") or json.loads(line)["level"] in ("error", "critical")
    ]


def test_a_log_line_is_json_and_holds_neither_message_nor_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = build_app(Settings(episode_store="memory", token="a-very-secret-token"))
    headers = {"authorization": "Bearer a-very-secret-token", "x-request-id": "mine-1"}
    with caplog.at_level(logging.INFO), TestClient(app) as client:
        episode_id = client.post("/reset", json={}, headers=headers).json()["episode_id"]
        body = {"episode_id": episode_id, "action": {"analysis_method": "list_dates"}}
        answer = client.post("/step?token=a-very-secret-token", json=body, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
    lines = [
        json.loads(JsonFormatter().format(record))
        for record in caplog.records
        if record.name.startswith("openenv_kit")
    ]
    requests = [line for line in lines if line["message"] == "request handled"]
    assert [line["path"] for line in requests] == ["/reset", "/step"]
    assert {line["request_id"] for line in requests} == {"mine-1"}
    assert {line["episode_id"] for line in requests} == {episode_id}
    assert "secret" not in json.dumps(lines)
    assert "list_dates" not in json.dumps(lines)


def test_the_server_s_line_about_a_connection_is_dropped_for_its_query() -> None:
    line = logging.LogRecord("uvicorn.error", 20, "", 0, '%s - "WebSocket %s" [accepted]', (), None)
    other = logging.LogRecord("uvicorn.error", 20, "", 0, "Started", (), None)
    assert [DropWebSocketUrlLines().filter(each) for each in (line, other)] == [False, True]


def test_server_log_contains_neither_label_nor_seed(talk: Conversation, server_log: Path) -> None:
    talk.send("reset", {"seed": 616161616161})
    talk.analyse("rows_for_date", date="nonsense")
    talk.step(classifications=[{"date": "x"}])
    log = server_log.read_text()
    assert "616161616161" not in log
    assert "Traceback" not in log
    assert "app_open" not in log
