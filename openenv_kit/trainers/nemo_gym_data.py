"""Data rows for NeMo Gym. This module does not need NeMo Gym."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openenv_kit.catalogue import Catalogue
from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, list_task_rows, reset_arguments_from_row
from openenv_kit.rollouts.token_limits import warn_if_context_too_small
from openenv_kit.trainers.tool_episode import ToolEpisode


def iter_data_rows(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
    context_tokens: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield data rows for NeMo Gym, with the first messages, the tools and the reset arguments.

    `list_task_rows` describes the parameters. `openenv_kit.datasets.split_rows.write_rows` writes
    the rows in NeMo Gym's format. If `context_tokens`, the largest number of tokens of a rollout,
    is too small for a level, a warning is logged.
    """
    episode = ToolEpisode(environment=environment)
    rows = list_task_rows(split, first, count, environment, reset, level)
    warn_if_context_too_small(rows, episode.environment.name, context_tokens)
    for row in rows:
        first_user_message = episode.reset(row)
        messages = [
            {"role": "developer", "content": episode.system_prompt},
            {"role": "user", "content": first_user_message},
        ]
        yield {
            "responses_create_params": {
                "input": messages,
                "tools": format_tools_for_responses_api(episode.tools),
            },
            "environment": row["environment"],
            "task": row["task"],
            "reset": reset_arguments_from_row(row, environment),
        }


def format_tools_for_responses_api(tools: Catalogue) -> list[dict[str, Any]]:
    """Return tools in the format of OpenAI's Responses API."""
    # Strict schemas do not allow optional arguments.
    return [{"type": "function", **tool["function"], "strict": False} for tool in tools.chat_tools]
