"""Declarations of the arguments that an environment's reset accepts.

An environment declares its arguments once:

```python
reset_arguments = index_arguments_by_name(
    EPISODE_ID, SEED, SPLIT, INDEX,
    ResetArgument("wind", ArgumentRole.DATA, "string", "`calm` or `storm`"),
)
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from openenv_kit.errors import InvalidValueError


class ArgumentRole(StrEnum):
    """Aspect of an episode that a reset argument determines."""

    TASK = "task"
    """The episode or the task that is played."""
    SEED = "seed"
    """The number that the episode is generated from."""
    LEVEL = "level"
    """The difficulty of the episode."""
    DATA = "data"
    """A property of the generated episode other than its level."""
    PLAY = "play"
    """How the episode is played or rewarded. The generated data stays the same."""
    LIMIT = "limit"
    """An upper limit, such as the number of steps. A server may lower it."""


@dataclass(frozen=True)
class ResetArgument:
    """An argument of an environment's reset.

    Attributes:
        name: name of the argument.
        role: aspect of the episode that the argument determines.
        json_type: JSON Schema type of the value, such as `string`, `integer` or `array`.
        description: one line with the meaning and the allowed values.
    """

    name: str
    role: ArgumentRole
    json_type: str
    description: str


class NamedValue(NamedTuple):
    """Name and value of a reset argument."""

    name: str
    value: Any


EPISODE_ID = ResetArgument(
    "episode_id",
    ArgumentRole.TASK,
    "string",
    "id of the episode; default: the server generates one",
)
TASK_ID = ResetArgument("task_id", ArgumentRole.TASK, "string", "name of a task")
SPLIT = ResetArgument(
    "split", ArgumentRole.TASK, "string", "name of a split; `index` selects its task"
)
INDEX = ResetArgument("index", ArgumentRole.TASK, "integer", "index of a task in the split, from 0")
SEED = ResetArgument(
    "seed", ArgumentRole.SEED, "integer", "seed of the episode; default: the task's seed"
)
DIFFICULTY = ResetArgument("difficulty", ArgumentRole.LEVEL, "string", "name of a level")
PRODUCT = ResetArgument(
    "product",
    ArgumentRole.DATA,
    "object",
    "a product made from your own table: its name on this server, or its file as an object",
)
TABLE = ResetArgument(
    "table",
    ArgumentRole.DATA,
    "string",
    "name of a table that the server plays for holders of the trainer's token",
)
"""Argument of resets on a server with tables. No environment declares it."""
REWARD = ResetArgument("reward", ArgumentRole.PLAY, "string", "what the end of the episode pays")
MAX_STEPS = ResetArgument(
    "max_steps",
    ArgumentRole.LIMIT,
    "integer",
    "number of steps; one more ends the episode with score 0",
)
MAX_SUBMISSIONS = ResetArgument(
    "max_submissions",
    ArgumentRole.LIMIT,
    "integer",
    "number of submissions; the last one is scored",
)

TASK_SELECTORS = frozenset(argument.name for argument in (EPISODE_ID, SPLIT, INDEX))
"""Names of the arguments that select a task of a split, or name the episode."""
SINGLE_TASK_SELECTORS = frozenset(argument.name for argument in (TASK_ID, SEED, INDEX))
"""Names of the arguments that select a single task, even without any other argument."""
EPISODE_SELECTORS = TASK_SELECTORS | SINGLE_TASK_SELECTORS
"""Names of the arguments that select an episode in any environment."""


def index_arguments_by_name(*arguments: ResetArgument) -> dict[str, ResetArgument]:
    """Return a dictionary of reset arguments by name, in the same order."""
    return {argument.name: argument for argument in arguments}


def select_argument_names_by_role(
    arguments: Mapping[str, ResetArgument], *roles: ArgumentRole
) -> tuple[str, ...]:
    """Return the names of the arguments that have one of the given roles, in order."""
    return tuple(name for name, argument in arguments.items() if argument.role in roles)


def drop_task_seed_and_level(
    arguments: Mapping[str, ResetArgument], reset: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a reset without those that select its task, seed or level.

    Args:
        arguments: the environment's reset arguments.
        reset: arguments of one reset.
    """
    selectors = select_argument_names_by_role(
        arguments, ArgumentRole.TASK, ArgumentRole.SEED, ArgumentRole.LEVEL
    )
    return {name: value for name, value in reset.items() if name not in selectors}


def drop_task_selectors(reset: Mapping[str, Any]) -> dict[str, Any]:
    """Return reset arguments without the `TASK_SELECTORS` and without None values."""
    return {
        name: value
        for name, value in reset.items()
        if name not in TASK_SELECTORS and value is not None
    }


def parse_reset_argument(text: str) -> NamedValue:
    """Parse a reset argument of the form `NAME=VALUE`.

    The value is parsed as JSON. If it is not valid JSON, it is used as a string.

    Raises:
        InvalidValueError: the name or the `=` is missing.
    """
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise InvalidValueError("reset argument", text, "NAME=VALUE")
    try:
        return NamedValue(name, json.loads(value))
    except ValueError:
        return NamedValue(name, value)
