"""Served tables: who may play them, over which transports, and that their numbers stay inside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.products.parse_product import parse_product
from metric_tracker_rl.products.product_file import write_product
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.own_data.served_tables import load_served_tables
from openenv_kit.own_data.stage_counts import Grain
from openenv_kit.serving.app import build_app, main
from openenv_kit.serving.episodes.saved_recordings import wait_for_recordings
from openenv_kit.serving.episodes.table_episodes import may_play_tables
from openenv_kit.serving.http.client_identity import CURRENT_PARTICIPANT
from openenv_kit.serving.logs import JsonFormatter
from openenv_kit.serving.settings import Settings, load_settings
from support.products import build_level_mapping, build_product_mapping
from support.server_requests import call_mcp, send_message

pytest.importorskip("duckdb")

PLANTED = 7_654_321
"""Count of the first stage on the last day of the table."""
FORMS = (b"7654321", b"7,654,321", b"7654321.0", b"7.654321")
"""How the planted number could be written."""
TRAINER = {"Authorization": "Bearer trainer-token-0123456789"}
PARTICIPANT = {"Authorization": "Bearer participant-token-012345"}
STAGES = ("visits", "carts", "orders", "payments")
DAYS = 56
LAST_DAY = (date(2024, 1, 1) + timedelta(days=DAYS - 1)).isoformat()


def write_table(path: Path) -> Path:
    """Write a daily table of eight weeks whose last day has the planted count."""
    lines = [",".join(("date", *STAGES))]
    first_day = date(2024, 1, 1)
    for number in range(DAYS):
        visits = PLANTED if number == DAYS - 1 else 5000 + 37 * (number % 5)
        counts = [visits, visits * 6 // 10, visits * 36 // 100, visits * 21 // 100]
        lines.append(",".join(map(str, (first_day + timedelta(days=number), *counts))))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def option(tmp_path: Path) -> str:
    table = write_table(tmp_path / "own.csv")
    product = tmp_path / "shop.toml"
    content = {**build_product_mapping(STAGES, Grain.DAY), "level": build_level_mapping()}
    write_product(parse_product(content), product)
    return f"own={table}:{product}"


@pytest.fixture
def settings(option: str, tmp_path: Path) -> Settings:
    return Settings(
        tables=option,
        token="trainer-token-0123456789",
        player_token="player-token-0123456789",
        participants={"anna": "participant-token-012345"},
        episode_store=str(tmp_path / "store.db"),
        data_folder=str(tmp_path / "data"),
        allowed_origins=("*",),
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(build_app(settings, ENVIRONMENT)) as test_client:
        yield test_client


def play_over_websocket(client: TestClient) -> str:
    with client.websocket_connect("/ws", headers=TRAINER) as socket:
        replies = [send_message(socket, "reset", {"table": "own"})]
        replies += [send_message(socket, "step", action) for action in ACTIONS]
        replies.append(send_message(socket, "state"))
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        replies.append(send_message(socket, "mcp", request))
    return str(replies)


def play_over_http(client: TestClient) -> str:
    started = client.post("/reset", json={"table": "own"}, headers=TRAINER).json()
    replies = [started]
    for action in ACTIONS:
        body = {"episode_id": started["episode_id"], "action": action}
        replies.append(client.post("/step", json=body, headers=TRAINER).json())
    query = {"episode_id": started["episode_id"]}
    replies.append(client.get("/state", params=query, headers=TRAINER).json())
    return str(replies)


def play_over_mcp(client: TestClient) -> str:
    started = client.post("/reset", json={"table": "own"}, headers=TRAINER).json()
    session = {**TRAINER, "Mcp-Session-Id": started["player_id"]}
    replies = [started, call_mcp(client, "tools/list", session).json()]
    for name, arguments in MCP_CALLS:
        reply = call_mcp(client, "tools/call", session, name=name, arguments=arguments)
        replies.append(reply.json())
    return str(replies)


ROWS = {"analysis_method": "rows_for_date", "analysis_args": {"date": LAST_DAY}}
ROW = {
    "date": LAST_DAY,
    "entity_type": "event_count",
    "entity_name": "visits",
    "anomaly_type": "absolute_spike_in_event_count",
    "detection_method": "compare_count_to_median",
    "baseline_value": 5000.0,
    "observed_value": PLANTED,
    "delta_value": 1.0,
    "severity": "critical",
}
"""A report row with the planted number, which a store of actions would keep."""
WRONG = {"analysis_method": "no_such_method", "analysis_args": {}}
REPORT: dict[str, Any] = {"classifications": [ROW]}
ACTIONS: tuple[dict[str, Any], ...] = (ROWS, WRONG, {"x": 1}, REPORT, REPORT)
MCP_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("rows_for_date", {"date": LAST_DAY}),
    ("no_such_tool", {}),
    ("submit_solution", {"rows": [ROW]}),
)
PLAYS = {"websocket": play_over_websocket, "http": play_over_http, "mcp": play_over_mcp}


@pytest.mark.parametrize("transport", PLAYS)
def test_trainer_plays_the_table(client: TestClient, transport: str) -> None:
    told = PLAYS[transport](client)
    assert str(PLANTED) in told
    assert "'payments'" in told
    assert "'done': True" in told


def test_planted_number_reaches_only_the_trainer(
    client: TestClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    for play in PLAYS.values():
        play(client)
    provoke_internal_errors(client, monkeypatch)
    wait_for_recordings()
    logged = "".join(map(format_record, caplog.records))
    metrics = client.get("/metrics", headers=TRAINER).text
    assert "PrivateDataError" in logged
    assert find_forms(logged.encode() + metrics.encode()) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "own.csv"]
    assert any(path.name.startswith("store.db") for path in files)
    stored = b"".join(path.read_bytes() for path in files)
    assert find_forms(stored) == []
    assert b"own-table-" not in stored


def provoke_internal_errors(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a step of each transport fail with an error whose text contains the number."""
    started = client.post("/reset", json={"table": "own"}, headers=TRAINER).json()

    def fail(*_: object) -> None:
        raise KeyError(PLANTED)

    with client.websocket_connect("/ws", headers=TRAINER) as socket:
        send_message(socket, "reset", {"table": "own"})
        monkeypatch.setattr(EpisodeSession, "execute_action", fail)
        assert find_forms(str(send_message(socket, "step", ROWS)).encode()) == []
    session = {**TRAINER, "Mcp-Session-Id": started["player_id"]}
    call = {"name": "rows_for_date", "arguments": {"date": LAST_DAY}}
    assert find_forms(call_mcp(client, "tools/call", session, **call).content) == []
    body = {"episode_id": started["episode_id"], "action": ROWS}
    reply = client.post("/step", json=body, headers=TRAINER)
    assert find_forms(reply.content) == []


def find_forms(content: bytes) -> list[bytes]:
    return [form for form in FORMS if form in content]


def format_record(record: logging.LogRecord) -> str:
    """Return everything that a log handler could write of a record."""
    shown = JsonFormatter().format(record)
    exception = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return f"{record.getMessage()} {shown} {exception}"


def test_search_for_the_planted_number_finds_it_in_the_replies(client: TestClient) -> None:
    assert b"7654321" in find_forms(play_over_http(client).encode())


def test_state_of_a_table_episode_has_no_number_of_the_table(client: TestClient) -> None:
    started = client.post("/reset", json={"table": "own"}, headers=TRAINER).json()
    body = {"episode_id": started["episode_id"], "action": ROWS}
    client.post("/step", json=body, headers=TRAINER)
    query = {"episode_id": started["episode_id"]}
    state = client.get("/state", params=query, headers=TRAINER)
    assert state.json()["step_count"] == 1
    assert find_forms(state.content) == []


def read_reset_error(client: TestClient, headers: dict[str, str], name: str) -> str:
    reply = client.post("/reset", json={"table": name}, headers=headers).json()
    assert reply["observation"]["status"] == "error"
    return str(reply["observation"]["message"])


def test_participant_gets_the_error_of_a_server_without_tables(
    client: TestClient, tmp_path: Path
) -> None:
    without = Settings(
        token="trainer-token-0123456789",
        participants={"anna": "participant-token-012345"},
        episode_store=str(tmp_path / "other.db"),
    )
    with TestClient(build_app(without, ENVIRONMENT)) as other:
        expected = read_reset_error(other, TRAINER, "own")
    assert read_reset_error(client, PARTICIPANT, "own") == expected
    assert read_reset_error(client, PARTICIPANT, "nothing") == expected
    with client.websocket_connect("/ws", headers=PARTICIPANT) as socket:
        reply = send_message(socket, "reset", {"table": "own"})
    assert reply["observation"]["message"] == expected


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer player-token-0123456789"}])
def test_callers_without_the_trainer_token_cannot_reset(
    client: TestClient, headers: dict[str, str]
) -> None:
    reply = client.post("/reset", json={"table": "own"}, headers=headers)
    assert reply.status_code in (401, 403)
    assert find_forms(reply.content) == []


def test_player_plays_a_table_that_the_trainer_started(client: TestClient) -> None:
    started = client.post("/reset", json={"table": "own"}, headers=TRAINER).json()
    player = {"Authorization": "Bearer player-token-0123456789"}
    body = {"player_id": started["player_id"], "action": REPORT}
    reply = client.post("/step", json=body, headers=player).json()
    assert reply["done"]


@pytest.mark.parametrize(
    ("participant", "transport", "expected"),
    [("trainer", "ws", True), ("trainer", "page", False), ("anna", "ws", False)],
)
def test_only_the_trainer_outside_of_the_page_may_play_tables(
    participant: str, transport: str, expected: bool
) -> None:
    token = CURRENT_PARTICIPANT.set(participant)
    try:
        assert may_play_tables(transport) is expected
    finally:
        CURRENT_PARTICIPANT.reset(token)


def test_trainer_gets_the_names_of_the_tables(client: TestClient) -> None:
    assert "Unknown table 'owm'. Did you mean 'own'?" in read_reset_error(client, TRAINER, "owm")


@pytest.mark.parametrize("further", [{"split": "test"}, {"seed": 1}, {"episode_id": "mine"}])
def test_table_cannot_be_combined_with_arguments_of_a_task(
    client: TestClient, further: dict[str, Any]
) -> None:
    body = {"table": "own", **further}
    reply = client.post("/reset", json=body, headers=TRAINER).json()
    assert reply["observation"]["status"] == "error"


def test_table_can_be_played_with_the_lean_profile(client: TestClient) -> None:
    body = {"table": "own", "profile": "lean"}
    reply = client.post("/reset", json=body, headers=TRAINER).json()
    assert reply["observation"]["config"]["profile"] == "lean"


def test_restart_ends_table_episodes_with_a_message(settings: Settings) -> None:
    with TestClient(build_app(settings, ENVIRONMENT)) as client:
        started = client.post("/reset", json={"table": "own"}, headers=TRAINER).json()
    with TestClient(build_app(settings, ENVIRONMENT)) as client:
        body = {"episode_id": started["episode_id"], "action": ROWS}
        reply = client.post("/step", json=body, headers=TRAINER)
    assert reply.status_code == 404
    assert "end when the server stops" in reply.text


def test_other_episodes_of_the_server_are_stored_as_before(client: TestClient) -> None:
    started = client.post("/reset", json={"seed": 3}, headers=TRAINER).json()
    client.app.state.episodes._loader.cache.clear()  # type: ignore[attr-defined]
    body = {"episode_id": started["episode_id"], "action": REPORT}
    assert client.post("/step", json=body, headers=TRAINER).json()["done"]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "empty unless OPENENV_KIT_TOKEN is set"),
        ({"OPENENV_KIT_TOKEN": "t" * 20, "WORKERS": "2"}, "empty unless WORKERS is 1"),
    ],
)
def test_settings_refuse_tables_without_a_token_or_with_workers(
    option: str, variables: dict[str, str], problem: str
) -> None:
    with pytest.raises(InvalidValueError, match=problem):
        load_settings({"OPENENV_KIT_TABLES": option, **variables})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("own.csv", "NAME=FILE:PRODUCT"),
        ("Own=own.csv:shop.toml", "NAME=FILE:PRODUCT"),
        ("own=missing.csv:missing.toml", "environment of the product of --table own"),
    ],
)
def test_server_command_refuses_a_wrong_table(
    text: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENENV_KIT_TOKEN", "t" * 20)
    monkeypatch.setenv("OPENENV_KIT_TABLES", "")
    with pytest.raises(SystemExit):
        main(["--table", text, "--workers", "1"])
    assert problem in capsys.readouterr().err


def test_table_that_does_not_fit_its_product_is_refused(option: str, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text(table.read_text().replace("payments", "refunds"))
    with pytest.raises(ConfigurationError, match="--table own: "):
        load_served_tables(option, ENVIRONMENT.name)
