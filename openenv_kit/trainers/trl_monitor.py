"""Metrics of rollouts for TRL's `GRPOTrainer`, and warnings about settings that cost rollouts.

```python
monitor = RolloutMonitor()
GRPOTrainer(…, reward_funcs=[monitor], callbacks=[monitor])
```
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from openenv_kit.datasets.row_values import to_python_value
from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.rollouts.curriculum import MIN_REWARD_DIFFERENCE
from openenv_kit.rollouts.token_budgets import DigitTokens, find_token_budget
from openenv_kit.trainers import require_package
from openenv_kit.trainers.trl import ToolEnvironment

with require_package("openenv-metric-tracker-rl[trl]"):
    from accelerate.utils import gather_object
    from transformers import TrainerCallback

if TYPE_CHECKING:
    import datasets

TRUNCATED_SHARE_METRIC = "rollouts/truncated_share"
"""Metric: share of rollouts that a token or turn limit ended before the episode was over; with
the level's name behind it, of those of the level."""
MEAN_SCORE_METRIC = "rollouts/mean_score"
"""Metric: mean score of the rollouts; with the level's name behind it, of those of the level."""
EQUAL_REWARD_SHARE_METRIC = "groups/equal_reward_share"
"""Metric: share of groups whose rewards differ by no more than 0.01, which teach GRPO nothing."""
STAGE_METRIC = "curriculum/stage"
"""Metric: mean stage of the rollouts."""
log = logging.getLogger(__name__)


class RolloutMonitor(TrainerCallback):
    """Logs how many rollouts are truncated and how many groups teach nothing.

    Pass one instance to `GRPOTrainer` twice: in `reward_funcs` and in `callbacks`. As a reward
    function it pays 0.0, so that its weight does not matter. When training starts, it warns about a
    `max_completion_length` below the reference's 95th percentile, and about groups that several
    ranks share.
    """

    __name__ = "rollout_monitor"  # TRL logs reward functions by it

    def __init__(self) -> None:
        self._end_tokens: frozenset[int] | None = None

    def on_init_end(
        self, args: Any, state: Any, control: Any, *, processing_class: Any = None, **kwargs: Any
    ) -> None:
        """Remember the tokens that end a turn."""
        tokenizer = _find_tokenizer(processing_class)
        generation = getattr(kwargs.get("model"), "generation_config", None)
        ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
        ends += _list_token_ids(getattr(generation, "eos_token_id", None))
        self._end_tokens = frozenset(end for end in ends if end is not None)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, processing_class: Any = None, **kwargs: Any
    ) -> None:
        """Warn about settings that would cost rollouts."""
        if args.world_size > 1 and args.per_device_train_batch_size % args.num_generations:
            log.warning(
                "per_device_train_batch_size is %d, no multiple of num_generations (%d): ranks "
                "share groups and play the same tasks. Use a multiple, so that each rank plays "
                "tasks of its own.",
                *(args.per_device_train_batch_size, args.num_generations),
            )
        dataset = getattr(kwargs.get("train_dataloader"), "dataset", None)
        if "environment" in (getattr(dataset, "column_names", None) or ()):
            warn_below_token_budget(
                _list_dataset_levels(dataset), args.max_completion_length, processing_class
            )

    def __call__(
        self,
        completions: Sequence[Sequence[Mapping[str, Any]]],
        completion_ids: Sequence[Sequence[int]] = (),
        log_metric: Callable[[str, float], None] | None = None,
        environments: Sequence[ToolEnvironment] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Log the metrics of a batch of rollouts; return a reward of 0.0 for each.

        Raises:
            ConfigurationError: the monitor is not among the trainer's callbacks, or the trainer
                has no environments.
        """
        if self._end_tokens is None:
            raise ConfigurationError("RolloutMonitor is missing in callbacks=[…] of GRPOTrainer.")
        if environments is None or log_metric is None:
            raise ConfigurationError(
                "RolloutMonitor needs environment_factory=environment_class(), and a trainer that "
                "hands its environments to reward functions: TRL's asynchronous trainer does not."
            )
        levels = [
            to_python_value(level) for level in columns.get("level") or [None] * len(completions)
        ]
        measured: dict[str, list[float]] = defaultdict(list)
        for environment, level, messages, ids in zip(
            environments, levels, completions, completion_ids, strict=False
        ):
            is_truncated = not environment._episode.is_done and self._is_truncated(messages, ids)
            for suffix in ("", f"/{level}") if level is not None else ("",):
                measured[f"{TRUNCATED_SHARE_METRIC}{suffix}"].append(is_truncated)
                measured[f"{MEAN_SCORE_METRIC}{suffix}"].append(environment.get_reward())
        for name, values in measured.items():
            log_metric(name, fmean(values))
        share = share_of_equal_reward_groups(
            gather_object(_list_task_rewards(environments, columns))
        )
        if share is not None:
            log_metric(EQUAL_REWARD_SHARE_METRIC, share)
        stages = [each.stage for each in environments if each.stage is not None]
        if stages:
            log_metric(STAGE_METRIC, fmean(stages))
        return [0.0] * len(completions)

    def _is_truncated(
        self, messages: Sequence[Mapping[str, Any]], token_ids: Sequence[int]
    ) -> bool:
        """Return whether a rollout ended in the middle of a turn, or with a call left over.

        TRL drops the result of a call that does not fit, so that such a rollout ends with the
        call, and the call with the end of a turn.
        """
        if not messages or not token_ids or token_ids[-1] not in (self._end_tokens or ()):
            return True
        last = messages[-1]
        return last.get("role") == "tool" or bool(last.get("tool_calls"))


class TaskReward(NamedTuple):
    """Reward of one rollout and what its group has in common."""

    task: str
    reward: float


def share_of_equal_reward_groups(rewards: Iterable[TaskReward]) -> float | None:
    """Return the share of groups whose rewards do not differ; None where nothing is a group.

    A group are neighbouring rollouts of one task.
    """
    groups = [
        [each.reward for each in group] for _, group in groupby(rewards, lambda each: each.task)
    ]
    spreads = [max(group) - min(group) for group in groups if len(group) > 1]
    return fmean(spread <= MIN_REWARD_DIFFERENCE + 1e-9 for spread in spreads) if spreads else None


@dataclass(frozen=True)
class TrainedLevel:
    """A level that a run trains on, with the reset arguments of its mode of play."""

    environment: str
    level: str
    reset_arguments: Mapping[str, Any]


def warn_below_token_budget(
    levels: Iterable[TrainedLevel], max_completion_length: int, processing_class: Any = None
) -> list[str]:
    """Warn of each level whose reference needs more completion tokens; return the warnings.

    Args:
        levels: the levels of a run. One without a measured budget is left out.
        max_completion_length: completion tokens that the trainer allows a rollout.
        processing_class: the trainer's tokenizer, which decides how numbers are counted.
    """
    digits = _detect_digit_tokens(processing_class)
    warnings = []
    for each in levels:
        environment = get_environment(each.environment)
        budget = find_token_budget(environment, each.level, each.reset_arguments, digits)
        if budget is None or max_completion_length >= budget.completion.p95:
            continue
        warnings.append(
            f"max_completion_length is {max_completion_length}, but 5 % of the reference's "
            f"episodes on {each.environment} {each.level} need more than "
            f"{budget.completion.p95} tokens (median {budget.completion.p50}). A truncated "
            f"rollout scores 0. `metric-tracker budgets --environment {each.environment}` "
            "prints what each level needs."
        )
    for warning in warnings:
        log.warning(warning)
    return warnings


def _list_task_rewards(
    environments: Sequence[ToolEnvironment], columns: Mapping[str, Any]
) -> list[TaskReward]:
    names = ("environment", "task", "task_number")
    rows = zip(*(columns[name] for name in names if name in columns), strict=True)
    return [
        TaskReward(str(row), environment.get_reward())
        for row, environment in zip(rows, environments, strict=False)
    ]


def _list_dataset_levels(dataset: datasets.Dataset) -> list[TrainedLevel]:
    """Return the levels and modes of play of a dataset's rows."""
    names = [name for name in dataset.column_names if name not in ("prompt", "task")]
    if "level" not in names:
        return []
    distinct: dict[str, TrainedLevel] = {}
    for values in zip(*(dataset[name] for name in names), strict=True):
        row = {name: to_python_value(value) for name, value in zip(names, values, strict=True)}
        environment, level = row.pop("environment"), row.pop("level")
        if environment is None or level is None:
            continue
        reset = reset_arguments_from_row(row, environment)
        reset.pop("index", None)
        played = TrainedLevel(environment, level, reset)
        distinct.setdefault(repr(played), played)
    return list(distinct.values())


def _detect_digit_tokens(processing_class: Any) -> DigitTokens:
    if processing_class is None:
        return DigitTokens.GROUPED
    ids = _find_tokenizer(processing_class).encode("7" * 12, add_special_tokens=False)
    return DigitTokens.SINGLE if len(ids) >= 12 else DigitTokens.GROUPED


def _find_tokenizer(processing_class: Any) -> Any:
    """Return the tokenizer, which a processor for images has inside."""
    return getattr(processing_class, "tokenizer", processing_class)


def _list_token_ids(ids: int | Sequence[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)
