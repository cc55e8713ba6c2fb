"""The /ws protocol equals the framework's, and survives more input."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openenv.core.env_server.serialization import serialize_observation
from openenv.core.env_server.types import WSObservationResponse
from starlette.testclient import TestClient

from metric_tracker_rl import available_analysis_methods
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.serving import messages
from openenv_kit.serving.app import build_app
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.websocket.sessions import CapacityError, SessionSlots

START = {"type": "reset", "data": {"task_id": "easy_single_spike"}}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(build_app(Settings(episode_store="memory", max_sessions=3))) as client:
        yield client


def ask(socket: Any, message: Any) -> dict[str, Any]:
    socket.send_text(message if isinstance(message, str) else json.dumps(message))
    return json.loads(socket.receive_text())


def arguments_of(name: str, date: str) -> dict[str, Any]:
    given: dict[str, dict[str, Any]] = {
        "compare_rate_to_median": {"date": date, "entity_name": "app_open_to_menu_open"},
        "compare_count_to_median": {"date": date, "entity_name": "app_opens"},
        "get_rows_with_abs_diff_from_median_gt": {"threshold": 1.0},
        "preview_submission": {"rows": [{"date": date}]},
        "payload_generator": {"generator_methods": [{"method_name": "median_filter"}]},
    }
    if name in given:
        return given[name]
    schema = {spec.name: spec.parameters for spec in available_analysis_methods()}[name]
    known = {"date": date, "threshold_multiplier": 1.0}
    return {key: known[key] for key in schema.get("required", []) if key in known}


ROW = {
    "date": "2024-01-01",
    "entity_type": "event_count",
    "entity_name": "app_opens",
    "anomaly_type": "absolute_drop_in_event_count",
    "detection_method": "compare_count_to_median",
    "baseline_value": 1.0,
    "observed_value": 2.0,
    "delta_value": 1.0,
    "severity": "low",
}


def test_every_reply_is_what_the_framework_would_have_sent(client: TestClient) -> None:
    """Each kind of reply, byte for byte in its meaning, against the framework's own writer."""
    environment = OpenEnvAdapter()
    reset = {"task_id": "hard_mixed_multi", "episode_id": "twin", "max_submissions": 2}
    opening = environment.reset(**reset)
    date = opening.config["start_date"]
    actions: list[dict[str, Any]] = [
        {"analysis_method": spec.name, "analysis_args": arguments_of(spec.name, date)}
        for spec in available_analysis_methods()
    ]
    actions += [
        {"analysis_method": "no_such"},
        {"analysis_method": 7},
        {"analysis_args": {"date": date}},
        {"surprise": 1},
        {"analysis_method": "list_dates", "metadata": {"a": 1}},
        {"classifications": [ROW, {**ROW, "date": 1}]},
        {"payload_generators": [{"method_name": "median_filter", "threshold_multiplier": 1}]},
        {},
    ]
    with client.websocket_connect("/ws") as socket:
        expected = [opening]
        got = [ask(socket, {"type": "reset", "data": reset})]
        for action in actions:
            expected.append(environment.step(action))
            got.append(ask(socket, {"type": "step", "data": action}))
    # A server has names that an environment knows nothing of.
    assert got[0]["data"]["metadata"].pop("player_id").startswith("pl-")
    del got[0]["data"]["observation"]["metadata"]["player_id"]
    kinds = {each["data"]["observation"]["status"] for each in got}
    assert kinds == {"ready", "analyzed", "error", "in_progress", "evaluated", "completed"}
    for ours, observation in zip(got, expected, strict=True):
        theirs = WSObservationResponse(data=serialize_observation(observation))
        their_reply = json.loads(theirs.model_dump_json())
        if "reward_components" in observation.metadata:
            their_reply["data"]["observation"]["metadata"] = {}  # the server tells them once
        assert ours == their_reply


def test_values_that_one_writer_cannot_write_are_written_by_the_other() -> None:
    values = {"big": 10**30, "half": "\ud800", "none": None}
    assert json.loads(messages.to_json_bytes(values)) == values
    with pytest.raises(TypeError):
        messages.to_json_bytes({"what": object()})


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "INVALID_JSON"),
        ("", "INVALID_JSON"),
        ("[1, 2]", "INVALID_JSON"),
        ("null", "INVALID_JSON"),
        ('"reset"', "INVALID_JSON"),
        ("[" * 100_000, "INVALID_JSON"),
        ('{"a":' * 100_000, "INVALID_JSON"),
        ({"type": "resett"}, "UNKNOWN_TYPE"),
        ({"type": ["reset"]}, "UNKNOWN_TYPE"),
        ({}, "UNKNOWN_TYPE"),
        ({"type": "step"}, "VALIDATION_ERROR"),
        ({"type": "step", "data": 3}, "VALIDATION_ERROR"),
        ({"type": "reset", "data": []}, "VALIDATION_ERROR"),
        ({"type": "state", "data": {}}, "VALIDATION_ERROR"),
        ({"type": "close", "extra": 1}, "VALIDATION_ERROR"),
        ({"type": "step", "data": {}, "extra": 1}, "VALIDATION_ERROR"),
    ],
)
def test_unreadable_message_gets_an_error_and_the_session_continues(
    client: TestClient, message: Any, code: str
) -> None:
    with client.websocket_connect("/ws") as socket:
        ask(socket, START)
        reply = ask(socket, message)
        assert (reply["type"], reply["data"]["code"]) == ("error", code)
        assert ask(socket, {"type": "state"})["data"]["step_count"] == 0


def test_a_binary_frame_is_read_like_a_text_frame(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        socket.send_bytes(json.dumps(START).encode())
        assert json.loads(socket.receive_text())["data"]["observation"]["status"] == "ready"
        socket.send_bytes(b"\xff\xfe")
        assert json.loads(socket.receive_text())["data"]["code"] == "INVALID_JSON"


def test_internal_error_reply_contains_only_a_reference(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret detail in /etc/somewhere")

    with client.websocket_connect("/ws") as socket:
        monkeypatch.setattr(EpisodeSession, "step", broken)
        ask(socket, START)
        with caplog.at_level("ERROR", logger="openenv_kit.ws"):
            reply = ask(socket, {"type": "step", "data": {}})
        assert reply["data"]["code"] == "EXECUTION_ERROR"
        assert "secret" not in json.dumps(reply)
        assert "/etc" not in json.dumps(reply)
        reference = reply["data"]["message"].rsplit(" ", 1)[1].rstrip(".")
        assert reference in [record.reference for record in caplog.records]  # type: ignore[attr-defined]
        monkeypatch.undo()
        ask(socket, START)
        assert ask(socket, {"type": "step", "data": {}})["data"]["done"] is True


def test_capacity_error_names_the_limit_and_a_retry_time(client: TestClient) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(client.websocket_connect("/ws"))
        with client.websocket_connect("/ws") as refused:
            error = refused.receive_json()["data"]
            assert error["code"] == "CAPACITY_REACHED"
            assert (error["active_sessions"], error["max_sessions"]) == (3, 3)
            assert error["retry_after_s"] > 0
            assert refused.receive()["code"] == 1013
    with client.websocket_connect("/ws") as socket:
        assert ask(socket, START)["type"] == "observation"


def test_a_dropped_session_is_resumed_by_its_id_and_ends_with_the_same_score(
    client: TestClient,
) -> None:
    with client.websocket_connect("/ws") as socket:
        episode_id = ask(socket, START)["data"]["metadata"]["episode_id"]
        ask(socket, {"type": "step", "data": {"analysis_method": "list_dates"}})
    with client.websocket_connect("/ws") as again:
        resumed = ask(again, {"type": "reset", "data": {"episode_id": episode_id, "resume": True}})[
            "data"
        ]
        assert "resumed at step 1 of" in resumed["observation"]["message"]
        assert resumed["observation"]["available_methods"]
        state = ask(again, {"type": "state"})["data"]
        assert (state["episode_id"], state["step_count"]) == (episode_id, 1)
        assert ask(again, {"type": "step", "data": {}})["data"]["done"] is True


def test_closed_session_cannot_be_resumed(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        episode_id = ask(socket, START)["data"]["metadata"]["episode_id"]
        socket.send_json({"type": "close"})
        assert socket.receive()["type"] == "websocket.close"
    with client.websocket_connect("/ws") as again:
        reply = ask(again, {"type": "reset", "data": {"episode_id": episode_id, "resume": True}})
        assert reply["data"]["observation"]["status"] == "error"
        assert episode_id in reply["data"]["observation"]["message"]


@pytest.mark.parametrize(
    "data",
    [{"resume": True}, {"resume": 1, "episode_id": "x"}, {"resume": True, "episode_id": 4}],
)
def test_resume_without_an_id_names_the_missing_field(
    client: TestClient, data: dict[str, Any]
) -> None:
    with client.websocket_connect("/ws") as socket:
        observation = ask(socket, {"type": "reset", "data": data})["data"]["observation"]
        assert observation["status"] == "error"
        assert "resume" in observation["message"]


@pytest.mark.slow
def test_a_second_connection_takes_the_episode_over_from_one_that_hangs(
    client: TestClient,
) -> None:
    with client.websocket_connect("/ws") as hanging:
        episode_id = ask(hanging, START)["data"]["metadata"]["episode_id"]
        ask(hanging, {"type": "step", "data": {"analysis_method": "list_dates"}})
        with client.websocket_connect("/ws") as again:
            resume = {"type": "reset", "data": {"episode_id": episode_id, "resume": True}}
            assert ask(again, resume)["data"]["observation"]["status"] == "ready"
            assert "another connection" in hanging.receive_json()["data"]["message"]
            assert hanging.receive()["code"] == 4408
            assert ask(again, {"type": "state"})["data"]["step_count"] == 1


async def test_an_idle_session_is_ended_and_its_slot_is_free_at_once() -> None:
    slots = SessionSlots(max_sessions=1, idle_timeout_s=10)

    async def served() -> str:
        session = slots.open_session_in_free_slot("game")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return session.end_reason
        return ""

    task = asyncio.create_task(served())
    await asyncio.sleep(0)
    (session,) = slots
    with pytest.raises(CapacityError):
        slots.open_session_in_free_slot("game")
    slots.end_idle_sessions(session.last_message_s + 9.9)
    assert list(slots) == [session]
    slots.end_idle_sessions(session.last_message_s + 10.1)
    assert not list(slots)
    assert await task == "idle"
    slots.free_slot(session)
    assert not list(slots)


def test_a_message_over_the_websocket_counts_as_activity() -> None:
    app = build_app(Settings(episode_store="memory", idle_timeout_s=0))
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:
        ask(socket, START)
        (session,) = app.state.slots
        session.last_message_s -= 60
        silent_since = session.last_message_s
        ask(socket, {"type": "state"})
        assert session.last_message_s >= silent_since + 60


@pytest.mark.slow
def test_idle_session_end_is_reported_with_a_way_to_resume() -> None:
    app = build_app(Settings(episode_store="memory", idle_timeout_s=1))
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:
        episode_id = ask(socket, START)["data"]["metadata"]["episode_id"]
        for session in app.state.slots:
            session.last_message_s -= 60
        assert "resume" in socket.receive_json()["data"]["message"]
        assert socket.receive()["code"] == 4408
        with client.websocket_connect("/ws") as again:
            resume = {"type": "reset", "data": {"episode_id": episode_id, "resume": True}}
            assert ask(again, resume)["data"]["observation"]["status"] == "ready"
