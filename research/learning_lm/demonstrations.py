"""Demonstrations of the reference policy, collected as `metric-tracker collect` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openenv_kit.datasets.split_rows import TaskRow, list_task_rows
from openenv_kit.trainers.openenv_harness import collect_episodes, iter_sft_examples
from research.learning_lm.prompt import build_prompt_messages
from research.learning_lm.settings import ENVIRONMENT_NAME, LEAN_RESET

Demonstration = dict[str, Any]
"""`messages` of one episode, which end with the report."""


def list_rows(
    split: str, level: str, first: int = 0, count: int | None = None, product: Path | None = None
) -> list[TaskRow]:
    """Return rows of tasks of a level, in the lean profile."""
    return list_task_rows(
        split, first, count, ENVIRONMENT_NAME, LEAN_RESET, level=level, product=product
    )


def collect_demonstrations(folder: Path, level: str, first: int, count: int) -> list[Demonstration]:
    """Return demonstrations of training tasks, one for each.

    Args:
        folder: folder for the collected episodes; episodes that it already contains are reused.
        level: level of the tasks.
        first: number of the first task.
        count: number of demonstrations.
    """
    rows = list_rows("train", level, first, count)
    collect_episodes(folder, rows, policy="reference", environment=ENVIRONMENT_NAME)
    examples = iter_sft_examples(folder, environment=ENVIRONMENT_NAME)
    return [convert_to_demonstration(example["messages"]) for example in examples]


def convert_to_demonstration(messages: list[dict[str, Any]]) -> Demonstration:
    """Return a collected conversation with the short prompt, which ends with the report.

    Arguments of tool calls become objects, which the chat template expects.
    """
    converted: list[dict[str, Any]] = [*build_prompt_messages()]
    for message in messages:
        if message["role"] == "tool":
            converted.append({"role": "tool", "content": message["content"]})
        elif message["role"] == "assistant" and message.get("tool_calls"):
            calls = [
                {"type": "function", "function": _parse_arguments(call["function"])}
                for call in message["tool_calls"]
            ]
            converted.append({"role": "assistant", "content": "", "tool_calls": calls})
    while converted[-1]["role"] == "tool":
        converted.pop()  # the reply to the report, which no decision depends on
    return {"messages": converted}


def _parse_arguments(function: dict[str, Any]) -> dict[str, Any]:
    return {"name": function["name"], "arguments": json.loads(function["arguments"])}
