"""A taskset for verifiers: episodes that are played with the environment's tools.

```
vf-eval metric-tracker-verifiers --env.taskset.split validation -n 20 -m MODEL
```

Each rollout has its own tool server, which plays the episode. The server writes the score into the
rollout's state, from which the task reads its reward.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from openenv_kit.catalogue import Catalogue
from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, list_task_rows, reset_arguments_from_row
from openenv_kit.datasets.task_sampling import add_default_split
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.rollouts.token_limits import warn_if_context_too_small
from openenv_kit.tool import Tool
from openenv_kit.trainers import explain_missing_package
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.tool_functions import (
    drop_empty_arguments_added_by_library,
    set_tool_signature,
)
from openenv_kit.trainers.truncation import TRUNCATED_METRIC

with explain_missing_package("verifiers>=0.4,<0.5"):
    import verifiers.v1 as vf

__all__ = ["EpisodeTaskset"]


class EpisodeState(vf.State):
    """State of a rollout, written by its tool server. It contains no data hidden from players."""

    score: float = 0.0
    submitted: bool = False
    metrics: dict[str, float] = Field(default_factory=dict)
    info: dict[str, Any] = Field(default_factory=dict)
    """Additional values of the last reply, such as score components."""
    lost: str = ""
    """Reason why the episode could not start or its connection was lost; otherwise empty."""


class EpisodeData(vf.TaskData):
    """A task that is determined by its reset arguments. Without them, a task is sampled."""

    reset: dict[str, Any] = Field(default_factory=dict)


class EpisodeToolsetConfig(vf.ToolsetConfig):
    """Settings of the tool server, under `--env.taskset.task.tools.*`.

    Without a `base_url`, episodes are played in the tool server's process. `split` and `reset`
    determine the tools; the taskset sets them to its own values. `record` names a folder in which
    every episode is recorded.
    """

    environment: str | None = None
    split: str | None = None
    reset: dict[str, Any] = Field(default_factory=dict)
    base_url: str | None = None
    record: str | None = None


class EpisodeToolset(vf.Toolset[EpisodeToolsetConfig, EpisodeState]):
    """The tools of one episode."""

    TOOL_PREFIX = None

    async def setup_task(self, task: EpisodeData) -> None:
        """Start the task's episode."""
        defaults = {"split": self.config.split, **self.config.reset}
        self._episode = ToolEpisode(
            self.config.base_url,
            self.config.environment,
            defaults,
            record=self.config.record,
            is_bound_to_product=True,
        )
        # An exception would end this process, and verifiers would wait for its port for minutes.
        self._failure_message = ""
        try:
            self._episode.reset(getattr(task, "reset", None), self._offered_tools.tool_names)
        except (ConfigurationError, ServerError) as problem:
            self._failure_message = str(problem)

    def register(self, mcp: Any) -> None:
        """Add every tool to the MCP server."""
        lock = asyncio.Lock()
        for tool in self._offered_tools.tools:
            function = _wrap_function_with_lock(
                lock, self._with_state(self._build_state_writing_function(tool))
            )
            mcp.add_tool(function, name=tool.name, description=tool.description)

    @property
    def _offered_tools(self) -> Catalogue:
        environment = get_environment(self.config.environment)
        reset_arguments = {"split": self.config.split, **self.config.reset}
        return environment.tools.select_for_episode(add_default_split(environment, reset_arguments))

    def _build_state_writing_function(self, tool: Tool) -> Callable[..., str]:
        """Build a function that calls a tool and writes score and metrics into the state."""

        def call_and_write_state(**arguments: Any) -> str:
            result = self._call_tool_or_report_failure(
                tool.name, drop_empty_arguments_added_by_library(tool, arguments)
            )
            self.state.lost = self._failure_message
            if self._failure_message:  # there is no score
                return result
            self.state.score = self._episode.reward
            self.state.submitted = self._episode.is_done
            self.state.metrics = self._episode.metrics
            self.state.info = dict(self._episode.info)
            return result

        set_tool_signature(call_and_write_state, tool)
        return call_and_write_state

    def _call_tool_or_report_failure(self, name: str, arguments: dict[str, Any]) -> str:
        if not self._failure_message:
            try:
                return self._episode.call_tool(name, arguments)
            except ServerError as problem:
                self._failure_message = str(problem)
        return compact_json({"status": ReplyStatus.ERROR, "message": self._failure_message})


def _wrap_function_with_lock(
    lock: asyncio.Lock, call: Callable[..., Awaitable[str]]
) -> Callable[..., Any]:
    """Wrap a function so that calls of functions with the same lock are executed one at a time.

    Each call writes the whole state of the rollout when it ends. Without a lock, a call that began
    before the report could end after it and overwrite the report's score with 0.
    """

    @functools.wraps(call)
    async def call_with_lock(**arguments: Any) -> str:
        async with lock:
            return await call(**arguments)

    return call_with_lock


class EpisodeTaskConfig(vf.TaskConfig):
    """Settings under `--env.taskset.task.*`."""

    tools: EpisodeToolsetConfig = EpisodeToolsetConfig()


class EpisodeTask(vf.Task[EpisodeData, EpisodeState, EpisodeTaskConfig]):
    """One episode and its score."""

    @classmethod
    def toolsets(cls, config: EpisodeTaskConfig) -> list[vf.Toolset]:
        return [EpisodeToolset(config.tools)]

    @vf.stop
    async def report_submitted(self, trace: vf.Trace) -> bool:
        """Return whether the episode has ended or the connection to its server was lost."""
        return bool(trace.state.submitted or trace.state.lost)

    @vf.reward(weight=1.0)
    async def report_score(self, trace: vf.Trace) -> float:
        """Return the environment's score, which is 0 if nothing was submitted.

        Raises:
            ToolsetError: there is no score, because the episode could not start or the connection
                to its server was lost.
        """
        if trace.state.lost:
            raise vf.ToolsetError(trace.state.lost)
        return float(trace.state.score)

    @vf.metric
    async def components(self, trace: vf.Trace) -> dict[str, float]:
        """Return `truncated`, and `ToolEpisode.metrics` of the episode if a tool was called."""
        is_truncated = trace.is_truncated and not trace.state.submitted
        return {**trace.state.metrics, TRUNCATED_METRIC: float(is_truncated)}


class EpisodeTasksetConfig(vf.TasksetConfig):
    """Settings under `--env.taskset.*`. `reset` contains additional arguments of every reset.

    If `context_tokens`, the largest number of tokens of a rollout, is too small for a level, a
    warning is logged.
    """

    split: str | None = DEFAULT_SPLIT
    level: str | None = None
    first: int | None = 0
    count: int | None = None
    reset: dict[str, Any] | None = None
    context_tokens: int | None = None
    task: EpisodeTaskConfig = EpisodeTaskConfig()


class EpisodeTaskset(vf.Taskset[EpisodeTask, EpisodeTasksetConfig]):
    """The tasks of a split."""

    def load(self) -> Iterator[EpisodeTask]:
        """Yield the tasks that the settings select."""
        # Resolved here, because the variable ENVIRONMENT may differ in the tool server's process.
        environment = get_environment(self.config.task.tools.environment).name
        episode = ToolEpisode(environment=environment)
        split, reset = self.config.split or DEFAULT_SPLIT, self.config.reset or {}
        rows = list_task_rows(
            split, self.config.first, self.config.count, environment, reset, self.config.level
        )
        warn_if_context_too_small(rows, environment, self.config.context_tokens)
        record = self.config.task.tools.record
        tools_config = self.config.task.tools.model_copy(
            update={
                "environment": environment,
                "split": split,
                "reset": reset,
                # The tool server runs in another folder.
                "record": str(Path(record).absolute()) if record else None,
            }
        )
        task_config = self.config.task.model_copy(update={"tools": tools_config})
        for row in rows:
            data = EpisodeData(
                name=row["task"],
                prompt=episode.reset(row),
                system_prompt=episode.system_prompt,
                reset=reset_arguments_from_row(row, environment),
            )
            yield EpisodeTask(data, task_config)


if __name__ == "__main__":
    EpisodeToolset.run()
