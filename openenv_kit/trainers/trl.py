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
from openenv_kit.play.split_rows import Row, split_rows
from openenv_kit.tools.catalogue import ToolSpec
from openenv_kit.trainers.signatures import dress
from openenv_kit.trainers.tool_calls import ToolEpisode

if TYPE_CHECKING:
    import datasets

BASE_URL_VARIABLE = "METRIC_TRACKER_BASE_URL"
"""Names a server to play on; if unset, episodes are played in the trainer's process."""


class ToolEnvironment:
    """One episode after another, as TRL plays them; see `environment_class`."""

    environment: str
    """Name of what is played."""

    def __init__(self, base_url: str | None = None) -> None:
        """TRL calls this without arguments: METRIC_TRACKER_BASE_URL may name the server."""
        self._episode = ToolEpisode(base_url or os.environ.get(BASE_URL_VARIABLE), self.environment)

    def reset(self, **row: Any) -> str:
        """Start the episode of a dataset row; TRL appends the answer to the row's prompt.

        Raises:
            InvalidValueError: the row asks for an episode that does not exist.
        """
        return self._episode.reset(row)

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
        if self._episode.lost and not self._episode.done:
            raise self._episode.lost
        return self._episode.reward


def environment_class(
    environment: str | None = None,
    split: str | None = None,
    reset: Mapping[str, Any] | None = None,
) -> type[ToolEnvironment]:
    """A class whose public methods, but for `reset` and `get_reward`, are the tools.

    They are those of the split that is trained on, and of `reset`, which are the further reset
    arguments of the dataset; without either, of a reset without arguments.
    """
    found = get_environment(environment)
    tools = found.tools.offered({**({"split": split} if split else {}), **(reset or {})})
    members: dict[str, Any] = {tool.name: _method(tool) for tool in tools.tools}
    title = "".join(word.title() for word in found.name.split("_"))
    members |= {"environment": found.name, "__doc__": found.description, "__module__": __name__}
    return type(f"{title}Environment", (ToolEnvironment,), members)


def build_dataset(
    split: str,
    first: int = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
) -> datasets.Dataset:
    """A dataset of `prompt` and the columns of `split_rows`, whose arguments it takes."""
    return dataset_of(split_rows(split, first, count, environment, reset), environment)


def dataset_of(rows: Sequence[Row], environment: str | None = None) -> datasets.Dataset:
    """The same of rows that were chosen already; all are briefed as the first of them is."""
    from datasets import Dataset

    brief = get_environment(environment).brief(rows[0])
    prompt = [{"role": "system", "content": brief}, {"role": "user", "content": ""}]
    return Dataset.from_list([{"prompt": prompt, **row} for row in rows])


def _method(tool: ToolSpec) -> Callable[..., str]:
    """A method with the signature and the docstring that TRL reads a schema from."""

    def method(self: ToolEnvironment, **arguments: Any) -> str:
        return self._episode.call(tool.name, arguments)

    dress(method, tool, bound=True)
    return method
