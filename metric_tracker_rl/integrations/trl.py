"""TRL: an environment class for `GRPOTrainer(environment_factory=…)`, and its dataset.

```python
from trl import GRPOConfig, GRPOTrainer
from metric_tracker_rl.integrations.trl import MetricTrackerEnvironment, build_dataset

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

import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.analysis_tools.arguments import Arguments, PayloadArguments
from metric_tracker_rl.funnel import ORDERING_APP
from metric_tracker_rl.integrations.tool_calls import (
    SUBMIT_GENERATOR,
    SUBMIT_SOLUTION,
    SYSTEM_PROMPT,
    ToolEpisode,
    tool_specs,
)
from metric_tracker_rl.report import NAME_FIELDS
from metric_tracker_rl.reporting_policy import ROW_FIELDS
from metric_tracker_rl.split_rows import split_rows
from metric_tracker_rl.vocabulary import ROW_GENERATORS

if TYPE_CHECKING:
    import datasets

BASE_URL_VARIABLE = "METRIC_TRACKER_BASE_URL"
"""Names a server to play on; unset, episodes are played in the trainer's process."""

_ROWS_HELP = (
    f"every row of the report, each an object with {', '.join(ROW_FIELDS)}; "
    + "; ".join(f"{name} is one of {', '.join(names)}" for name, names in NAME_FIELDS.items())
    + "; empty for no anomaly"
)
_GENERATORS_HELP = (
    "row generators to run, each an object with method_name (one of "
    f"{', '.join(ROW_GENERATORS)}) and, as you like, threshold_multiplier, metric_names and dates"
)


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
        """The report's score in [0, 1]; 0 where none was submitted."""
        return self._episode.reward if self._episode.done else 0.0


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


def _tool_method(name: str, description: str, model: type[Arguments] | None) -> Callable[..., str]:
    """A method with the signature and the Google docstring that TRL reads a schema from."""

    def method(self: MetricTrackerEnvironment, **arguments: Any) -> str:
        return self._episode.call(name, arguments)

    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    helps = []
    for field, hint, default, text in _parameters(model):
        parameters.append(
            inspect.Parameter(
                field, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=hint, default=default
            )
        )
        helps.append(f"    {field}: {text}")
    # Arguments without a default have to stand first.
    parameters[1:] = sorted(parameters[1:], key=lambda each: each.default is not each.empty)
    lines = [description, "", *(["Args:", *helps, ""] if helps else [])]
    method.__doc__ = "\n".join([*lines, "Returns:", "    The answer as one line of JSON."])
    method.__name__ = name
    method.__qualname__ = f"{MetricTrackerEnvironment.__name__}.{name}"
    method.__signature__ = inspect.Signature(parameters, return_annotation=str)  # type: ignore[attr-defined]
    method.__annotations__ = {
        **{each.name: each.annotation for each in parameters[1:]},
        "return": str,
    }
    return method


def _parameters(model: type[Arguments] | None) -> list[tuple[str, Any, Any, str]]:
    """Name, type hint, default and help of each argument; None is the report's rows."""
    if model is None:
        return [("rows", list[dict], inspect.Parameter.empty, _ROWS_HELP)]  # type: ignore[type-arg]
    found = []
    for name, field in model.model_fields.items():
        text = field.description or name.replace("_", " ")
        if model is PayloadArguments:
            text = _GENERATORS_HELP
        found.append((name, _hint(field), _default(field), text))
    return found


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return inspect.Parameter.empty
    return field.get_default(call_default_factory=True)


def _hint(field: FieldInfo) -> Any:
    """The field's type in words that a schema reader knows: names become literals."""
    extra = field.json_schema_extra
    names = extra.get("names") if isinstance(extra, dict) else None
    hint = _plain(field.annotation)
    if not isinstance(names, str):
        return hint
    literal = Literal[tuple(getattr(ORDERING_APP, names))]  # type: ignore[misc]
    if get_origin(hint) is list:
        return list[literal]  # type: ignore[valid-type]
    return Union[literal, None] if type(None) in get_args(hint) else literal  # noqa: UP007


def _plain(hint: Any) -> Any:
    """A type hint without models, which no schema reader knows, inside."""
    if get_origin(hint) is list:
        (item,) = get_args(hint)
        return hint if item in (str, int, float) else list[dict]  # type: ignore[type-arg]
    return hint


def _add_tools() -> None:
    models: dict[str, type[Arguments] | None] = {name: TOOLS[name].arguments for name in TOOLS}
    models |= {SUBMIT_GENERATOR: PayloadArguments, SUBMIT_SOLUTION: None}
    for spec in tool_specs():
        method = _tool_method(spec.name, spec.description, models[spec.name])
        setattr(MetricTrackerEnvironment, spec.name, method)


_add_tools()
