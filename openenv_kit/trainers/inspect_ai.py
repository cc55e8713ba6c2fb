"""Inspect AI: a task whose solver gives a model the environment's tools, and its scorer.

```
inspect eval metric_tracker_rl/metric_tracker -T split=validation -T count=20 --model MODEL
```
"""

from __future__ import annotations

from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver, system_message
from inspect_ai.tool import Tool, ToolDef, ToolParams

from metric_tracker_rl.rows import MethodSpec
from openenv_kit.play.split_rows import reset_arguments, split_rows
from openenv_kit.trainers.signatures import dress
from openenv_kit.trainers.tool_calls import SYSTEM_PROMPT, ToolEpisode, tool_specs

SCORE, SUBMITTED, CALLS = "score", "submitted", "tool_calls"
"""What a sample's store is told of its episode."""


@task
def metric_tracker(
    split: str = "validation",
    first: int = 0,
    count: int | None = None,
    base_url: str | None = None,
    message_limit: int = 160,
) -> Task:
    """Find and report the anomalies of product-funnel episodes.

    Args:
        split: split the episodes come from.
        first: index of the first task.
        count: how many; None for all that follow.
        base_url: server to play on; None plays in this process.
        message_limit: most messages of a sample; an episode has 64 steps, two messages each.
    """
    rows = split_rows(split, first, count)
    samples = [
        # The prompt comes from the episode itself, when the solver starts it.
        Sample(input=row["task"], id=row["task"], metadata={"reset": reset_arguments(row)})
        for row in rows
    ]
    return Task(
        dataset=MemoryDataset(samples, name=f"metric_tracker_{split}"),
        solver=[system_message(SYSTEM_PROMPT), investigate(base_url)],
        scorer=report_score(),
        message_limit=message_limit,
    )


@solver
def investigate(base_url: str | None = None) -> Solver:
    """Starts the sample's episode and lets the model call its tools until it submits.

    Args:
        base_url: server to play on; None plays in this process.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        episode = ToolEpisode(base_url)
        try:
            state.user_prompt.text = episode.reset(state.metadata["reset"])
            state.tools = [_tool(spec, episode, state) for spec in tool_specs()]
            return await generate(state, tool_calls="loop")
        finally:
            episode.close()

    return solve


@scorer(metrics=[mean(), stderr()])
def report_score() -> Scorer:
    """The environment's own score of the report, 0 where none was submitted."""

    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001
        submitted = state.store.get(SUBMITTED, False)
        return Score(
            value=state.store.get(SCORE, 0.0),
            explanation="A report was submitted." if submitted else "No report was submitted.",
            metadata={CALLS: state.store.get(CALLS, 0)},
        )

    return score


def _tool(spec: MethodSpec, episode: ToolEpisode, state: TaskState) -> Tool:
    async def call(**arguments: Any) -> str:
        answer = episode.call(spec.name, arguments)
        state.store.set(SCORE, episode.reward)
        state.store.set(SUBMITTED, episode.done)
        state.store.set(CALLS, episode.calls)
        state.completed = episode.done
        return answer

    dress(call, spec)
    return ToolDef(
        call,
        name=spec.name,
        description=spec.description,
        parameters=ToolParams.model_validate(spec.parameters),
        max_output=0,  # an answer cut short would no longer be what the environment said
    ).as_tool()
