"""TRL: environment classes for `GRPOTrainer(environment_factory=…)`, and datasets for them.

```python
GRPOTrainer(train_dataset=build_dataset("train"), environment_factory=environment_class(), …)
```

The classes do not import TRL. Only the functions that return datasets need the datasets package.
"""

from __future__ import annotations

import copyreg
import json
import os
from abc import ABCMeta
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from openenv_kit.datasets.row_values import convert_to_python_value, parse_json_object_of_column
from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.datasets.task_sampling import add_default_split, has_task_selector
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError, require_name
from openenv_kit.own_data.product_argument import (
    find_product_of_reset,
    get_product_reset_arguments,
)
from openenv_kit.own_data.product_support import PRODUCT_DIGEST_COLUMN
from openenv_kit.reply import EndInfo
from openenv_kit.tool import Tool
from openenv_kit.trainers.chat_messages import list_message_texts
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.tool_functions import set_tool_signature

# Re-exported: these names are part of this module's interface.
from openenv_kit.trainers.trl_datasets import build_dataset as build_dataset
from openenv_kit.trainers.trl_datasets import build_dataset_from_rows as build_dataset_from_rows
from openenv_kit.trainers.trl_datasets import build_eval_datasets as build_eval_datasets
from openenv_kit.variables import BASE_URL_VARIABLE


class EnvironmentType(ABCMeta):
    """Metaclass that makes the classes returned by `environment_class` picklable.

    It is derived from `ABCMeta`, like most metaclasses, so that a subclass can combine them.
    """


class ClassRecipe(NamedTuple):
    """Function and arguments with which pickle recreates a class."""

    build: Callable[..., type]
    arguments: tuple[Any, ...]


class ToolEnvironment(metaclass=EnvironmentType):
    """Plays one episode after another for TRL; see `environment_class`."""

    environment: str
    """Name of the environment."""
    stage: int | None = None
    """Stage of the curriculum that the episode belongs to; None if there is no curriculum."""
    _class_recipe: ClassRecipe
    """Recipe with which pickle recreates the class in another process."""
    _offered_tool_names: Sequence[str]
    """Names of the tools, which are the methods of the class."""
    _default_reset_arguments: Mapping[str, Any]
    """Reset arguments for a row that selects no task."""
    _base_url: str | None = None
    """URL of the server to play on; None for the variable `OPENENV_KIT_BASE_URL`."""
    _record: str | None = None
    """Folder in which every episode is recorded; None to record nothing."""

    def __init__(self, base_url: str | None = None) -> None:
        """Create an environment. TRL passes no URL; the default is that of the class."""
        base_url = base_url or self._base_url or os.environ.get(BASE_URL_VARIABLE)
        self._episode = ToolEpisode(
            base_url,
            self.environment,
            self._default_reset_arguments,
            record=self._record,
            is_bound_to_product=True,
        )

    def reset(self, **row: Any) -> str:
        """Start the episode of a dataset row and return the text that TRL appends to its prompt.

        The text is the first user message, preceded by the system prompt if the row's prompt lacks
        it. TRL passes an empty row if there is no dataset. A row that selects no task starts a
        different task of the class's split each time.

        Raises:
            InvalidValueError: the row's episode does not exist, belongs to a different environment,
                or its tools are not the tools of the class.
        """
        arguments = reset_arguments_from_row(row, self.environment)
        return self._start_episode_and_build_prompt_end(
            row, arguments, has_task=has_task_selector(arguments)
        )

    def _start_episode_and_build_prompt_end(
        self, row: Mapping[str, Any], arguments: Mapping[str, Any], *, has_task: bool
    ) -> str:
        """Start an episode and return the text for the end of the row's prompt; see `reset`.

        Args:
            row: dataset row.
            arguments: reset arguments of the episode.
            has_task: whether the row is from a dataset, whose prompts contain the system prompt
                unless they are empty.
        """
        first_user_message = self._episode.reset(
            {
                "environment": row.get("environment"),
                "reset": arguments,
                PRODUCT_DIGEST_COLUMN: row.get(PRODUCT_DIGEST_COLUMN),
            },
            self._offered_tool_names,
        )
        prompt_text = _extract_prompt_text(row.get("prompt"))
        system_prompt = self._episode.system_prompt
        is_dataset_prompt = has_task and ("prompt" not in row or prompt_text.strip() != "")
        if is_dataset_prompt or system_prompt in prompt_text:
            return first_user_message
        return f"{system_prompt}\n\n{first_user_message}"

    @property
    def info(self) -> Mapping[str, Any]:
        """Additional values of the last reply, such as score components; empty before the end."""
        return self._episode.info

    def get_reward(self) -> float:
        """Return the score in [0, 1], which is 0 if nothing was submitted.

        Raises:
            ServerError: the connection to the server was lost, so there is no score. The error is
                raised again here, because TRL passes errors of tools to the model and continues.
        """
        return self._episode.reward


def environment_class(
    environment: str | None = None,
    split: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
    *,
    product: Path | str | None = None,
    base_url: str | None = None,
    record: str | None = None,
) -> type[ToolEnvironment]:
    """Return a class whose public methods, except `reset` and `get_reward`, are the tools.

    The class can be pickled and loaded in another process. A class belongs to one product, because
    its tools contain the names of the product's stages. Rows of a different product are rejected.

    Args:
        environment: name of the environment.
        split: split of the dataset or, if there is no dataset, the split from which tasks are
            sampled; by default `train`.
        reset: additional reset arguments of the dataset.
        level: level of the dataset; None for all levels.
        product: product of the dataset: path of its file, or its name if the variable PRODUCTS
            lists the file; None for the environment's own episodes.
        base_url: URL of the server to play on; None for the value of the variable
            `OPENENV_KIT_BASE_URL`. If neither is set, episodes are played in this process.
        record: folder in which every episode is recorded with its messages; None to record
            nothing.

    Raises:
        UnknownNameError: there is no such environment or reset argument.
        ConfigurationError: the product cannot be used.
    """
    resolved_environment = get_environment(convert_to_python_value(environment))
    arguments = {
        "split": split,
        "difficulty": level,
        **parse_json_object_of_column("reset", reset),
        **get_product_reset_arguments(resolved_environment, product),
    }
    arguments = {name: convert_to_python_value(value) for name, value in arguments.items()}
    defaults = {name: value for name, value in arguments.items() if value is not None}
    for name in defaults:
        require_name("reset argument", name, resolved_environment.reset_arguments)
    used_product = find_product_of_reset(resolved_environment, defaults)
    return _build_environment_class(
        resolved_environment.name,
        json.dumps(defaults),
        base_url,
        record,
        None if used_product is None else used_product.digest,
    )


@cache
def _build_environment_class(
    environment: str,
    default_reset_arguments_json: str,
    base_url: str | None = None,
    record: str | None = None,
    product_digest: str | None = None,
) -> type[ToolEnvironment]:
    """Return the class for an environment and default reset arguments in JSON.

    Equal arguments return the same class, so that unpickling a class in the same process returns
    the original class.

    Raises:
        InvalidValueError: the product in this process has a different digest, for example because
            the class was pickled in a process that had loaded a different file.
    """
    resolved_environment, defaults = (
        get_environment(environment),
        json.loads(default_reset_arguments_json),
    )
    used_product = find_product_of_reset(resolved_environment, defaults)
    if used_product is not None and used_product.digest != product_digest:
        allowed = f"{product_digest}, for which the class was made"
        raise InvalidValueError("the product's digest", used_product.digest, allowed)
    tools = resolved_environment.tools.select_for_episode(
        add_default_split(resolved_environment, defaults)
    )
    members: dict[str, Any] = {tool.name: _build_tool_method(tool) for tool in tools.tools}
    members |= {
        "environment": resolved_environment.name,
        "_offered_tool_names": tools.tool_names,
        "_default_reset_arguments": defaults,
        "_class_recipe": ClassRecipe(
            _build_environment_class,
            (environment, default_reset_arguments_json, base_url, record, product_digest),
        ),
        "_base_url": base_url,
        "_record": record,
        "__doc__": resolved_environment.description,
        "__module__": __name__,
    }
    title = "".join(word.title() for word in resolved_environment.name.split("_"))
    built: Any = EnvironmentType(f"{title}Environment", (ToolEnvironment,), members)
    return cast("type[ToolEnvironment]", built)


def _reduce_class_for_pickle(environment_type: type[ToolEnvironment]) -> str | tuple[Any, ...]:
    """Return the recipe with which pickle recreates a class, or its name if it has no recipe."""
    recipe: ClassRecipe | None = environment_type.__dict__.get("_class_recipe")
    return environment_type.__qualname__ if recipe is None else tuple(recipe)


copyreg.pickle(EnvironmentType, _reduce_class_for_pickle)  # type: ignore[arg-type]


class RewardComponent:
    """A reward function that logs one reward or score component.

    Args:
        name: name of the component, such as `exact`; see `ToolEpisode.metrics`.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name  # TRL logs reward functions under this name

    def __call__(
        self,
        environments: Sequence[ToolEnvironment] | None = None,
        completions: Sequence[Any] = (),
        **_: Any,
    ) -> list[float] | list[None]:
        """Return the component of each rollout; None if the trainer passes no environments.

        Raises:
            UnknownNameError: the environment has no such component.
        """
        name = self.__name__
        if environments is None:  # TRL's asynchronous trainer, which does not log None
            return [None] * len(completions)
        metrics = [environment._episode.metrics for environment in environments]
        if any(EndInfo.from_info(environment.info).components for environment in environments):
            require_name("component", name, set().union(*metrics))
        return [rollout_metrics.get(name, 0.0) for rollout_metrics in metrics]


def build_reward_components(*names: str) -> list[RewardComponent]:
    """Return reward functions that log components, such as `exact` or `grounded`.

    Set their `reward_weights` to 0, so that they are logged without changing the reward. If no
    report was submitted, components are 0.
    """
    return [RewardComponent(name) for name in names]


def _extract_prompt_text(prompt: Any) -> str:
    """Return the text of a row's prompt; empty if the row has no prompt."""
    messages = convert_to_python_value(prompt)
    return messages if isinstance(messages, str) else "\n".join(list_message_texts(messages or ()))


def _build_tool_method(tool: Tool) -> Callable[..., str]:
    """Return a method that calls a tool, with the signature and docstring that TRL reads."""

    def call_tool_of_episode(self: ToolEnvironment, **arguments: Any) -> str:
        return self._episode.call_tool(tool.name, arguments)

    set_tool_signature(call_tool_of_episode, tool, is_method=True)
    return call_tool_of_episode
