"""A small environment is served over HTTP, WebSocket and MCP."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openenv.core.env_server.types import Action, Observation, State
from pydantic import BaseModel
from starlette.testclient import TestClient

from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import (
    Environment,
    EpisodeLimits,
    Reply,
    Session,
    WireModels,
    get_environment,
)
from openenv_kit.errors import require_integer
from openenv_kit.reset_arguments import EPISODE_ID, MAX_STEPS, index_arguments_by_name
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from openenv_kit.tool import Tool, ToolArguments, ToolCall


class GuessAction(Action):
    guess: int = 0


class GuessObservation(Observation):
    task_id: str = ""
    status: str = ""
    message: str = ""
    hint: str = ""


class GuessState(State):
    task_id: str | None = None
    status: str = "idle"
    max_steps: int = 0


class Guessing(Session):
    """Guess the number 7 in at most three steps; a reset has no reward to tell."""

    state_model: type[BaseModel] = GuessState

    def start_episode(self, *, max_steps: int = 3) -> Reply:
        self.task_id, self.max_steps = "seven", max_steps
        return Reply("ready", "Guess.", reward=None, observation_fields={"hint": "1 to 9"})

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        guess = require_integer("guess", action.get("guess"), 1, 9)
        done = guess == 7 or self.steps >= self.max_steps
        hint = "higher" if guess < 7 else "lower" if guess > 7 else "right"
        info = {"error": None, "guess": guess}
        return Reply("played", hint, float(guess == 7), done, {"hint": hint}, info)

    def build_error_reply(self, message: str) -> Reply:
        return dataclasses.replace(super().build_error_reply(message), info={"error": message})

    def build_episode_identity(self) -> dict[str, Any]:
        return {"number": 7} if self.task_id else {}


class Guess(ToolArguments):
    number: int


GUESS = Tool("guess", "Guess the number.", Guess, is_read_only=False)


class OneTask:
    task_id = "train-0"
    level = None

    def reset_arguments(self) -> dict[str, Any]:
        return {"max_steps": 2}

    def as_public_dict(self) -> dict[str, Any]:
        return {"id": self.task_id}


class OneSplit:
    def list_playable_split_names(self) -> list[str]:
        return ["train"]

    def size(self, split: str) -> int:
        return 1

    def task(self, split: str, index: int) -> OneTask:
        return OneTask()


class GuessingEnvironment(Environment):
    name = "guessing"
    title = description = "Guess a number."
    version = "1.2.3"
    versions: Mapping[str, str] = {"rules": "1"}
    wire_models = WireModels(GuessAction, GuessObservation, GuessState)
    tools = Catalogue(
        [GUESS],
        format_tool_result=lambda observation: {"hint": observation["hint"]},
        first_user_message=lambda opening: str(opening["hint"]),
        action_of_tool_call=lambda _, arguments: {"guess": arguments["number"]},
        tool_call_of_action=lambda action: ToolCall("guess", {"number": action["guess"]}),
    )
    reset_arguments = index_arguments_by_name(EPISODE_ID, MAX_STEPS)
    episode_limits = EpisodeLimits(max_steps=3)
    reset_arguments_by_task_id: Mapping[str, Any] = {"seven": {}}
    splits = OneSplit()
    policies: Mapping[str, Any] = {}

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        return "Guess well."

    def create_session(self, *, debug: bool = False) -> Guessing:
        return Guessing()

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return {"right": observation["reward"]}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = Settings(episode_store="memory", max_steps=2)
    with TestClient(build_app(settings, GuessingEnvironment())) as client:
        yield client


def ask(socket: Any, kind: str, data: Any = None) -> Any:
    socket.send_json({"type": kind} if data is None else {"type": kind, "data": data})
    return socket.receive_json()["data"]


def test_http_reset_has_no_reward_and_http_step_has_info(client: TestClient) -> None:
    opening = client.post("/reset", json={"episode_id": "mine"}).json()
    assert (opening["reward"], opening["done"]) == (None, False)
    assert opening["observation"]["hint"] == "1 to 9"
    assert "info" not in opening
    reply = client.post("/step", json={"episode_id": "mine", "action": {"guess": 3}}).json()
    assert reply["info"] == {"error": None, "guess": 3}
    assert reply["metadata"] == {"episode_id": "mine"}
    ended = client.post("/step", json={"episode_id": "mine", "action": {"guess": 7}}).json()
    assert (ended["reward"], ended["done"]) == (1.0, True)
    state = client.get("/state", params={"episode_id": "mine"}).json()
    assert (state["status"], state["score"]) == ("completed", 1.0)
    assert state["reward_breakdown"] == {"right": 1.0}
    assert len(state["config_digest"]) == 64


def test_request_without_an_episode_gets_the_environments_reply(client: TestClient) -> None:
    reply = client.post("/step", json={"action": {"guess": 3}}).json()
    assert reply["info"] == {"error": "No episode is running: call reset first."}


def test_on_a_websocket_info_travels_as_metadata(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        opening = ask(socket, "reset", {})
        assert opening["reward"] is None
        assert set(opening["metadata"]) == {"episode_id", "player_id"}
        reply = ask(socket, "step", {"guess": 9})
        assert reply["metadata"] == {"error": None, "guess": 9}
        assert "info" not in reply
        assert ask(socket, "state")["step_count"] == 1


def test_a_reset_takes_the_environment_s_arguments_and_the_server_s_limits(
    client: TestClient,
) -> None:
    with client.websocket_connect("/ws") as socket:
        for wrong, expected in (
            ({"seed": 1}, "reset argument"),
            ({"max_steps": 3}, "1 to 2 on this"),
        ):
            assert expected in ask(socket, "reset", wrong)["observation"]["message"]
            assert ask(socket, "state")["status"] == "idle"
        ask(socket, "reset", {})
        assert ask(socket, "state")["max_steps"] == 2


def test_mcp_lists_tools_returns_the_system_prompt_and_plays(client: TestClient) -> None:
    def rpc(method: str, **params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return client.post("/mcp", json=body, headers=session)

    session: dict[str, str] = {}
    opened = rpc("initialize")
    session["mcp-session-id"] = opened.headers["mcp-session-id"]
    result = opened.json()["result"]
    assert result["serverInfo"] == {"name": "guessing", "version": "1.2.3"}
    assert result["instructions"] == "Guess well."
    assert rpc("tools/list").json()["result"]["tools"] == [GUESS.as_mcp_tool()]
    wrong = rpc("tools/call", name="guess", arguments={"number": "x"}).json()["error"]
    assert wrong["code"] == -32602
    assert "number is 'x'" in wrong["message"]
    assert "Nothing was done." in wrong["message"]
    refused = rpc("tools/call", name="guess", arguments={"number": 0}).json()["result"]
    assert refused["isError"] is True
    right = rpc("tools/call", name="guess", arguments={"number": 7}).json()["result"]
    assert right["isError"] is False
    assert right["structuredContent"] == {"hint": "right"}
    assert json.loads(right["content"][0]["text"]) == right["structuredContent"]
    meta = {"reward": 1.0, "done": True, "info": {"error": None, "guess": 7}}
    assert right["_meta"] == meta


def test_framework_routes_describe_the_environment(client: TestClient) -> None:
    assert client.get("/metadata").json()["name"] == "guessing"
    assert client.get("/guessing/splits").json() == [{"name": "train", "type": "train"}]
    assert "guess" in json.dumps(client.get("/schema").json()["action"])


def test_default_environments_tools_are_the_same_everywhere() -> None:
    environment = get_environment()
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        over_http = client.post("/mcp", json=body).json()["result"]
        with client.websocket_connect("/mcp") as socket:
            socket.send_json(body)
            over_socket = socket.receive_json()["result"]
            socket.send_json({**body, "method": "initialize"})
            initialized = socket.receive_json()["result"]
    expected = {
        "tools": [tool.as_mcp_tool() for tool in environment.tools.select_for_episode().tools]
    }
    assert over_http == over_socket == json.loads(json.dumps(expected))
    assert initialized["instructions"] == environment.build_system_prompt()
