"""Firewatch on the kit: the same episodes through every door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from firewatch_env.actions import ACTIONS
from firewatch_env.tasks.named import NAMED
from firewatch_env.tools import GROUPS
from openenv_kit.environment import Environment, get_environment
from openenv_kit.rollouts.run_policy import iter_policy_steps, run_policy
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from openenv_kit.trainers.tool_episode import ToolEpisode

TASK = "task_easy_thread_deadlock"


@pytest.fixture(scope="module")
def firewatch() -> Environment:
    return get_environment("firewatch")


@pytest.fixture(scope="module")
def client(firewatch: Environment) -> Iterator[TestClient]:
    app = build_app(Settings(episode_store="memory"), firewatch)
    with TestClient(app, base_url="http://localhost") as made:
        yield made


def by_reference(firewatch: Environment) -> list[dict[str, Any]]:
    session = firewatch.create_session()
    opening = session.reset(task_id=TASK)
    return [
        action for action, _ in iter_policy_steps(session, firewatch.policies["reference"], opening)
    ]


@pytest.mark.parametrize("task_id", [*NAMED][::12])
def test_the_reference_solves_named_tasks_through_the_kit(
    firewatch: Environment, task_id: str
) -> None:
    session = firewatch.create_session()
    opening = session.reset(**firewatch.reset_arguments_by_task_id[task_id])
    assert run_policy(session, firewatch.policies["reference"], opening).score == 1.0
    assert session.done
    assert session.state().status == "completed"  # type: ignore[attr-defined]


def test_nothing_is_earned_by_looking_away(firewatch: Environment) -> None:
    for name in ("null", "declare_at_once"):
        session = firewatch.create_session()
        opening = session.reset(task_id=TASK)
        assert run_policy(session, firewatch.policies[name], opening).score == 0.0


def test_http_tells_null_at_reset_and_info_at_each_step(
    client: TestClient, firewatch: Environment
) -> None:
    opened = client.post("/reset", json={"task_id": TASK}).json()
    assert opened["reward"] is None
    assert opened["done"] is False
    assert all(len(view) == 9 for view in opened["observation"]["services"].values())
    last: dict[str, Any] = {}
    for action in by_reference(firewatch):
        body = {"episode_id": opened["episode_id"], "action": action}
        last = client.post("/step", json=body).json()
        assert type(last["reward"]) in (int, float)
        assert last["info"]["error"] is None
    assert (last["reward"], last["done"]) == (1.0, True)
    assert last["observation"]["episode_score"] == 1.0
    assert set(last["info"]["score_parts"]) >= {"impact", "precision", "closure"}


def test_a_mistake_is_answered_in_info_and_the_episode_goes_on(client: TestClient) -> None:
    opened = client.post("/reset", json={"task_id": TASK}).json()

    def step(**action: Any) -> Any:
        body = {"episode_id": opened["episode_id"], "action": action}
        return client.post("/step", json=body).json()

    reply = step(action_type="fetch_log", target_service="web-gateway")
    assert "Did you mean 'fetch_logs'" in reply["info"]["error"]
    assert reply["observation"]["sim_tick"] == 1
    assert "target_service" in step(action_type="fetch_logs")["info"]["error"]
    refused = client.post("/reset", json={"task_id": "task_easy_oom"}).json()
    assert "Did you mean 'task_easy_oom_baseline'" in refused["info"]["error"]


def test_a_websocket_tells_info_as_metadata(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        socket.send_text(json.dumps({"type": "reset", "data": {"task_id": TASK}}))
        opened = json.loads(socket.receive_text())["data"]
        entry = next(iter(opened["observation"]["dependency_graph"]))
        action = {"action_type": "get_metrics_detail", "target_service": entry}
        socket.send_text(json.dumps({"type": "step", "data": action}))
        data = json.loads(socket.receive_text())["data"]
    assert data["observation"]["message"].startswith(data["metadata"]["action_feedback"])
    assert data["observation"]["tool_result"]


def test_at_most_30_tools_in_four_groups_stand_for_72_actions(firewatch: Environment) -> None:
    tools = firewatch.tools.tools
    without = [tool.name for tool in tools if not tool.parameters["properties"]]
    assert len(tools) <= 30
    assert len(GROUPS) == 4
    assert sorted(without) == ["declare_resolved", "escalate"]
    for name, made in ACTIONS.items():
        action = (
            {"action_type": name, "target_service": "cart-api"}
            if made.needs_target
            else {"action_type": name}
        )
        called = firewatch.tools.tool_call_of_action(action)
        if name in GROUPS["look"] or made.runbook or made.group in ("repair", "close"):
            assert firewatch.tools.build_action(*called) == action
    action = {
        "action_type": "scale_replicas",
        "target_service": "cart-api",
        "parameters": {"replicas": 3},
    }
    assert firewatch.tools.build_action(*firewatch.tools.tool_call_of_action(action)) == action


def test_a_model_is_told_the_manual_the_situation_and_never_the_cause(
    firewatch: Environment,
) -> None:
    episode = ToolEpisode(environment="firewatch")
    opening = episode.reset({"task_id": TASK})
    assert "Customers come in at" in opening
    assert len(episode.system_prompt) <= 2000
    entry = opening.split("Customers come in at ")[1].split(".")[0].split(",")[0]
    answer = json.loads(episode.call_tool("fetch_logs", {"target_service": entry}))
    assert set(answer) == {"status", "message"}
    assert "deadlock" not in json.dumps(answer) + episode.system_prompt
