"""Inspect AI: a task with a solver, which gives a model the environment's tools, and two scorers.

```
inspect eval openenv_kit/episodes -T environment=NAME -T split=validation -T count=20 --model MODEL
```

An environment may also register the task under another name.
"""

from __future__ import annotations

from typing import Any

from openenv_kit.datasets.split_rows import list_task_rows, reset_arguments_from_row
from openenv_kit.environment import get_environment
from openenv_kit.errors import ServerError
from openenv_kit.reply import EVIDENCE_SHARE_KEY
from openenv_kit.rewards import COMMON_REWARDS
from openenv_kit.rollouts.token_limits import warn_if_context_too_small
from openenv_kit.tool import Tool as KitTool
from openenv_kit.trainers import explain_missing_package
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.tool_functions import (
    drop_empty_arguments_added_by_library,
    set_tool_signature,
)
from openenv_kit.trainers.truncation import TRUNCATED_METRIC, ends_before_turn_of_model

with explain_missing_package("inspect-ai>=0.3.285,<0.4"):
    from inspect_ai import Task, task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageSystem
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver
    from inspect_ai.tool import Tool, ToolDef, ToolParams

DEFAULT_EVALUATION_SPLIT = "validation"
"""Split of an evaluation that names no split."""
SCORE_KEY, METRICS_KEY, INFO_KEY, SERVER_ERROR_KEY = "score", "metrics", "info", "lost"
"""Keys under which a sample's store holds the results of its episode."""

LIMIT_STOP_REASONS = ("max_tokens", "model_length")
"""Reasons of Inspect for which a model's output ends at a limit."""


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
    record: str | None = None,
    context_tokens: int | None = None,
) -> Task:
    """Return a task whose samples are episodes of a split, scored by the environment.

    Args:
        environment: name of the environment.
        split: name of the split.
        first: index of the first task.
        count: number of tasks; None for all.
        base_url: URL of the server to play on.
        message_limit: largest number of messages of a sample; None for a limit that allows every
            step of an episode, with two messages per step.
        reset: additional arguments of every reset, such as `-T 'reset={"profile": "lean"}'`.
        level: level of the tasks; None for all levels.
        record: folder in which every episode is recorded; None to record nothing.
        context_tokens: largest number of tokens of a sample, usually the context length of the
            model. If it is too small for a level, a warning is logged.
    """
    resolved_environment = get_environment(environment)
    split = DEFAULT_EVALUATION_SPLIT if split is None else split
    rows = list_task_rows(split, first, count, resolved_environment.name, reset, level)
    warn_if_context_too_small(rows, resolved_environment.name, context_tokens)
    samples = [
        # The solver replaces the prompt when it starts the episode.
        Sample(
            row["task"],
            id=row["task"],
            metadata={
                "environment": resolved_environment.name,
                "reset": reset_arguments_from_row(row, resolved_environment.name),
            },
        )
        for row in rows
    ]
    return Task(
        dataset=MemoryDataset(samples, name=f"{resolved_environment.name}_{split}"),
        solver=play_episode(base_url, resolved_environment.name, record),
        scorer=[report_score(), rewards()],
        message_limit=message_limit or 32 + 2 * resolved_environment.episode_limits.max_steps,
    )


class EpisodeSolver:
    """Plays the episode of a sample; see `play_episode`."""

    def __init__(self, base_url: str | None, environment: str, record: str | None = None) -> None:
        self.base_url, self.environment, self.record = base_url, environment, record

    def __reduce__(self) -> tuple[Any, ...]:
        # Inspect adds closures, which cannot be pickled, so unpickling creates a new solver.
        return play_episode, (self.base_url, self.environment, self.record)

    async def __call__(self, state: TaskState, generate: Generate) -> TaskState:
        episode = ToolEpisode(
            self.base_url, self.environment, record=self.record, player_name=str(state.model)
        )
        try:
            state.user_prompt.text = episode.reset(state.metadata)
            state.messages.insert(0, ChatMessageSystem(content=episode.system_prompt))
            state.tools = [
                _build_score_storing_tool(tool, episode, state) for tool in episode.tools.tools
            ]
            return await generate(state, tool_calls="loop")
        except ServerError as problem:
            # The scorer raises this again, because Inspect can be set up to score failed samples.
            state.store.set(SERVER_ERROR_KEY, str(problem))
            raise
        finally:
            episode.close()


@solver
def play_episode(
    base_url: str | None = None, environment: str | None = None, record: str | None = None
) -> Solver:
    """Return a solver that starts the sample's episode and lets the model call tools until its end.

    A sample without reset arguments in its metadata starts a different task of the train split
    each time. `record` names a folder in which every episode is recorded.
    """
    return EpisodeSolver(base_url, get_environment(environment).name, record)


class ReportScorer:
    """Returns the environment's score; see `report_score`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return report_score, ()

    async def __call__(self, state: TaskState, target: Target) -> Score:
        if server_error := state.store.get(SERVER_ERROR_KEY):
            raise ServerError(server_error)
        metrics = {"tool_calls": 0, "submitted": False} | state.store.get(METRICS_KEY, {})
        return Score(
            value=state.store.get(SCORE_KEY, 0.0),
            explanation=f"{'A' if metrics['submitted'] else 'No'} report was submitted.",
            metadata={**metrics, **state.store.get(INFO_KEY, {})},
        )


@scorer(metrics=[mean(), stderr()])
def report_score() -> Scorer:
    """Return a scorer for the environment's score, which is 0 if nothing was submitted.

    If the connection to the server was lost, there is no score and the scorer raises a ServerError.
    """
    return ReportScorer()


class RewardsScorer:
    """Returns the reward under each reward mode; see `rewards`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return rewards, ()

    async def __call__(self, state: TaskState, target: Target) -> Score:
        metrics = state.store.get(METRICS_KEY, {})
        names = (*(reward.value for reward in COMMON_REWARDS), EVIDENCE_SHARE_KEY)
        is_truncated = not metrics.get("submitted") and (
            state.output.stop_reason in LIMIT_STOP_REASONS
            or ends_before_turn_of_model([message.model_dump() for message in state.messages])
        )
        values = {name: metrics.get(name, 0.0) for name in names}
        return Score(value={**values, TRUNCATED_METRIC: float(is_truncated)})


@scorer(metrics={"*": [mean(), stderr()]})
def rewards() -> Scorer:
    """Return a scorer for the reward under each reward mode, the evidence share and `truncated`.

    Rewards are 0 if no report was graded. `truncated` is 1 if a limit ended the sample before its
    episode was over, else 0.
    """
    return RewardsScorer()


def _build_score_storing_tool(tool: KitTool, episode: ToolEpisode, state: TaskState) -> Tool:
    """Build an Inspect tool that also stores the score and the metrics for the scorers."""

    async def call_and_store_score(**arguments: Any) -> str:
        model_text = state.messages[-1].text if state.messages else ""
        result = episode.call_tool(
            tool.name, drop_empty_arguments_added_by_library(tool, arguments), model_text
        )
        state.store.set(SCORE_KEY, episode.reward)
        state.store.set(METRICS_KEY, episode.metrics)
        state.store.set(INFO_KEY, dict(episode.info))
        state.completed = episode.is_done
        return result

    set_tool_signature(call_and_store_score, tool)
    parameters = ToolParams.model_validate(tool.parameters)
    for name, field in parameters.properties.items():
        field.description = field.description or name  # Inspect requires a description
    return ToolDef(
        call_and_store_score,
        name=tool.name,
        description=tool.description,
        parameters=parameters,
        max_output=0,  # do not shorten the environment's results
    ).as_tool()
