"""verifiers: a taskset whose tasks are played with the environment's tools.

```
vf-eval metric-tracker-verifiers --env.taskset.split validation -n 20 -m MODEL
```

Each rollout gets its own tool server, which holds the episode; the score returns in the
rollout's state and becomes the task's reward.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from pydantic import Field

from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, list_task_rows, reset_arguments_from_row
from openenv_kit.datasets.task_sampling import add_default_split
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.tool import Catalogue, Tool
from openenv_kit.trainers import require_package
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.tool_functions import drop_default_arguments, set_tool_signature

with require_package("verifiers>=0.4,<0.5"):
    import verifiers.v1 as vf

__all__ = ["EpisodeTaskset"]


class EpisodeState(vf.State):
    """What the tool server reports to the rollout: never more than the player sees."""

    score: float = 0.0
    submitted: bool = False
    metrics: dict[str, float] = Field(default_factory=dict)
    info: dict[str, Any] = Field(default_factory=dict)
    """What the end told beside the score, such as components of the reward."""
    lost: str = ""
    """Why there was no episode, or its server was lost; empty where there was nothing wrong."""


class EpisodeData(vf.TaskData):
    """One task: the arguments of its reset; without them, a task of the split is drawn."""

    reset: dict[str, Any] = Field(default_factory=dict)


class EpisodeToolsetConfig(vf.ToolsetConfig):
    """What is played, and where: without a `base_url` in the tool server's own process.

    `split` and `reset` decide which tools are offered; the taskset sets them to its own.
    """

    environment: str | None = None
    split: str | None = None
    reset: dict[str, Any] = Field(default_factory=dict)
    base_url: str | None = None


class EpisodeToolset(vf.Toolset[EpisodeToolsetConfig, EpisodeState]):
    """The tools of one episode."""

    TOOL_PREFIX = None

    async def setup_task(self, task: Any) -> None:
        """Start the task's episode."""
        defaults = {"split": self.config.split, **self.config.reset}
        self._episode = ToolEpisode(self.config.base_url, self.config.environment, defaults)
        # Raised here, it would end this process, and verifiers would wait minutes for its port.
        self._failure_message = ""
        try:
            self._episode.reset(getattr(task, "reset", None), self._offered_tools.tool_names)
        except (ConfigurationError, ServerError) as problem:
            self._failure_message = str(problem)

    def register(self, mcp: Any) -> None:
        """Offer every tool."""
        turn = asyncio.Lock()
        for tool in self._offered_tools.tools:
            function = _wrap_with_lock(turn, self._with_state(self._build_tool_function(tool)))
            mcp.add_tool(function, name=tool.name, description=tool.description)

    @property
    def _offered_tools(self) -> Catalogue:
        found = get_environment(self.config.environment)
        chosen = {"split": self.config.split, **self.config.reset}
        return found.tools.for_episode(add_default_split(found, chosen))

    def _build_tool_function(self, tool: Tool) -> Callable[..., str]:
        def call(**arguments: Any) -> str:
            answer = self._call_tool(tool.name, drop_default_arguments(tool, arguments))
            self.state.lost = self._failure_message
            if self._failure_message:  # there is no score
                return answer
            self.state.score = self._episode.reward
            self.state.submitted = self._episode.is_done
            self.state.metrics = self._episode.metrics
            self.state.info = dict(self._episode.info)
            return answer

        set_tool_signature(call, tool)
        return call

    def _call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        if not self._failure_message:
            try:
                return self._episode.call_tool(name, arguments)
            except ServerError as problem:
                self._failure_message = str(problem)
        return compact_json({"status": ReplyStatus.ERROR, "message": self._failure_message})


def _wrap_with_lock(lock: asyncio.Lock, call: Callable[..., Awaitable[str]]) -> Callable[..., Any]:
    """A call that waits for its turn.

    Each call writes the rollout's whole state when it ends. Of two at once, the one that began
    before the report could write last, and overwrite the report's score with 0.
    """

    @functools.wraps(call)
    async def in_turn(**arguments: Any) -> str:
        async with lock:
            return await call(**arguments)

    return in_turn


class EpisodeTaskConfig(vf.TaskConfig):
    """Knobs under `--env.taskset.task.*`."""

    tools: EpisodeToolsetConfig = EpisodeToolsetConfig()


class EpisodeTask(vf.Task[EpisodeData, EpisodeState, EpisodeTaskConfig]):
    """One episode and its score."""

    @classmethod
    def toolsets(cls, config: EpisodeTaskConfig) -> list[vf.Toolset]:
        return [EpisodeToolset(config.tools)]

    @vf.stop
    async def report_submitted(self, trace: vf.Trace) -> bool:
        """The report ends the rollout, and so does the loss of the server."""
        return bool(trace.state.submitted or trace.state.lost)

    @vf.reward(weight=1.0)
    async def report_score(self, trace: vf.Trace) -> float:
        """The environment's own score, 0 if nothing was submitted.

        Raises:
            ToolsetError: there was no episode, or its server was lost: nothing was measured.
        """
        if trace.state.lost:
            raise vf.ToolsetError(trace.state.lost)
        return float(trace.state.score)

    @vf.metric
    async def components(self, trace: vf.Trace) -> dict[str, float]:
        """See `ToolEpisode.metrics`; nothing without a tool call."""
        return dict(trace.state.metrics)


class EpisodeTasksetConfig(vf.TasksetConfig):
    """Knobs under `--env.taskset.*`; `reset` holds further arguments of every reset."""

    split: str | None = DEFAULT_SPLIT
    level: str | None = None
    first: int | None = 0
    count: int | None = None
    reset: dict[str, Any] | None = None
    task: EpisodeTaskConfig = EpisodeTaskConfig()


class EpisodeTaskset(vf.Taskset[EpisodeTask, EpisodeTasksetConfig]):
    """A split's tasks."""

    def load(self) -> Iterator[EpisodeTask]:
        # By its name: where the tools are served, ENVIRONMENT may name another.
        environment = get_environment(self.config.task.tools.environment).name
        episode = ToolEpisode(environment=environment)
        split, reset = self.config.split or DEFAULT_SPLIT, self.config.reset or {}
        first, count, level = self.config.first, self.config.count, self.config.level
        rows = list_task_rows(split, first, count, environment, reset, level)
        played = {"environment": environment, "split": split, "reset": reset}
        tools = self.config.task.tools.model_copy(update=played)
        config = self.config.task.model_copy(update={"tools": tools})
        for row in rows:
            data = EpisodeData(
                name=row["task"],
                prompt=episode.reset(row),
                system_prompt=episode.system_prompt,
                reset=reset_arguments_from_row(row, environment),
            )
            yield EpisodeTask(data, config)


if __name__ == "__main__":
    EpisodeToolset.run()
