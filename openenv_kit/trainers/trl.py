"""TRL: environment classes for `GRPOTrainer(environment_factory=…)`, and their datasets.

```python
GRPOTrainer(train_dataset=build_dataset("train"), environment_factory=environment_class(), …)
```

The classes do not need TRL; only `build_dataset` needs the datasets package.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.play.split_rows import Row, split_rows
from openenv_kit.session import COMPONENTS
from openenv_kit.tool import Tool
from openenv_kit.trainers import installed_by
from openenv_kit.trainers.signatures import dress
from openenv_kit.trainers.tool_calls import ToolEpisode

if TYPE_CHECKING:
    import datasets

BASE_URL_VARIABLE = "OPENENV_KIT_BASE_URL"
"""Names a server to play on; if unset, episodes are played in the trainer's process."""


class ToolEnvironment:
    """One episode after another, as TRL plays them; see `environment_class`."""

    environment: str
    """Name of what is played."""
    stage: int | None = None
    """Stage of the curriculum that the running episode is of; None without a curriculum."""
    _offered: Sequence[str]
    """Names of the tools, which are the class's methods."""

    def __init__(self, base_url: str | None = None) -> None:
        """TRL calls this without arguments: OPENENV_KIT_BASE_URL may name the server."""
        self._episode = ToolEpisode(base_url or os.environ.get(BASE_URL_VARIABLE), self.environment)

    def reset(self, **row: Any) -> str:
        """Start the episode of a dataset row; TRL appends the answer to the row's prompt.

        Raises:
            InvalidValueError: the row asks for an episode that does not exist, or for one of
                another environment or with other tools than the class has.
        """
        return self._episode.reset(row, self._offered)

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
    further reset arguments of the dataset; without any of them, of a reset without arguments.
    """
    found = get_environment(environment)
    chosen = {"split": split, "difficulty": level, **(reset or {})}
    asked = {name: value for name, value in chosen.items() if value is not None}
    tools = found.tools.offered(asked)
    members: dict[str, Any] = {tool.name: _method(tool) for tool in tools.tools}
    title = "".join(word.title() for word in found.name.split("_"))
    members |= {"environment": found.name, "_offered": tools.names}
    members |= {"__doc__": found.description, "__module__": __name__}
    return type(f"{title}Environment", (ToolEnvironment,), members)


def components(*names: str) -> list[Callable[..., list[float]]]:
    """Reward functions that log parts of what was earned, such as `exact` or `grounded`.

    Give them `reward_weights` of 0, so that they are logged and pay nothing; 0 without a report.
    """
    return [_component(name) for name in names]


def build_dataset(
    split: str,
    first: int = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> datasets.Dataset:
    """A dataset of `prompt` and the columns of `split_rows`, whose arguments it takes."""
    return dataset_of(split_rows(split, first, count, environment, reset, level), environment)


def dataset_of(
    rows: Sequence[Row],
    environment: str | None = None,
    briefed_as: Mapping[str, Any] | None = None,
) -> datasets.Dataset:
    """Return a dataset of rows that are chosen already, such as a selection of `split_rows`.

    Every row has the system prompt of one episode: of the reset arguments `briefed_as`, or of the
    first row.
    """
    with installed_by("openenv-metric-tracker-rl[trl]"):
        from datasets import Dataset

    brief = get_environment(environment).brief(briefed_as or rows[0])
    prompt = [{"role": "system", "content": brief}, {"role": "user", "content": ""}]
    return Dataset.from_list([{"prompt": prompt, **row} for row in rows])


def build_eval_datasets(
    split: str = "validation",
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
        UnknownNameError, InvalidValueError: see `split_rows`.
    """
    if levels is None:
        rows = split_rows(split, 0, None, environment)
        levels = list(dict.fromkeys(row["level"] for row in rows if "level" in row))
    return {level: build_dataset(split, 0, count, environment, reset, level) for level in levels}


def _component(name: str) -> Callable[..., list[float]]:
    def component(environments: Sequence[ToolEnvironment], **_: Any) -> list[float]:
        earned = [each._episode.metrics for each in environments]
        if any(COMPONENTS in each.info for each in environments):
            require_name("component", name, set().union(*earned))
        return [each.get(name, 0.0) for each in earned]

    component.__name__ = name  # TRL logs them by it
    return component


def _method(tool: Tool) -> Callable[..., str]:
    """A method with the signature and the docstring that TRL reads a schema from."""

    def method(self: ToolEnvironment, **arguments: Any) -> str:
        return self._episode.call(tool.name, arguments)

    dress(method, tool, bound=True)
    return method
