"""OpenEnv's own harness: sessions, and data for fine-tuning.

`collect` writes one episode per line, in the framework's own format; `sft_examples` turns them
into chats with tool calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openenv.core.env_server.mcp_types import Tool
from openenv.core.harness import (
    HarnessRunLimits,
    MCPHarnessAdapter,
    ModelStep,
    ModelStepResult,
    ResourceSession,
    ResourceSessionFactory,
    ToolResult,
    VerifyResult,
)
from openenv.core.harness.collect import (
    RESULTS_FILENAME,
    CollectResult,
    CollectRunner,
    RolloutSerializer,
)
from openenv.core.llm_client import LLMResponse, ToolCall

from openenv_kit.agent.episode_plan import MAX_SEED
from openenv_kit.datasets.row_values import read_number, read_object, read_value
from openenv_kit.datasets.split_rows import reset_arguments
from openenv_kit.datasets.task_sampling import draw_task, names_task
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import InvalidValueError, require_integer, require_name
from openenv_kit.trainers.tool_episode import ToolEpisode, next_call, texts

Message = dict[str, Any]


class ToolSession(ResourceSession):
    """The episode of a dataset row, played by tool calls."""

    def __init__(
        self,
        row: Mapping[str, Any] | None = None,
        base_url: str | None = None,
        environment: str | None = None,
    ) -> None:
        self._episode = ToolEpisode(base_url, environment)
        try:
            self._opening = self._episode.reset(row)
        except Exception:
            self._episode.close()
            raise

    def initial_messages(self) -> list[Message]:
        return [
            {"role": "system", "content": self._episode.brief},
            {"role": "user", "content": self._opening},
        ]

    def list_tools(self) -> list[Tool]:
        return [
            Tool(name=each.name, description=each.description, input_schema=dict(each.parameters))
            for each in self._episode.tools.tools
        ]

    def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        answer, played = self._episode.call(name, arguments), self._episode
        return ToolResult(data=answer, done=played.done, metadata={"reward": played.reward})

    def verify(self, transcript: list[Message], final_state: Any | None = None) -> VerifyResult:
        """The environment's own reward; 0 for an unfinished episode.

        Raises:
            ServerError: the server was lost, so that nothing was measured.
        """
        return VerifyResult(
            env_reward=self._episode.reward,
            done=self._episode.done,
            metrics=self._episode.metrics,
            artifacts=dict(self._episode.info),
        )

    def close(self) -> None:
        self._episode.close()


class ToolSessionFactory(ResourceSessionFactory[ToolSession]):
    """Makes a session for each task.

    A task is a row of reset arguments, a row as JSON text, a task id, a chat whose last
    message holds one of these, or None for another task of the train split each time, or for the
    one that the trainer's seed draws.
    """

    def __init__(self, base_url: str | None = None, environment: str | None = None) -> None:
        self._base_url, self._environment = base_url, environment

    def create(
        self, task: Any = None, seed: int | None = None, episode_id: str | None = None
    ) -> ToolSession:
        row, seed = dict(row_of(task)), read_number(seed)
        environment = get_environment(self._environment)
        arguments = reset_arguments(row, environment.name)
        if seed is not None and not arguments:
            row |= draw_task(environment, seed=require_integer("seed", seed, 0, MAX_SEED))
        elif seed is not None:
            row["seed"] = seed
        return ToolSession(row, self._base_url, self._environment)


def row_of(task: Any) -> Mapping[str, Any]:
    """The dataset row that a task stands for; see `ToolSessionFactory`.

    Raises:
        InvalidValueError: it stands for none.
    """
    task = read_value(task)
    if task is None or task == "":
        return {}
    if isinstance(task, Mapping):
        return task
    if isinstance(task, str):
        text = task.strip()
        return read_object("task", text) if text.startswith("{") else {"task_id": text}
    if isinstance(task, Sequence) and task and isinstance(task[-1], Mapping):
        return row_of(task[-1].get("content"))
    raise InvalidValueError(
        "task", task, "a row, its JSON, a task id, a chat that ends so, or None"
    )


def limits_for(environment: str | None = None) -> HarnessRunLimits:
    """As many turns as an episode has steps by default."""
    return HarnessRunLimits(max_turns=get_environment(environment).rules.max_steps)


class ScriptedModelStep:
    """A scripted policy as a model: reads the chat, makes the next tool call."""

    def __init__(self, policy: str, environment: str) -> None:
        self.policy, self.environment = policy, environment

    def __call__(self, messages: list[Message], *_: Any, **__: Any) -> ModelStepResult:
        answers, opening = texts(messages, "tool"), "\n".join(texts(messages, "user"))
        call = next_call(self.policy, answers, self.environment, opening)
        if call is None:
            return ModelStepResult(LLMResponse("Done."))
        name, arguments = call
        return ModelStepResult(LLMResponse("", [ToolCall(f"call_{len(answers)}", name, arguments)]))


def scripted_model_step(policy: str = "reference", environment: str | None = None) -> ModelStep:
    """Return a scripted policy as a model; see `ScriptedModelStep`."""
    found = get_environment(environment)
    return ScriptedModelStep(require_name("policy", policy, found.policies), found.name)


def collect(
    out: Path | str,
    rows: Sequence[Mapping[str, Any]],
    *,
    player: str = "reference",
    base_url: str | None = None,
    environment: str | None = None,
) -> CollectResult:
    """Play each row's episode and append it to `out`; a second call resumes the first.

    Args:
        out: folder for `results.jsonl` and `metadata.json`.
        rows: one episode each; one that names no task gets the one that its position draws.
        player: the scripted policy that plays.
        base_url: server to play on; None plays in this process.
        environment: name of what is played.

    Raises:
        InvalidValueError: `out` holds episodes of other rows, another player, another environment
            or other versions.
    """
    model_step = scripted_model_step(player, environment)
    serializer = RolloutSerializer(out)
    found = get_environment(environment)
    rows = [_with_task(found, row, number) for number, row in enumerate(rows)]
    made: dict[str, Any] = {
        "environment": found.name,
        "player": f"scripted:{player}",
        "versions": dict(found.versions),
        "resets": [reset_arguments(row_of(row), environment) for row in rows],
    }
    _require_same(serializer, made)
    serializer.write_metadata(made)
    (Path(out) / RESULTS_FILENAME).touch()  # there is one, even if no episode can be played
    runner = CollectRunner(
        session_factory=ToolSessionFactory(base_url, environment),
        harness_adapter=MCPHarnessAdapter(),
        serializer=serializer,
        tasks=rows,
        limits=limits_for(environment),
    )
    return runner.run(model_step=model_step, num_episodes=len(rows))


def _with_task(environment: Environment, row: Any, number: int) -> Mapping[str, Any]:
    """Return a row that names its task, so that its episode can be played again."""
    arguments = reset_arguments(row_of(row), environment.name)
    if names_task(arguments):
        return row_of(row)
    return draw_task(environment, arguments, seed=number)


def _require_same(serializer: RolloutSerializer, made: dict[str, Any]) -> None:
    """Check that the episodes already collected are those that would be made again."""
    if not serializer.collected_episode_ids():
        return
    before = json.loads(serializer.metadata_path.read_text(encoding="utf-8"))
    held = before.pop("resets", [])
    pairs = [(name, value, made[name]) for name, value in before.items()]
    for number, two in enumerate(zip(held, made["resets"], strict=False)):
        pairs.append((f"reset of episode {number}", *two))
    for name, mine, asked in pairs:
        if asked != mine:
            allowed = f"{mine!r}, whose episodes {serializer.output_dir} holds; name another folder"
            raise InvalidValueError(name, asked, allowed)
    made["resets"] += held[len(made["resets"]) :]


def sft_examples(
    results: Path | str, minimum_reward: float = 1.0, environment: str | None = None
) -> Iterator[dict[str, Any]]:
    """Supervised examples from collected episodes: `messages` with tool calls, and `tools`.

    `results` is a folder written by `collect`, or its `results.jsonl`; episodes with a score below
    `minimum_reward` are left out.
    """
    path = Path(results)
    path = path / RESULTS_FILENAME if path.is_dir() else path
    tools = get_environment(environment).tools
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            episode = json.loads(line)
            if episode["reward"] >= minimum_reward:
                offered = tools.offered(row_of(episode["task"]))
                yield {"messages": episode["messages"], "tools": offered.chat_tools}
