"""Reset arguments: what an environment's reset takes, by name and by role.

An environment declares its arguments once:

```python
reset_arguments = reset_arguments_by_name(
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
    """What a reset argument decides."""

    TASK = "task"
    """Which episode or which task of a split is played."""
    SEED = "seed"
    """The number that the episode is generated from."""
    LEVEL = "level"
    """How difficult the episode is."""
    DATA = "data"
    """A property of the generated episode other than its level."""
    PLAY = "play"
    """How the episode is played or rewarded. Its data stays the same."""
    LIMIT = "limit"
    """The largest number of something. A server may lower it."""


@dataclass(frozen=True)
class ResetArgument:
    """An argument of an environment's reset.

    Attributes:
        name: name in a reset.
        role: what it decides.
        json_type: type of its value, as in JSON Schema: string, integer, array, ….
        description: what it is and which values are allowed, in one line.
    """

    name: str
    role: ArgumentRole
    json_type: str
    description: str


class NamedValue(NamedTuple):
    """A reset argument with its value."""

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
"""Names of the arguments each of which selects one task."""
EPISODE_SELECTORS = TASK_SELECTORS | SINGLE_TASK_SELECTORS
"""Names of the arguments that select an episode in any environment."""


def reset_arguments_by_name(*arguments: ResetArgument) -> dict[str, ResetArgument]:
    """Return reset arguments by their names, in the same order."""
    return {argument.name: argument for argument in arguments}


def names_with_roles(
    arguments: Mapping[str, ResetArgument], *roles: ArgumentRole
) -> tuple[str, ...]:
    """Return the names of an environment's arguments that have one of the roles, in order."""
    return tuple(name for name, argument in arguments.items() if argument.role in roles)


def get_mode_arguments(
    arguments: Mapping[str, ResetArgument], reset: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the part of a reset that selects neither a task nor a seed nor a level.

    Args:
        arguments: the environment's reset arguments.
        reset: arguments of one reset.
    """
    selectors = names_with_roles(
        arguments, ArgumentRole.TASK, ArgumentRole.SEED, ArgumentRole.LEVEL
    )
    return {name: value for name, value in reset.items() if name not in selectors}


def get_extra_reset_arguments(reset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a reset beside those that select a task of a split.

    An argument whose value is None is left out.
    """
    return {
        name: value
        for name, value in reset.items()
        if name not in TASK_SELECTORS and value is not None
    }


def parse_reset_argument(text: str) -> NamedValue:
    """Return the reset argument written as `NAME=VALUE`.

    The value is read as JSON. If it is not JSON, it is a string.

    Raises:
        InvalidValueError: the text has no name or no `=`.
    """
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise InvalidValueError("reset argument", text, "NAME=VALUE")
    try:
        return NamedValue(name, json.loads(value))
    except ValueError:
        return NamedValue(name, value)
