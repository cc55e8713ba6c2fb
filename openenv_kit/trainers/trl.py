"""TRL: environment classes for `GRPOTrainer(environment_factory=…)`, and their datasets.

```python
GRPOTrainer(train_dataset=build_dataset("train"), environment_factory=environment_class(), …)
```

The classes do not need TRL; only `build_dataset` needs the datasets package.
"""

from __future__ import annotations

import copyreg
import json
import os
from abc import ABCMeta
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from openenv_kit.datasets.row_values import parse_json_object, to_python_value
from openenv_kit.datasets.split_rows import (
    DEFAULT_SPLIT,
    TaskRow,
    list_task_rows,
    reset_arguments_from_row,
)
from openenv_kit.datasets.task_sampling import add_default_split, has_task_selector
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError, require_name
from openenv_kit.reply import EndInfo
from openenv_kit.tool import Tool
from openenv_kit.trainers import require_package
from openenv_kit.trainers.tool_episode import ToolEpisode, message_texts
from openenv_kit.trainers.tool_functions import set_tool_signature

if TYPE_CHECKING:
    import datasets

BASE_URL_VARIABLE = "OPENENV_KIT_BASE_URL"
"""Names a server to play on; if unset, episodes are played in the trainer's process."""


class EnvironmentType(ABCMeta):  # as most other metaclasses, so that a subclass may mix them
    """Type of the classes of `environment_class`, which are pickled by what they were made from."""


class ToolEnvironment(metaclass=EnvironmentType):
    """One episode after another, as TRL plays them; see `environment_class`."""

    environment: str
    """Name of what is played."""
    stage: int | None = None
    """Stage of the curriculum that the running episode is of; None without a curriculum."""
    _made_from: tuple[Callable[..., type], tuple[Any, ...]]
    """Function that makes the class again in another process, and its arguments."""
    _offered: Sequence[str]
    """Names of the tools, which are the class's methods."""
    _defaults: Mapping[str, Any]
    """Reset arguments of an episode whose row names no task."""

    def __init__(self, base_url: str | None = None) -> None:
        """TRL calls this without arguments: OPENENV_KIT_BASE_URL may name the server."""
        base_url = base_url or os.environ.get(BASE_URL_VARIABLE)
        self._episode = ToolEpisode(base_url, self.environment, self._defaults)

    def reset(self, **row: Any) -> str:
        """Start the episode of a dataset row; TRL appends the answer to the row's prompt.

        A row that names no task, as TRL passes without a dataset, starts another task of the
        class's split each time. The answer begins with the rules where the prompt lacks them.

        Raises:
            InvalidValueError: the row asks for an episode that does not exist, or for one of
                another environment or with other tools than the class has.
        """
        arguments = reset_arguments_from_row(row, self.environment)
        return self._start_episode(row, arguments, has_task=has_task_selector(arguments))

    def _start_episode(
        self, row: Mapping[str, Any], arguments: Mapping[str, Any], *, has_task: bool
    ) -> str:
        """Start the episode of a row with these reset arguments; see `reset`.

        `has_task` says that the row is of a dataset, whose prompt has the rules unless it is empty.
        """
        introduction = self._episode.reset(
            {"environment": row.get("environment"), "reset": arguments}, self._offered
        )
        said = _join_prompt_text(row.get("prompt"))
        brief = self._episode.system_prompt
        has_rules = brief in said or (has_task and ("prompt" not in row or said.strip()))
        return introduction if has_rules else f"{brief}\n\n{introduction}"

    @property
    def info(self) -> Mapping[str, Any]:
        """What the episode's end told beside the score, such as components of the reward."""
        return self._episode.info

    def get_reward(self) -> float:
        """The score in [0, 1]; 0 if nothing was submitted.

        Raises:
            ServerError: the server was lost, so that nothing was measured. TRL shows a tool's
                error to the model and continues, so it is raised here again.
        """
        return self._episode.reward


def environment_class(
    environment: str | None = None,
    split: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> type[ToolEnvironment]:
    """A class whose public methods, but for `reset` and `get_reward`, are the tools.

    They are those of the split that is trained on, of its `level`, and of `reset`, which are the
    further reset arguments of the dataset; by default of the split train. Without a dataset, the
    tasks are drawn from there too. The class can be pickled and loaded in another process.
    """
    found = get_environment(to_python_value(environment))
    given = {"split": split, "difficulty": level, **parse_json_object("reset", reset)}
    defaults = {
        name: read for name, value in given.items() if (read := to_python_value(value)) is not None
    }
    for name in defaults:
        require_name("reset argument", name, found.reset_arguments)
    return _build_environment_class(found.name, json.dumps(defaults))


@cache
def _build_environment_class(environment: str, defaults_json: str) -> type[ToolEnvironment]:
    """Return the class for an environment and the reset arguments of its episodes, as JSON.

    The same arguments give the same class, so that a class that was pickled and loaded in one
    process is still itself.
    """
    found, defaults = get_environment(environment), json.loads(defaults_json)
    tools = found.tools.for_episode(add_default_split(found, defaults))
    members: dict[str, Any] = {tool.name: _build_tool_method(tool) for tool in tools.tools}
    title = "".join(word.title() for word in found.name.split("_"))
    members |= {"environment": found.name, "_offered": tools.tool_names, "_defaults": defaults}
    members |= {"_made_from": (_build_environment_class, (environment, defaults_json))}
    members |= {"__doc__": found.description, "__module__": __name__}
    made: Any = EnvironmentType(f"{title}Environment", (ToolEnvironment,), members)
    return cast("type[ToolEnvironment]", made)


def _reduce_class(environment_type: type[ToolEnvironment]) -> str | tuple[Any, ...]:
    """Tell pickle how a class is made again; one that somebody declared is found by its name."""
    return environment_type.__dict__.get("_made_from") or environment_type.__qualname__


copyreg.pickle(EnvironmentType, _reduce_class)  # type: ignore[arg-type]


class RewardComponent:
    """A reward function that logs one part of what was earned; see `components`."""

    def __init__(self, name: str) -> None:
        self.__name__ = name  # TRL logs reward functions by it

    def __call__(
        self,
        environments: Sequence[ToolEnvironment] | None = None,
        completions: Sequence[Any] = (),
        **_: Any,
    ) -> list[float] | list[None]:
        """Return the part for each rollout; None where the trainer passes no environments.

        Raises:
            UnknownNameError: the episodes' ends tell of no such part; names the nearest.
        """
        name = self.__name__
        if environments is None:  # TRL's asynchronous trainer, which leaves None out
            return [None] * len(completions)
        earned = [each._episode.metrics for each in environments]
        if any(EndInfo.from_info(each.info).components for each in environments):
            require_name("component", name, set().union(*earned))
        return [each.get(name, 0.0) for each in earned]


def build_reward_components(*names: str) -> list[RewardComponent]:
    """Reward functions that log parts of what was earned, such as `exact` or `grounded`.

    Give them `reward_weights` of 0, so that they are logged and pay nothing; 0 without a report.
    """
    return [RewardComponent(name) for name in names]


def build_dataset(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> datasets.Dataset:
    """A dataset of `prompt` and the columns of `list_task_rows`, whose arguments it takes."""
    return dataset_from_rows(
        list_task_rows(split, first, count, environment, reset, level), environment
    )


def dataset_from_rows(
    rows: Sequence[TaskRow],
    environment: str | None = None,
    system_prompt_reset: Mapping[str, Any] | None = None,
) -> datasets.Dataset:
    """Return a dataset of rows that are chosen already, such as a selection of `list_task_rows`.

    Every row has the system prompt of one episode: of the reset arguments `briefed_as`, or of the
    first row.
    """
    with require_package("openenv-metric-tracker-rl[trl]"):
        from datasets import Dataset

    if not rows:
        raise InvalidValueError("rows", rows, "at least one row")
    brief = get_environment(environment).system_prompt(system_prompt_reset or rows[0])
    prompt = [{"role": "system", "content": brief}, {"role": "user", "content": ""}]
    return Dataset.from_list([{"prompt": prompt, **row} for row in rows])


def build_eval_datasets(
    split: str | None = "validation",
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    levels: Sequence[str] | None = None,
) -> dict[str, datasets.Dataset]:
    """Return a dataset for each level, as `GRPOTrainer(eval_dataset=…)` takes them.

    TRL logs `eval_reward` of every dataset under that one name. `RolloutMonitor` adds the score
    under the level's name, such as `eval_rollouts/mean_score/easy`.

    Args:
        split: name of the split.
        count: tasks of each level; None for all.
        environment: name of the environment.
        reset: further arguments of every reset.
        levels: names of levels or rungs; None for every level of the split.

    Raises:
        UnknownNameError, InvalidValueError: see `list_task_rows`.
    """
    split = "validation" if split is None else split
    if levels is None:
        rows = list_task_rows(split, 0, None, environment)
        levels = list(dict.fromkeys(row["level"] for row in rows if "level" in row))
    return {level: build_dataset(split, 0, count, environment, reset, level) for level in levels}


def _join_prompt_text(prompt: Any) -> str:
    """Return everything that a row's prompt says; empty where it has none."""
    messages = to_python_value(prompt)
    return messages if isinstance(messages, str) else "\n".join(message_texts(messages or ()))


def _build_tool_method(tool: Tool) -> Callable[..., str]:
    """A method with the signature and the docstring that TRL reads a schema from."""

    def method(self: ToolEnvironment, **arguments: Any) -> str:
        return self._episode.call_tool(tool.name, arguments)

    set_tool_signature(method, tool, is_method=True)
    return method
