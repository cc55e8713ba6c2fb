"""TRL: an environment class for `GRPOTrainer(environment_factory=…)`, and its dataset.

```python
from trl import GRPOConfig, GRPOTrainer
from openenv_kit.trainers.trl import MetricTrackerEnvironment, build_dataset

trainer = GRPOTrainer(
    model="Qwen/Qwen3-0.6B",
    train_dataset=build_dataset("train"),
    environment_factory=MetricTrackerEnvironment,
    args=GRPOConfig(max_completion_length=16384, max_tool_calling_iterations=64),
)
trainer.train()
```

The class needs no TRL; only `build_dataset` needs the datasets package.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from metric_tracker_rl.rows import MethodSpec
from openenv_kit.play.split_rows import split_rows
from openenv_kit.trainers.signatures import dress
from openenv_kit.trainers.tool_calls import SYSTEM_PROMPT, ToolEpisode, tool_specs

if TYPE_CHECKING:
    import datasets

BASE_URL_VARIABLE = "METRIC_TRACKER_BASE_URL"
"""Names a server to play on; unset, episodes are played in the trainer's process."""


class MetricTrackerEnvironment:
    """One episode after the other, as TRL plays them.

    TRL makes every public method but `reset` and `get_reward` a tool; those methods are made
    from the registry of analysis methods, one for each, and two submit the report.
    """

    def __init__(self, base_url: str | None = None) -> None:
        """TRL calls this without arguments.

        Args:
            base_url: server to play on; None for what METRIC_TRACKER_BASE_URL names, or else
                this process.
        """
        self._episode = ToolEpisode(base_url or os.environ.get(BASE_URL_VARIABLE))

    def reset(self, **row: Any) -> str:
        """Start the episode of a dataset row; TRL puts the answer behind the row's prompt.

        Raises:
            InvalidValueError: the row asks for an episode that does not exist.
        """
        return self._episode.reset(row)

    def get_reward(self) -> float:
        """The report's score in [0, 1]; 0 where none was submitted.

        Raises:
            ServerError: the server was lost, so that nothing was measured. TRL tells the model
                of a tool's error and goes on, so it has to be said here again.
        """
        if self._episode.lost and not self._episode.done:
            raise self._episode.lost
        return self._episode.reward


def build_dataset(split: str, first: int = 0, count: int | None = None) -> datasets.Dataset:
    """A split as a dataset: `prompt`, and the reset's arguments as columns.

    Args:
        split: name of the split.
        first: index of the first task.
        count: how many; None for all that follow.
    """
    from datasets import Dataset

    prompt = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": ""}]
    return Dataset.from_list([{"prompt": prompt, **row} for row in split_rows(split, first, count)])


def _tool_method(spec: MethodSpec) -> Callable[..., str]:
    """A method with the signature and the Google docstring that TRL reads a schema from."""

    def method(self: MetricTrackerEnvironment, **arguments: Any) -> str:
        return self._episode.call(spec.name, arguments)

    dress(method, spec, bound=True)
    return method


for _spec in tool_specs():
    setattr(MetricTrackerEnvironment, _spec.name, _tool_method(_spec))
