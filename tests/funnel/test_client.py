"""The typed client against a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openenv.core.env_client import EnvClient
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from metric_tracker_rl import (
    MetricSubmissionRow,
    MetricTrackerRlAction,
    MetricTrackerRlEnv,
    MetricTrackerRlObservation,
)
from metric_tracker_rl.models import MetricTrackerRlState, PayloadGeneratorMethod
from metric_tracker_rl.policies import get_policy


async def test_client_plays_an_episode_as_in_the_contract(server_url: str) -> None:
    env = MetricTrackerRlEnv(base_url=server_url, connect_timeout_s=30, message_timeout_s=30)
    await env.connect()
    try:
        opening = await env.reset(task_id="medium_mixed_pair")
        assert isinstance(opening.observation, MetricTrackerRlObservation)
        assert opening.observation.status == "ready"
        found = await env.step(MetricTrackerRlAction(analysis_method="list_dates"))
        assert found.observation.analysis_result is not None
        assert len(found.observation.analysis_result["result"]["dates"]) == 28
        assert (found.reward, found.done) == (0.0, False)
        method = PayloadGeneratorMethod(method_name="median_filter", threshold_multiplier=2.0)
        ended = await env.step(MetricTrackerRlAction(payload_generators=[method]))
        assert ended.done
        assert ended.observation.reward_breakdown is not None
        assert ended.reward == ended.observation.reward_breakdown.total_score
        assert isinstance(await env.state(), MetricTrackerRlState)
    finally:
        await env.close()


async def test_the_reference_policy_earns_everything_over_the_wire(server_url: str) -> None:
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        result = await env.reset(task_id="hard_mixed_multi")
        moves = get_policy("reference").generate_actions(result.observation.model_dump())
        action = next(moves)
        while True:
            result = await env.step(MetricTrackerRlAction(**action))
            if result.done:
                break
            action = moves.send(result.observation.model_dump())
        assert result.reward == 1.0


async def test_typed_rows_and_mappings_are_the_same_report(server_url: str) -> None:
    row: dict[str, Any] = {
        "date": "2022-01-01",
        "entity_type": "event_count",
        "entity_name": "app_opens",
        "anomaly_type": "absolute_drop_in_event_count",
        "detection_method": "compare_count_to_median",
        "baseline_value": 10.0,
        "observed_value": 5.0,
        "delta_value": -5.0,
        "severity": "critical",
    }
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        ends = []
        typed = MetricTrackerRlAction(classifications=[MetricSubmissionRow(**row)])
        for action in (typed, {"classifications": [row]}):
            await env.reset(seed=3)
            ends.append((await env.step(action)).observation)  # type: ignore[arg-type]
        assert ends[0] == ends[1]


async def test_invalid_action_returns_an_error_reply_and_raises_nothing(server_url: str) -> None:
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        early = await env.step(MetricTrackerRlAction(analysis_method="list_dates"))
        assert early.observation.status == "error"
        await env.reset()
        wrong = await env.step(MetricTrackerRlAction(analysis_method="list_date"))
        assert "Did you mean 'list_dates'?" in wrong.observation.message


def test_the_synchronous_client_works(server_url: str) -> None:
    with MetricTrackerRlEnv(base_url=server_url).sync() as env:
        assert env.reset(task_id="easy_single_spike").observation.status == "ready"
        found = env.step(MetricTrackerRlAction(analysis_method="list_entities"))
        assert found.observation.status == "analyzed"
        assert env.state().step_count == 1


async def test_no_keepalive_ping_is_sent_unless_it_is_asked_for(server_url: str) -> None:
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        socket = env._ws
        assert socket is not None
        assert socket.ping_interval is None
        assert socket.keepalive_task is None
    async with MetricTrackerRlEnv(base_url=server_url, websocket_ping_interval_s=5.0) as env:
        assert env._ws is not None
        assert env._ws.ping_interval == 5.0


async def test_idle_session_stays_open(server_url: str) -> None:
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        await env.reset()
        await asyncio.sleep(0.5)
        found = await env.step(MetricTrackerRlAction(analysis_method="list_dates"))
        assert found.observation.status == "analyzed"


async def test_client_waits_for_a_server_that_starts_and_says_so_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [InvalidStatus(Response(status, "", Headers())) for status in (502, 503, 504)]
    causes: list[Exception] = [ConnectionRefusedError(), *answers]

    async def connect(client: EnvClient[Any, Any, Any]) -> EnvClient[Any, Any, Any]:
        if causes:
            raise ConnectionError("Failed to connect to ws://x/ws") from causes.pop()
        return client

    monkeypatch.setattr(EnvClient, "_connect_async", connect)
    monkeypatch.setattr("openenv_kit.client.RECONNECT_PAUSE_S", 0.001)
    env = MetricTrackerRlEnv(base_url="http://x")
    assert await env.connect() is env
    assert causes == []
    assert caplog.messages == ["waiting up to 10 s: Failed to connect to ws://x/ws"]


async def test_client_does_not_wait_for_a_server_that_refuses_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def connect(_: EnvClient[Any, Any, Any]) -> None:
        raise ConnectionError("no") from InvalidStatus(Response(401, "", Headers()))

    monkeypatch.setattr(EnvClient, "_connect_async", connect)
    with pytest.raises(ConnectionError, match="no"):
        await MetricTrackerRlEnv(base_url="http://x").connect()
    assert caplog.messages == []


async def test_missing_server_is_an_error_with_its_address() -> None:
    env = MetricTrackerRlEnv(base_url="http://127.0.0.1:9", connect_timeout_s=2)
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        await env.connect()
    await env.close()
