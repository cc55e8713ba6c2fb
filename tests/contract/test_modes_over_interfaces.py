"""HTTP, MCP and the typed client play every mode of the funnel."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl import MetricTrackerRlEnv
from metric_tracker_rl.engine.configuration.modes import MODES, PlayMode
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.json_text import compact_json
from support.funnel_modes import check_tool_names, play_reference, reset_of_mode
from support.server_requests import call_mcp

TASK = {"task_id": "hard_mixed_multi"}


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_mcp_player_of_a_trainers_episode_has_the_tools_of_its_mode_and_scores_one(
    client: TestClient, mode: PlayMode
) -> None:
    reset = client.post("/reset", json={**TASK, **reset_of_mode(mode)}).json()
    request = partial(call_mcp, client, path=f"/mcp?player_id={reset['player_id']}")
    initialized = request("initialize", protocolVersion="2025-06-18")
    assert initialized.json()["result"]["instructions"] == MODES[mode].system_prompt
    headers = {"mcp-session-id": initialized.headers["mcp-session-id"]}
    listed = request("tools/list", headers).json()["result"]["tools"]
    check_tool_names([tool["name"] for tool in listed], mode)
    results: list[dict[str, Any]] = []

    def call(name: str, **arguments: Any) -> str:
        reply = request("tools/call", headers, name=name, arguments=arguments).json()["result"]
        results.append(reply["structuredContent"])
        return compact_json(results[-1])

    play_reference(ENVIRONMENT.tools.first_user_message(reset["observation"]), call)
    assert results[-1]["status"] == "evaluated"
    final = client.get("/state", params={"episode_id": reset["episode_id"]}).json()
    assert (final["status"], final["score"]) == ("completed", 1.0)


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_mcp_tool_that_the_mode_does_not_offer_is_rejected(
    client: TestClient, mode: PlayMode
) -> None:
    reset = client.post("/reset", json={**TASK, **reset_of_mode(mode)}).json()
    request = partial(call_mcp, client, path=f"/mcp?player_id={reset['player_id']}")
    headers = {"mcp-session-id": request("initialize").headers["mcp-session-id"]}
    reply = request("tools/call", headers, name="scam", arguments={}).json()
    assert "Unknown tool 'scam'" in reply["error"]["message"]
    offered = ENVIRONMENT.tools.select_for_episode(reset_of_mode(mode)).tool_names
    assert all(name in reply["error"]["message"] for name in offered)


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_http_steps_of_the_reference_score_one(client: TestClient, mode: PlayMode) -> None:
    reset = client.post("/reset", json={**TASK, **reset_of_mode(mode)}).json()
    offered = [each["name"] for each in reset["observation"]["available_methods"]]
    assert set(offered) <= set(ENVIRONMENT.tools.select_for_episode(reset_of_mode(mode)).tool_names)
    actions = get_policy("reference").generate_actions(reset["observation"])
    action = next(actions)
    episode = {"episode_id": reset["episode_id"]}
    while not (reply := client.post("/step", json={**episode, "action": action}).json())["done"]:
        action = actions.send(reply["observation"])
    assert reply["reward"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids="-".join)
async def test_typed_client_plays_a_mode(server_url: str, mode: PlayMode) -> None:
    async with MetricTrackerRlEnv(base_url=server_url) as env:
        reset = await env.reset(task_id="medium_mixed_pair", **reset_of_mode(mode))
        state = await env.state()
        assert (state.profile, state.disclosure) == mode
        actions = get_policy("reference").generate_actions(reset.observation.model_dump())
        action = next(actions)
        while not (result := await env.step(action)).done:  # type: ignore[arg-type]
            action = actions.send(result.observation.model_dump())
        assert result.reward == 1.0
