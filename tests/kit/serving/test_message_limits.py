"""Limits on the size and structure of messages, the same on every interface."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.raw_connections import Server, frame, read_message, say, shake_hands

pytestmark = pytest.mark.slow


HUGE = {f"k{number}": 1 for number in range(80_000)}


WIDE = {f"k{number}": 1 for number in range(1_001)}


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        (HUGE, "too many values; allowed: 20000 commas"),
        (WIDE, "an object with 1001 members; allowed: 1000"),
        ({"analysis_method": "list_dates", "analysis_args": WIDE}, "1001 members; allowed: 1000"),
        ({"classifications": [1] * 30_000}, "too many values; allowed: 20000 commas"),
    ],
    ids=["80,000 keys", "1,001 keys", "1,001 arguments", "30,000 rows"],
)
def test_action_with_too_many_keys_is_rejected_before_parsing(
    raw_server: Server, action: dict[str, Any], problem: str
) -> None:
    with raw_server.connect() as connection:
        assert shake_hands(connection, "/ws") == 101
        reply = say(connection, {"type": "step", "data": action})
        assert problem in reply["data"]["message"]
        assert say(connection, {"type": "reset", "data": {}})["type"] == "observation"
    with raw_server.connect() as connection:
        assert shake_hands(connection, "/mcp") == 101
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": action}
        assert problem in say(connection, call)["error"]["message"]
    head = "POST /step HTTP/1.1\nHost: localhost\nContent-Type: application/json"
    status, _, body = raw_server.ask(head, json.dumps({"action": action}).encode())
    assert status in (400, 413)
    assert problem in json.loads(body)["detail"]


def test_the_longest_report_passes_the_limits_on_values(raw_server: Server) -> None:
    row = {
        "date": "2025-01-01",
        "entity_type": "event_count",
        "entity_name": "app_opens",
        "anomaly_type": "absolute_drop_in_event_count",
        "detection_method": "compare_count_to_median",
        "baseline_value": 1.0,
        "observed_value": 1.0,
        "delta_value": 0.0,
        "severity": "low",
    }
    with raw_server.connect() as connection:
        assert shake_hands(connection, "/ws") == 101
        say(connection, {"type": "reset", "data": {}})
        reply = say(connection, {"type": "step", "data": {"classifications": [row] * 1000}})
        assert reply["data"]["observation"]["status"] in ("evaluated", "completed")


def test_a_message_in_many_pieces_is_put_together(raw_server: Server) -> None:
    """Large and tiny messages in one stream, faster than they are answered."""
    text = json.dumps({"type": "state", "filler": "x" * 200_000}).encode()
    small = frame(1, b'{"type":"state"}')
    with raw_server.connect() as connection:
        assert shake_hands(connection, "/ws") == 101
        connection.sendall(small * 50 + frame(1, text) + small * 50)
        kinds = [read_message(connection)["type"] for _ in range(101)]
    assert kinds.count("state") >= 100
