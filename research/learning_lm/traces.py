"""Traces to imitate: chats of a player that knows the tools, and the policy only half.

A trace is a line of `sft.jsonl` as `metric-tracker collect` writes it, so that traces of any other
player can take their place: `messages`, with calls as a model makes them, and the `tools` offered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies.noisy_reference import submit_root_ids_with_random_decisions
from openenv_kit.datasets.split_rows import TaskRow, list_task_rows
from openenv_kit.errors import InvalidValueError
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.learning_lm.settings import Lessons

Message = dict[str, Any]
Chat = dict[str, Any]
"""`messages` and `tools`."""

RESET = {"profile": "lean", "reward": "key_f1"}
"""Further reset arguments of every episode."""


def read_traces(path: Path, count: int) -> list[Chat]:
    """The first traces of a file that `collect` wrote.

    Raises:
        InvalidValueError: it holds none.
    """
    with path.open(encoding="utf-8") as lines:
        traces = [json.loads(line) for line in islice(lines, count)]
    if not traces:
        raise InvalidValueError("traces", str(path), "a file with at least one trace")
    for trace in traces:
        called = ""
        for message in trace["messages"]:
            for call in message.get("tool_calls") or ():
                function = call["function"]
                called, function["arguments"] = function["name"], json.loads(function["arguments"])
            if message["role"] == "tool":
                message["name"] = called
    return traces


def traces_for(lessons: Lessons, level: str, seed: int) -> list[Chat]:
    """The traces of some lessons, for one seed."""
    if lessons.traces_from:
        return read_traces(Path(lessons.traces_from), lessons.traces)
    rows = rows_of("train", level)[: lessons.traces]
    return list(noisy_traces(rows, lessons.share, seed))


def rows_of(split: str, level: str) -> list[TaskRow]:
    """All tasks of a split that are of a level."""
    rows = list_task_rows(split, environment_name=ENVIRONMENT.name, extra_reset_arguments=RESET)
    return [row for row in rows if row["level"] == level]


def noisy_traces(rows: Sequence[TaskRow], share: float, seed: int) -> Iterator[Chat]:
    """A trace of each row's episode, by the reference with some decisions made at random.

    Args:
        rows: of a split, with `RESET`.
        share: of the decisions that are made at random, in [0, 1].
        seed: of the random numbers.
    """
    episode = ToolEpisode(environment=ENVIRONMENT.name)
    for row in rows:
        yield _trace(episode, row, share, f"{seed}:{row['task']}")


def _trace(episode: ToolEpisode, row: TaskRow, share: float, seed: str) -> Chat:
    """Calls that only read are made in one turn where none of them needs another's answer."""
    opening = episode.reset(row)
    messages: list[Message] = [
        {"role": "system", "content": episode.system_prompt},
        {"role": "user", "content": opening},
    ]
    observation = ENVIRONMENT.tools.observation_from_messages(opening, None)
    calls: list[Message] = []
    answers: list[Message] = []
    with (
        closing(
            submit_root_ids_with_random_decisions(
                observation, random_decision_share=share, seed=seed
            )
        ) as player,
        suppress(StopIteration),
    ):
        action = next(player)
        while True:
            name, arguments = episode.tools.tool_call_of_action(action)
            answer = episode.call_tool(name, arguments)
            if episode.is_done:
                messages += [_turn(calls), *answers]
                calls, answers = [], []
            calls.append({"type": "function", "function": {"name": name, "arguments": arguments}})
            answers.append({"role": "tool", "name": name, "content": answer})
            action = player.send(
                ENVIRONMENT.tools.observation_from_messages(opening, json.loads(answer))
            )
    messages += [_turn(calls), *answers, {"role": "assistant", "content": ""}]
    return {"messages": messages, "tools": episode.tools.chat_tools}


def _turn(calls: Sequence[Mapping[str, Any]]) -> Message:
    return {"role": "assistant", "content": "", "tool_calls": list(calls)}
