"""OpenEnv's harness: sessions, collected episodes, and examples for supervised fine-tuning.

`collect_episodes` writes one episode per line, in the framework's format. `iter_sft_examples`
converts them into chats with tool calls.
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
from openenv_kit.datasets.row_values import (
    convert_to_python_value,
    convert_whole_number_to_int,
    parse_json_object_of_column,
)
from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.datasets.task_sampling import has_task_selector, sample_task_reset_arguments
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import InvalidValueError, require_integer, require_name
from openenv_kit.rollouts.token_limits import warn_if_context_too_small
from openenv_kit.trainers.chat_messages import list_message_texts_of_role
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.truncation import TRUNCATED_METRIC, ends_before_turn_of_model

HarnessMessage = dict[str, Any]


class ToolSession(ResourceSession):
    """A harness session, which plays the episode of a dataset row through tool calls."""

    def __init__(
        self,
        row: Mapping[str, Any] | None = None,
        base_url: str | None = None,
        environment: str | None = None,
        record: Path | str | None = None,
    ) -> None:
        self._episode = ToolEpisode(base_url, environment, record=record)
        try:
            self._first_user_message = self._episode.reset(row)
        except Exception:
            self._episode.close()
            raise

    def initial_messages(self) -> list[HarnessMessage]:
        return [
            {"role": "system", "content": self._episode.system_prompt},
            {"role": "user", "content": self._first_user_message},
        ]

    def list_tools(self) -> list[Tool]:
        return [
            Tool(name=tool.name, description=tool.description, input_schema=dict(tool.parameters))
            for tool in self._episode.tools.tools
        ]

    def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        result = self._episode.call_tool(name, arguments)
        return ToolResult(
            data=result,
            done=self._episode.is_done,
            metadata={"reward": self._episode.reward},
        )

    def verify(
        self, transcript: list[HarnessMessage], final_state: Any | None = None
    ) -> VerifyResult:
        """Return the environment's reward, which is 0 for an unfinished episode.

        Raises:
            ServerError: the connection to the server was lost, so there is no reward.
        """
        return VerifyResult(
            env_reward=self._episode.reward,
            done=self._episode.is_done,
            metrics={
                **self._episode.metrics,
                TRUNCATED_METRIC: float(
                    not self._episode.is_done and ends_before_turn_of_model(transcript)
                ),
            },
            artifacts=dict(self._episode.info),
        )

    def close(self) -> None:
        self._episode.close()


class ToolSessionFactory(ResourceSessionFactory[ToolSession]):
    """Creates a session for each task.

    A task is one of the following: a row of reset arguments, a JSON string of such a row, a task
    id, or a chat whose last message contains one of these. If the task is None, a different task of
    the train split is sampled each time, or always the same one for a given seed. `record` names a
    folder in which every episode is recorded. If `context_tokens`, the largest number of tokens of
    a rollout, is too small for the level of a task, a warning is logged.
    """

    def __init__(
        self,
        base_url: str | None = None,
        environment: str | None = None,
        record: Path | str | None = None,
        context_tokens: int | None = None,
    ) -> None:
        self._base_url, self._environment, self._record = base_url, environment, record
        self._context_tokens = context_tokens
        self._checked_levels: set[str] = set()

    def create(
        self, task: Any = None, seed: int | None = None, episode_id: str | None = None
    ) -> ToolSession:
        row, seed = dict(parse_task_row(task)), convert_whole_number_to_int(seed)
        environment = get_environment(self._environment)
        arguments = reset_arguments_from_row(row, environment.name)
        if seed is not None and not arguments:
            row |= sample_task_reset_arguments(
                environment, seed=require_integer("seed", seed, 0, MAX_SEED)
            )
        elif seed is not None:
            row["seed"] = seed
        self._warn_if_context_too_small(environment, row)
        return ToolSession(row, self._base_url, self._environment, self._record)

    def _warn_if_context_too_small(self, environment: Environment, row: Mapping[str, Any]) -> None:
        """Warn once for each level whose episodes need more than `context_tokens` tokens."""
        arguments = reset_arguments_from_row(row, environment.name)
        if self._context_tokens is None or not has_task_selector(arguments):
            return
        level = environment.build_result_labels(arguments).get("level")
        if level is not None and level not in self._checked_levels:
            self._checked_levels.add(level)
            row_with_level = {**arguments, "level": level}
            warn_if_context_too_small([row_with_level], environment.name, self._context_tokens)


def parse_task_row(task: Any) -> Mapping[str, Any]:
    """Return the dataset row of a task; see `ToolSessionFactory`.

    Raises:
        InvalidValueError: the value is not a task.
    """
    task = convert_to_python_value(task)
    if task is None or task == "":
        return {}
    if isinstance(task, Mapping):
        return task
    if isinstance(task, str):
        text = task.strip()
        return (
            parse_json_object_of_column("task", text) if text.startswith("{") else {"task_id": text}
        )
    if isinstance(task, Sequence) and task and isinstance(task[-1], Mapping):
        return parse_task_row(task[-1].get("content"))
    raise InvalidValueError(
        "task", task, "a row, its JSON, a task id, a chat that ends so, or None"
    )


def build_run_limits(environment: str | None = None) -> HarnessRunLimits:
    """Return run limits that allow one turn per step of an episode with the default limit."""
    return HarnessRunLimits(max_turns=get_environment(environment).episode_limits.max_steps)


class ScriptedModelStep:
    """Scripted policy that replaces a model: reads the chat and returns the next tool call."""

    def __init__(self, policy: str, environment: str) -> None:
        self.policy, self.environment = policy, environment

    def __call__(self, messages: list[HarnessMessage], *_: Any, **__: Any) -> ModelStepResult:
        tool_results = list_message_texts_of_role(messages, "tool")
        first_user_message = "\n".join(list_message_texts_of_role(messages, "user"))
        call = get_next_scripted_call(
            self.policy, tool_results, self.environment, first_user_message
        )
        if call is None:
            return ModelStepResult(LLMResponse("Done."))
        call_id = f"call_{len(tool_results)}"
        return ModelStepResult(LLMResponse("", [ToolCall(call_id, call.name, call.arguments)]))


def build_scripted_model_step(
    policy: str = "reference", environment: str | None = None
) -> ModelStep:
    """Return a scripted policy that replaces a model in the harness."""
    resolved_environment = get_environment(environment)
    return ScriptedModelStep(
        require_name("policy", policy, resolved_environment.policies), resolved_environment.name
    )


def collect_episodes(
    output_folder: Path | str,
    rows: Sequence[Mapping[str, Any]],
    *,
    policy: str = "reference",
    base_url: str | None = None,
    environment: str | None = None,
) -> CollectResult:
    """Play an episode for each row and append the results to a folder.

    A repeated call skips the episodes that the folder already contains.

    Args:
        output_folder: folder for `results.jsonl` and `metadata.json`.
        rows: rows with the reset arguments of one episode each. For a row that selects no task, a
            task is sampled with the row's position as the seed.
        policy: scripted policy that plays.
        base_url: URL of the server to play on; None to play in this process.
        environment: name of the environment.

    Raises:
        InvalidValueError: the folder contains episodes of different rows, or of a different player,
            environment or version.
    """
    model_step = build_scripted_model_step(policy, environment)
    serializer = RolloutSerializer(output_folder)
    resolved_environment = get_environment(environment)
    rows = [
        _draw_task_if_row_names_none(resolved_environment, row, row_number)
        for row_number, row in enumerate(rows)
    ]
    metadata: dict[str, Any] = {
        "environment": resolved_environment.name,
        "player": f"scripted:{policy}",
        "versions": dict(resolved_environment.versions),
        "resets": [reset_arguments_from_row(parse_task_row(row), environment) for row in rows],
    }
    _require_and_merge_stored_metadata(serializer, metadata)
    serializer.write_metadata(metadata)
    # Create the results file, so that it exists even if no episode can be played.
    (Path(output_folder) / RESULTS_FILENAME).touch()
    runner = CollectRunner(
        session_factory=ToolSessionFactory(base_url, environment),
        harness_adapter=MCPHarnessAdapter(),
        serializer=serializer,
        tasks=rows,
        limits=build_run_limits(environment),
    )
    return runner.run(model_step=model_step, num_episodes=len(rows))


def _draw_task_if_row_names_none(
    environment: Environment, row: Any, row_number: int
) -> Mapping[str, Any]:
    """Return the row; if it selects no task, return the reset arguments of a sampled task."""
    arguments = reset_arguments_from_row(parse_task_row(row), environment.name)
    if has_task_selector(arguments):
        return parse_task_row(row)
    return sample_task_reset_arguments(environment, arguments, seed=row_number)


def _require_and_merge_stored_metadata(
    serializer: RolloutSerializer, metadata: dict[str, Any]
) -> None:
    """Check the stored metadata against `metadata`, and add further stored resets to it.

    Raises:
        InvalidValueError: a stored value differs from the value in `metadata`.
    """
    if not serializer.collected_episode_ids():
        return
    stored = json.loads(serializer.metadata_path.read_text(encoding="utf-8"))
    stored_resets = stored.pop("resets", [])
    for name, stored_value in stored.items():
        _require_equal_stored_value(serializer, name, metadata[name], stored_value)
    resets = zip(metadata["resets"], stored_resets, strict=False)
    for episode_number, (reset, stored_reset) in enumerate(resets):
        _require_equal_stored_value(
            serializer, f"reset of episode {episode_number}", reset, stored_reset
        )
    metadata["resets"] += stored_resets[len(metadata["resets"]) :]


def _require_equal_stored_value(
    serializer: RolloutSerializer, name: str, value: object, stored_value: object
) -> None:
    if value != stored_value:
        allowed = f"{stored_value!r}, as in {serializer.output_dir}; name another folder"
        raise InvalidValueError(name, value, allowed)


def iter_sft_examples(
    results_path: Path | str, min_reward: float = 1.0, environment: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield examples for supervised fine-tuning from collected episodes.

    An example contains `messages`, including tool calls, and `tools`.

    Args:
        results_path: folder written by `collect_episodes`, or its `results.jsonl`.
        min_reward: smallest reward of an episode; episodes with a smaller reward are skipped.
        environment: name of the environment.
    """
    path = Path(results_path)
    path = path / RESULTS_FILENAME if path.is_dir() else path
    tools = get_environment(environment).tools
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            episode = json.loads(line)
            if episode["reward"] >= min_reward:
                episode_tools = tools.select_for_episode(parse_task_row(episode["task"]))
                yield {"messages": episode["messages"], "tools": episode_tools.chat_tools}
