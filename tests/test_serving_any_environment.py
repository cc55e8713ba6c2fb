"""The server knows no environment: one of forty lines is played over HTTP, WebSocket and MCP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openenv.core.env_server.types import Action, Observation, State
from pydantic import BaseModel
from starlette.testclient import TestClient

from openenv_kit.environment import ERROR, Environment, Reply, WireModels, get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from openenv_kit.tools.catalogue import Catalogue, ToolSpec


class GuessAction(Action):
    guess: int = 0


class GuessObservation(Observation):
    hint: str = ""


class GuessState(State):
    task_id: str | None = None
    status: str = "idle"
    max_steps: int = 0


class Progress(BaseModel):
    step_count: int = 0
    task_id: str | None = None
    status: str = "idle"
    max_steps: int = 0


class Guessing:
    """Guess the number 7 in at most three steps; a reset has no reward to tell."""

    task_id = "seven"

    def __init__(self) -> None:
        self.done = False
        self.progress = Progress()

    def reset(self, *, max_steps: int = 3) -> Reply:
        self.done = False
        self.progress = Progress(task_id="seven", status="running", max_steps=max_steps)
        return Reply("ready", "Guess.", reward=None, content={"hint": "1 to 9"})

    def step(self, action: Mapping[str, Any]) -> Reply:
        if self.progress.status == "idle":
            return Reply(ERROR, "Reset first.", info={"error": "Reset first."})
        guess = action.get("guess")
        if not isinstance(guess, int):
            told = {"error": "guess is not an integer"}
            return Reply(ERROR, told["error"], content={"hint": "1 to 9"}, info=told)
        self.progress.step_count += 1
        self.done = guess == 7 or self.progress.step_count >= self.progress.max_steps
        self.progress.status = "completed" if self.done else "running"
        hint = "higher" if guess < 7 else "lower" if guess > 7 else "right"
        info = {"error": None, "guess": guess}
        return Reply("played", hint, float(guess == 7), self.done, {"hint": hint}, info)

    def state(self) -> Progress:
        return self.progress.model_copy()

    def identity(self) -> dict[str, Any]:
        return {"number": 7} if self.progress.status != "idle" else {}


GUESS = ToolSpec(
    "guess",
    "Guess the number.",
    {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    lambda arguments: {"guess": arguments["number"]},
    reads_only=False,
)


class OneTask:
    task_id = "train-0"

    def reset_arguments(self) -> dict[str, Any]:
        return {"max_steps": 2}

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.task_id}


class OneSplit:
    def names(self) -> list[str]:
        return ["train"]

    def size(self, split: str) -> int:
        return 1

    def task(self, split: str, index: int) -> OneTask:
        return OneTask()


class GuessingEnvironment(Environment):
    name = benchmark = "guessing"
    title = description = "Guess a number."
    version = "1.2.3"
    versions: Mapping[str, str] = {"rules": "1"}
    models = WireModels(GuessAction, GuessObservation, GuessState)
    tools = Catalogue([GUESS], lambda action: ("guess", {"number": action["guess"]}), dict)
    reset_arguments = ("episode_id", "max_steps")
    rules: Mapping[str, int] = {"max_steps": 3}
    tasks: Mapping[str, Any] = {"seven": {}}
    default_tasks = ("seven",)
    splits = OneSplit()
    policies: Mapping[str, Any] = {}
    exploits: Mapping[str, Any] = {}
    cache = None

    def brief(self, opening: Mapping[str, Any] | None = None) -> str:
        return "Guess well."

    def introduction(self, opening: Mapping[str, Any]) -> str:
        return str(opening["hint"])

    def session(self, *, debug: bool = False) -> Guessing:
        return Guessing()

    def score_parts(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return {"right": observation["reward"]}

    def observation(self, reply: Reply, task_id: str) -> dict[str, Any]:
        return {"hint": "", **reply.content}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = Settings(episode_store="memory", max_steps=2)
    with TestClient(build_app(settings, GuessingEnvironment())) as client:
        yield client


def ask(socket: Any, kind: str, data: Any = None) -> Any:
    socket.send_json({"type": kind} if data is None else {"type": kind, "data": data})
    return socket.receive_json()["data"]


def test_over_http_a_reset_tells_no_reward_and_a_step_its_info(client: TestClient) -> None:
    opening = client.post("/reset", json={"episode_id": "mine"}).json()
    assert (opening["reward"], opening["done"]) == (None, False)
    assert opening["observation"]["hint"] == "1 to 9"
    assert "info" not in opening
    told = client.post("/step", json={"episode_id": "mine", "action": {"guess": 3}}).json()
    assert told["info"] == {"error": None, "guess": 3}
    assert told["metadata"] == {"episode_id": "mine"}
    ended = client.post("/step", json={"episode_id": "mine", "action": {"guess": 7}}).json()
    assert (ended["reward"], ended["done"]) == (1.0, True)
    state = client.get("/state", params={"episode_id": "mine"}).json()
    assert (state["status"], state["score"]) == ("completed", 1.0)
    assert state["reward_breakdown"] == {"right": 1.0}
    assert len(state["config_digest"]) == 64


def test_without_an_episode_the_environment_s_own_answer_is_given(client: TestClient) -> None:
    told = client.post("/step", json={"action": {"guess": 3}}).json()
    assert told["info"] == {"error": "Reset first."}


def test_on_a_websocket_info_travels_as_metadata(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        opening = ask(socket, "reset", {})
        assert opening["reward"] is None
        assert set(opening["metadata"]) == {"episode_id", "player_id"}
        told = ask(socket, "step", {"guess": 9})
        assert told["metadata"] == {"error": None, "guess": 9}
        assert "info" not in told
        assert ask(socket, "state")["step_count"] == 1


def test_a_reset_takes_the_environment_s_arguments_and_the_server_s_limits(
    client: TestClient,
) -> None:
    with client.websocket_connect("/ws") as socket:
        for wrong, told in (({"seed": 1}, "reset argument"), ({"max_steps": 3}, "1 to 2 on this")):
            assert told in ask(socket, "reset", wrong)["metadata"]["error"]
            assert ask(socket, "state")["status"] == "idle"
        ask(socket, "reset", {})
        assert ask(socket, "state")["max_steps"] == 2


def test_mcp_lists_the_catalogue_gives_the_brief_and_plays(client: TestClient) -> None:
    def rpc(method: str, **params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return client.post("/mcp", json=body, headers=session)

    session: dict[str, str] = {}
    opened = rpc("initialize")
    session["mcp-session-id"] = opened.headers["mcp-session-id"]
    told = opened.json()["result"]
    assert told["serverInfo"] == {"name": "guessing", "version": "1.2.3"}
    assert told["instructions"] == "Guess well."
    assert rpc("tools/list").json()["result"]["tools"] == [GUESS.as_mcp_tool()]
    wrong = rpc("tools/call", name="guess", arguments={"number": "x"}).json()["result"]
    assert wrong["isError"] is True
    right = rpc("tools/call", name="guess", arguments={"number": 7}).json()["result"]
    assert right["isError"] is False
    assert right["structuredContent"]["info"] == {"error": None, "guess": 7}
    assert (right["structuredContent"]["reward"], right["structuredContent"]["done"]) == (1.0, True)


def test_the_framework_s_routes_tell_about_the_environment(client: TestClient) -> None:
    assert client.get("/metadata").json()["name"] == "guessing"
    assert client.get("/guessing/splits").json() == [{"name": "train", "type": "train"}]
    assert "guess" in json.dumps(client.get("/schema").json()["action"])


def test_every_way_to_the_first_environment_s_tools_is_its_catalogue() -> None:
    environment = get_environment()
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        over_http = client.post("/mcp", json=body).json()["result"]
        with client.websocket_connect("/mcp") as socket:
            socket.send_json(body)
            over_socket = socket.receive_json()["result"]
            socket.send_json({**body, "method": "initialize"})
            told = socket.receive_json()["result"]
    expected = {"tools": [tool.as_mcp_tool() for tool in environment.tools.offered().tools]}
    assert over_http == over_socket == json.loads(json.dumps(expected))
    assert told["instructions"] == environment.brief()
