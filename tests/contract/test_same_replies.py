"""A model reads the same prompts, tools and replies over every interface."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.agent.completions import ChatMessage, ModelAnswer, ModelToolCall
from openenv_kit.agent.model_player import ModelPlayer
from openenv_kit.agent.player_episode import PlayerEpisode
from openenv_kit.agent.servers import Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.environment import Environment, full_observation_from_reply
from openenv_kit.episode_clients.replaying_websocket import ReplayingWebSocketEpisode
from openenv_kit.errors import ToolArgumentError
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.rollouts.run_policy import observation_from_reply
from openenv_kit.trainers.openenv_harness import ToolSessionFactory
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import environment_class
from support.paths import ROOT
from support.playable_environments import Game

FUNCTION = ("name", "description", "parameters")


Prompt = tuple[str, str | None, list[dict[str, Any]]]
"""System prompt, first user message and tools, as a model gets them."""


def prompt_of_inference(server_url: str) -> Prompt:
    """What a local OpenAI-compatible endpoint is sent by a whole run of inference.py."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        import inference
        from support.fake_model import fake_model

        patch.chdir(folder)
        with fake_model() as model:
            patch.setenv("API_KEY", "none")
            patch.setenv("API_BASE_URL", model.url)
            patch.setenv("MODEL_NAME", "submits-then-goes-on")
            assert inference.main(["--base-url", server_url, "--tasks", "easy_single_spike"]) == 0
            request = model.requests[0]
    system, user = (message["content"] for message in request["messages"])
    return system, user, [tool["function"] for tool in request["tools"]]


def prompt_of_mcp(server_url: str) -> Prompt:
    """Tools and instructions over plain JSON-RPC; there, the reset stays with the trainer."""

    def ask(method: str) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
        return httpx.post(f"{server_url}/mcp", json=request).json()["result"]

    offered = [
        (each["name"], each["description"], each["inputSchema"])
        for each in ask("tools/list")["tools"]
    ]
    return ask("initialize")["instructions"], None, as_functions(offered)


def prompt_of_harness(_: str) -> Prompt:
    from openenv_kit.trainers.openenv_harness import ToolSessionFactory

    session = ToolSessionFactory().create("easy_single_spike")
    system, user = (message["content"] for message in session.initial_messages())
    offered = [(tool.name, tool.description, tool.input_schema) for tool in session.list_tools()]
    return system, user, as_functions(offered)


def prompt_of_trl(_: str) -> Prompt:
    """TRL's dataset, which brings the brief, needs a library; its check compares that."""
    from openenv_kit.trainers.trl import environment_class

    made = environment_class()()
    user = made.reset(task_id="easy_single_spike")
    offered = []
    for name in ENVIRONMENT.tools.select_for_episode().tool_names:
        taken = inspect.signature(getattr(made, name)).parameters.values()
        properties = {each.name: TypeAdapter(each.annotation).json_schema() for each in taken}
        required = [each.name for each in taken if each.default is each.empty]
        schema = {"type": "object", "properties": properties}
        description = getattr(made, name).__doc__.partition("\n")[0]
        offered.append(
            (name, description, {**schema, **({"required": required} if required else {})})
        )
    return ENVIRONMENT.build_system_prompt(), user, as_functions(offered)


def prompt_of_nemo_gym(_: str) -> Prompt:
    """The example data in this repository; the task is another one, so no user message."""
    path = ROOT / "examples" / "nemo_gym" / "metric_tracker" / "data" / "example.jsonl"
    given = json.loads(path.read_text().partition("\n")[0])["responses_create_params"]
    system, _user = (message["content"] for message in given["input"])
    return system, None, [{name: tool[name] for name in FUNCTION} for tool in given["tools"]]


def as_functions(offered: Iterable[tuple[str, str, Any]]) -> list[dict[str, Any]]:
    return [dict(zip(FUNCTION, each, strict=True)) for each in offered]


PROMPT_SOURCES = (
    prompt_of_inference,
    prompt_of_mcp,
    prompt_of_harness,
    prompt_of_trl,
    prompt_of_nemo_gym,
)
"""verifiers, Inspect AI and SkyRL are held to the same in tests/integrations."""


Calls = Sequence[tuple[str, dict[str, Any]]]
Door = Callable[[Game, Calls, str], list[str]]


def calls_of(game: Game) -> Calls:
    """A look, the look with an argument that nobody takes, no tool, a look again, and the end."""
    look, end = game.look, game.final
    wrong = {**look.arguments, "no_such_argument": "x" * 20}
    return [
        (look.tool, look.arguments),
        (look.tool, wrong),
        ("no_such_tool", {}),
        (look.tool, look.arguments),
        (end.tool, end.arguments),
    ]


def as_the_environment_says(game: Game, calls: Calls) -> list[str]:
    """The replies, straight from a session and the catalogue."""
    environment, session = game.environment, game.environment.create_session()
    reply = session.reset(**game.opening)
    tools = environment.tools.select_for_episode(
        full_observation_from_reply(environment, reply, session.task_id)
    )
    said = []
    for name, arguments in calls:
        try:
            reply = session.step(tools.build_action(name, arguments))
        except ToolArgumentError as problem:
            said.append(compact_json({"status": ReplyStatus.ERROR, "message": str(problem)}))
        else:
            observation = full_observation_from_reply(environment, reply, session.task_id)
            payload = {**observation, "reward": reply.reward, "done": reply.done}
            said.append(compact_json(tools.format_tool_result(payload)))
    return said


def over_mcp(game: Game, calls: Calls, url: str) -> list[str]:
    """JSON-RPC over HTTP, in an episode of one's own."""
    with httpx.Client(base_url=url, timeout=60.0) as client:
        named = client.post("/reset", json=game.opening).raise_for_status().json()["episode_id"]
        begun = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}
        answer = client.post("/mcp", params={"episode_id": named}, json=begun)
        held = {"mcp-session-id": answer.headers["mcp-session-id"]}
        said = []
        for number, (name, arguments) in enumerate(calls, start=1):
            params = {"name": name, "arguments": arguments}
            body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            answer = client.post(
                "/mcp", params={"episode_id": named}, json=body, headers=held
            ).json()
            if "error" in answer:  # what is no call is a protocol error, in the same words
                said.append(
                    compact_json(
                        {"status": ReplyStatus.ERROR, "message": answer["error"]["message"]}
                    )
                )
            else:
                (part,) = answer["result"]["content"]
                said.append(part["text"])
    return said


class Scripted:
    """A chat endpoint that makes the calls in order; keeps the conversation it was shown."""

    model = "scripted"

    def __init__(self, calls: Calls) -> None:
        self._calls = iter(enumerate(calls))
        self.messages: Sequence[ChatMessage] = ()

    async def request_answer(
        self, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]
    ) -> ModelAnswer:
        self.messages = messages
        number, (name, arguments) = next(self._calls)
        return ModelAnswer("", (ModelToolCall(f"call_{number}", name, compact_json(arguments)),))

    async def close(self) -> None:
        """Nothing to release."""


def by_the_model_player(game: Game, calls: Calls, url: str) -> list[str]:
    """What inference.py puts into a model's conversation, over the server's WebSocket."""

    async def played() -> list[str]:
        environment: Environment = game.environment
        settings, endpoint = AgentSettings(secrets=()), Scripted(calls)
        client = ReplayingWebSocketEpisode(Server(url), settings, lambda _: None)
        try:
            opening = await client.reset(game.opening)
            block = EvaluationLog(io.StringIO()).start_task_log(
                "task", environment.name, endpoint.model
            )
            table = PlayerEpisode(environment, client, block, opening)
            await ModelPlayer(settings, endpoint).play_episode(table)
        finally:
            await client.close()
        return [each["content"] for each in endpoint.messages if each["role"] == "tool"]

    return asyncio.run(played())


def by_a_trainers_episode(game: Game, calls: Calls, _: str) -> list[str]:
    """What verifiers, Inspect AI, NeMo Gym and SkyRL pass on, each in its own wrapping."""
    episode = ToolEpisode(environment=game.name)
    episode.reset(game.opening)
    return [episode.call_tool(name, arguments) for name, arguments in calls]


def by_a_trainers_episode_on_a_server(game: Game, calls: Calls, url: str) -> list[str]:
    episode = ToolEpisode(url, game.name)
    episode.reset(game.opening)
    try:
        return [episode.call_tool(name, arguments) for name, arguments in calls]
    finally:
        episode.close()


def by_trl(game: Game, calls: Calls, _: str) -> list[str]:
    made = environment_class(game.name, reset=game.opening)()
    made.reset(**game.opening)
    return [getattr(made, name)(**arguments) for name, arguments in calls]


def by_the_harness(game: Game, calls: Calls, _: str) -> list[str]:
    session = ToolSessionFactory(environment=game.name).create(game.opening)
    return [session.call_tool(name, arguments).data for name, arguments in calls]


DOORS = (
    *(over_mcp, by_the_model_player, by_a_trainers_episode, by_a_trainers_episode_on_a_server),
    *(by_trl, by_the_harness),
)


@pytest.mark.parametrize("door", DOORS)
def test_every_interface_returns_the_same_replies(door: Door, game: Game, server_url: str) -> None:
    calls = calls_of(game)
    if door is by_trl:  # its tools are methods: there is none of another name
        calls = [each for each in calls if each[0] in game.environment.tools.tool_names]
    url = server_url if game.name == "metric_tracker_rl" else f"{server_url}/{game.name}"
    expected = as_the_environment_says(game, calls)
    assert len(set(expected)) >= 3, "the calls do not tell the doors apart"
    assert door(game, calls, url) == expected


@pytest.mark.parametrize("prompt_of", PROMPT_SOURCES)
def test_every_interface_gives_a_model_the_same_prompts_and_tools(
    prompt_of: Callable[[str], Prompt], server_url: str
) -> None:
    system, user, tools = prompt_of(server_url)
    opening = observation_from_reply(
        ENVIRONMENT.create_session().reset(task_id="easy_single_spike")
    )
    assert system == ENVIRONMENT.build_system_prompt(opening)
    assert user in (ENVIRONMENT.tools.first_user_message(opening), None)
    offered = ENVIRONMENT.tools.select_for_episode(opening)
    assert tools == [tool["function"] for tool in offered.chat_tools]
