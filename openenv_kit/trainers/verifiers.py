"""verifiers: a taskset whose tasks are played with the environment's tools.

```
vf-eval metric-tracker --env.taskset.split validation -n 20 -m MODEL
```

Each rollout gets a tool server of its own, which holds the episode; the score travels back in
the rollout's state, and is the task's reward.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import verifiers.v1 as vf

from metric_tracker_rl.rows import MethodSpec
from openenv_kit.errors import ServerError
from openenv_kit.play.split_rows import reset_arguments, split_rows
from openenv_kit.trainers.signatures import dress
from openenv_kit.trainers.tool_calls import SYSTEM_PROMPT, ToolEpisode, tool_specs

__all__ = ["MetricTrackerTaskset"]


class MetricTrackerState(vf.State):
    """What the tool server tells the rollout: never more than the player is told."""

    score: float = 0.0
    submitted: bool = False
    tool_calls: int = 0
    lost: str = ""
    """Why the environment server could not be played on; empty where it could."""


class MetricTrackerData(vf.TaskData):
    """One task: the arguments of its reset."""

    reset: dict[str, Any]


class MetricTrackerToolsetConfig(vf.ToolsetConfig):
    """Where tools run.

    Attributes:
        base_url: server to play on; None plays in the tool server's own process.
    """

    base_url: str | None = None


class MetricTrackerToolset(vf.Toolset[MetricTrackerToolsetConfig, MetricTrackerState]):
    """The tools of one episode."""

    TOOL_PREFIX = None

    async def setup_task(self, task: Any) -> None:
        """Start the task's episode."""
        self._episode = ToolEpisode(self.config.base_url)
        # Raised here, it would end this process, and verifiers waits minutes for its port.
        self._lost = ""
        try:
            self._episode.reset(task.reset)
        except ServerError as problem:
            self._lost = str(problem)

    def register(self, mcp: Any) -> None:
        """Offer every tool of the registry and the two ways to submit."""
        turn = asyncio.Lock()
        for spec in tool_specs():
            function = _in_turn(turn, self._with_state(self._tool(spec)))
            mcp.add_tool(function, name=spec.name, description=spec.description)

    def _tool(self, spec: MethodSpec) -> Callable[..., str]:
        def call(**arguments: Any) -> str:
            answer = self._call(spec.name, arguments)
            self.state.lost = self._lost
            self.state.score = self._episode.reward
            self.state.submitted = self._episode.done
            self.state.tool_calls = self._episode.calls
            return answer

        dress(call, spec)
        return call

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        if not self._lost:
            try:
                return self._episode.call(name, arguments)
            except ServerError as problem:
                self._lost = str(problem)
        return json.dumps({"status": "error", "message": self._lost})


def _in_turn(turn: asyncio.Lock, call: Callable[..., Awaitable[str]]) -> Callable[..., Any]:
    """A call that waits for its turn.

    Each call writes the rollout's whole state back when it ends. Of two at once, the one that
    began before the report could write last, and with it a score of 0 over the report's.
    """

    @functools.wraps(call)
    async def in_turn(**arguments: Any) -> str:
        async with turn:
            return await call(**arguments)

    return in_turn


class MetricTrackerTaskConfig(vf.TaskConfig):
    """Knobs under `--env.taskset.task.*`."""

    tools: MetricTrackerToolsetConfig = MetricTrackerToolsetConfig()


class MetricTrackerTask(vf.Task[MetricTrackerData, MetricTrackerState, MetricTrackerTaskConfig]):
    """One episode and its score."""

    @classmethod
    def toolsets(cls, config: MetricTrackerTaskConfig) -> list[vf.Toolset]:
        return [MetricTrackerToolset(config.tools)]

    @vf.stop
    async def report_submitted(self, trace: vf.Trace) -> bool:
        """The report ends the episode, and so does the loss of its server."""
        return bool(trace.state.submitted or trace.state.lost)

    @vf.reward(weight=1.0)
    async def report_score(self, trace: vf.Trace) -> float:
        """The environment's own score of the report, 0 where none was submitted.

        Raises:
            ToolsetError: the environment server was lost, so that nothing was measured.
        """
        if trace.state.lost:
            raise vf.ToolsetError(trace.state.lost)
        return float(trace.state.score)

    @vf.metric
    async def tool_calls(self, trace: vf.Trace) -> float:
        """Tool calls made."""
        return float(trace.state.tool_calls)


class MetricTrackerConfig(vf.TasksetConfig):
    """Knobs under `--env.taskset.*`.

    Attributes:
        split: split the tasks come from.
        first: index of the first task.
        count: how many tasks; None for all that follow.
    """

    split: str = "train"
    first: int = 0
    count: int | None = None
    task: MetricTrackerTaskConfig = MetricTrackerTaskConfig()


class MetricTrackerTaskset(vf.Taskset[MetricTrackerTask, MetricTrackerConfig]):
    """A split's tasks."""

    def load(self) -> Iterator[MetricTrackerTask]:
        for row in split_rows(self.config.split, self.config.first, self.config.count):
            data = MetricTrackerData(
                name=row["task"],
                prompt=ToolEpisode().reset(row),
                system_prompt=SYSTEM_PROMPT,
                reset=reset_arguments(row),
            )
            yield MetricTrackerTask(data, self.config.task)


if __name__ == "__main__":
    MetricTrackerToolset.run()
