"""Inspect AI: a task whose solver gives a model the environment's tools, and its scorer.

```
inspect eval openenv_kit/episodes -T environment=NAME -T split=validation -T count=20 --model MODEL
```

Environments may offer the task under a name of their own.
"""

from __future__ import annotations

from typing import Any

from openenv_kit.datasets.split_rows import list_task_rows, reset_arguments_from_row
from openenv_kit.environment import get_environment
from openenv_kit.errors import ServerError
from openenv_kit.reply import EVIDENCE_SHARE_KEY
from openenv_kit.rewards import COMMON_REWARDS
from openenv_kit.tool import Tool as KitTool
from openenv_kit.trainers import require_package
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.tool_functions import drop_default_arguments, set_tool_signature

with require_package("inspect-ai>=0.3.285,<0.4"):
    from inspect_ai import Task, task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageSystem
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver
    from inspect_ai.tool import Tool, ToolDef, ToolParams

DEFAULT_EVALUATION_SPLIT = "validation"
"""Split of an evaluation that names none."""
SCORE_KEY, METRICS_KEY, INFO_KEY, SERVER_ERROR_KEY = "score", "metrics", "info", "lost"
"""What a sample's store holds about its episode."""


@task
def episodes(
    environment: str | None = None,
    split: str | None = DEFAULT_EVALUATION_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    base_url: str | None = None,
    message_limit: int | None = None,
    reset: dict[str, Any] | None = None,
    level: str | None = None,
) -> Task:
    """Episodes of a split, each scored by the environment.

    `message_limit` is the most messages of a sample; None for enough to use every step of an
    episode, at two messages a step. `reset` holds further arguments of every reset, such as
    `-T 'reset={"profile": "lean"}'`; `level` keeps to tasks of one level.
    """
    found = get_environment(environment)
    split = DEFAULT_EVALUATION_SPLIT if split is None else split
    samples = [
        # The prompt comes from the episode itself, when the solver starts it.
        Sample(
            row["task"],
            id=row["task"],
            metadata={
                "environment": found.name,
                "reset": reset_arguments_from_row(row, found.name),
            },
        )
        for row in list_task_rows(split, first, count, found.name, reset, level)
    ]
    return Task(
        dataset=MemoryDataset(samples, name=f"{found.name}_{split}"),
        solver=play_episode(base_url, found.name),
        scorer=[report_score(), rewards()],
        message_limit=message_limit or 32 + 2 * found.episode_limits.max_steps,
    )


class EpisodeSolver:
    """Plays the sample's episode; see `play_episode`."""

    def __init__(self, base_url: str | None, environment: str) -> None:
        self.base_url, self.environment = base_url, environment

    def __reduce__(self) -> tuple[Any, ...]:
        # Inspect adds closures of its own to a solver or scorer: pickle makes it anew.
        return play_episode, (self.base_url, self.environment)

    async def __call__(self, state: TaskState, generate: Generate) -> TaskState:
        episode = ToolEpisode(self.base_url, self.environment)
        try:
            state.user_prompt.text = episode.reset(state.metadata)
            state.messages.insert(0, ChatMessageSystem(content=episode.system_prompt))
            state.tools = [
                _build_inspect_tool(each, episode, state) for each in episode.tools.tools
            ]
            return await generate(state, tool_calls="loop")
        except ServerError as problem:
            # Inspect may be told to score samples that failed.
            state.store.set(SERVER_ERROR_KEY, str(problem))
            raise
        finally:
            episode.close()


@solver
def play_episode(base_url: str | None = None, environment: str | None = None) -> Solver:
    """Starts the sample's episode and lets the model call its tools until it submits.

    A sample without a reset in its metadata starts another task of the train split each time.
    """
    return EpisodeSolver(base_url, get_environment(environment).name)


class ReportScorer:
    """Reads the environment's own score; see `report_score`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return report_score, ()

    async def __call__(self, state: TaskState, target: Target) -> Score:
        if lost := state.store.get(SERVER_ERROR_KEY):
            raise ServerError(lost)
        earned = {"tool_calls": 0, "submitted": False} | state.store.get(METRICS_KEY, {})
        return Score(
            value=state.store.get(SCORE_KEY, 0.0),
            explanation=f"{'A' if earned['submitted'] else 'No'} report was submitted.",
            metadata={**earned, **state.store.get(INFO_KEY, {})},
        )


@scorer(metrics=[mean(), stderr()])
def report_score() -> Scorer:
    """The environment's own score, 0 if nothing was submitted.

    Raises:
        ServerError: the server was lost, so that nothing was measured.
    """
    return ReportScorer()


class RewardsScorer:
    """Reads what each reward would have paid; see `rewards`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return rewards, ()

    async def __call__(self, state: TaskState, target: Target) -> Score:
        earned = state.store.get(METRICS_KEY, {})
        names = (*(reward.value for reward in COMMON_REWARDS), EVIDENCE_SHARE_KEY)
        return Score(value={name: earned.get(name, 0.0) for name in names})


@scorer(metrics={"*": [mean(), stderr()]})
def rewards() -> Scorer:
    """What each reward would have paid, whichever was, and `grounded`; 0 without a report."""
    return RewardsScorer()


def _build_inspect_tool(tool: KitTool, episode: ToolEpisode, state: TaskState) -> Tool:
    async def call(**arguments: Any) -> str:
        answer = episode.call_tool(tool.name, drop_default_arguments(tool, arguments))
        state.store.set(SCORE_KEY, episode.reward)
        state.store.set(METRICS_KEY, episode.metrics)
        state.store.set(INFO_KEY, dict(episode.info))
        state.completed = episode.is_done
        return answer

    set_tool_signature(call, tool)
    parameters = ToolParams.model_validate(tool.parameters)
    for name, field in parameters.properties.items():
        field.description = field.description or name  # Inspect refuses a tool without
    return ToolDef(
        call,
        name=tool.name,
        description=tool.description,
        parameters=parameters,
        max_output=0,  # a shortened answer would not be the environment's words
    ).as_tool()
