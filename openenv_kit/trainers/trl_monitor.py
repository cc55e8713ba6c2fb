"""Metrics of rollouts for TRL's `GRPOTrainer`, and warnings about settings that waste rollouts.

```python
monitor = RolloutMonitor()
GRPOTrainer(…, reward_funcs=[monitor], callbacks=[monitor])
```
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from openenv_kit.datasets.row_values import convert_to_python_value
from openenv_kit.errors import ConfigurationError
from openenv_kit.rollouts.curriculum import MIN_REWARD_DIFFERENCE
from openenv_kit.rollouts.token_budgets import detect_digit_tokens
from openenv_kit.rollouts.token_limits import (
    LimitedTokens,
    TokenLimit,
    TrainedLevel,
    list_levels_of_rows,
    warn_if_token_limit_too_small,
)
from openenv_kit.trainers import explain_missing_package
from openenv_kit.trainers.trl import ToolEnvironment
from openenv_kit.trainers.trl_groups import require_whole_groups_on_each_rank
from openenv_kit.trainers.truncation import ends_before_turn_of_model

with explain_missing_package("openenv-metric-tracker-rl[trl]"):
    from accelerate.utils import gather_object
    from transformers import TrainerCallback

if TYPE_CHECKING:
    import datasets
    from transformers import (
        PreTrainedTokenizerBase,
        ProcessorMixin,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )

TRUNCATED_SHARE_METRIC = "rollouts/truncated_share"
"""Metric: share of rollouts that reached a token or turn limit before the end of the episode.

With a level's name as suffix, only rollouts of that level are counted.
"""
MEAN_SCORE_METRIC = "rollouts/mean_score"
"""Metric: mean score of the rollouts. With a level's name as suffix, only of that level."""
EQUAL_REWARD_SHARE_METRIC = "groups/equal_reward_share"
"""Metric: share of groups whose rewards differ by at most 0.01, so that GRPO has no signal."""
STAGE_METRIC = "curriculum/stage"
"""Metric: mean curriculum stage of the rollouts."""

ROUNDING_TOLERANCE = 1e-9

logger = logging.getLogger(__name__)


class RolloutMonitor(TrainerCallback):
    """Logs how many rollouts are truncated and in how many groups all rewards are equal.

    Pass one instance to `GRPOTrainer` twice: in `reward_funcs` and in `callbacks`. As a reward
    function it returns 0.0, so its weight does not matter. When training starts, it warns if
    `max_completion_length` is below the 95th percentile of the reference policy's token counts, and
    raises a ConfigurationError if a group would be split between ranks.
    """

    __name__ = "rollout_monitor"  # TRL logs reward functions under this name

    def __init__(self) -> None:
        self._end_tokens: frozenset[int] | None = None

    def on_init_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        **kwargs: Any,
    ) -> None:
        """Store the ids of the tokens that end a turn."""
        tokenizer = _get_tokenizer_of_processor(processing_class)
        generation = getattr(kwargs.get("model"), "generation_config", None)
        token_ids = [tokenizer.eos_token_id, tokenizer.pad_token_id]
        token_ids += _convert_to_token_id_list(getattr(generation, "eos_token_id", None))
        self._end_tokens = frozenset(token for token in token_ids if token is not None)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the trainer's settings for the length of rollouts and the size of groups.

        Raises:
            ConfigurationError: a group would be split between ranks.
        """
        require_whole_groups_on_each_rank(args)
        dataset = getattr(kwargs.get("train_dataloader"), "dataset", None)
        if "environment" in (getattr(dataset, "column_names", None) or ()):
            warn_if_completion_limit_too_small(
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
        """Log the metrics of a batch of rollouts and return a reward of 0.0 for each.

        Raises:
            ConfigurationError: the monitor is not among the trainer's callbacks, or the trainer
                has no environments.
        """
        if self._end_tokens is None:
            raise ConfigurationError("RolloutMonitor is missing in callbacks=[…] of GRPOTrainer.")
        if environments is None or log_metric is None:
            raise ConfigurationError(
                "RolloutMonitor needs environment_factory=environment_class(), and a trainer that "
                "passes environments to reward functions: TRL's asynchronous trainer does not."
            )
        levels = [
            convert_to_python_value(level)
            for level in columns.get("level") or [None] * len(completions)
        ]
        values_by_metric: dict[str, list[float]] = defaultdict(list)
        for environment, level, messages, ids in zip(
            environments, levels, completions, completion_ids, strict=False
        ):
            is_truncated = not environment._episode.is_done and self._is_rollout_truncated(
                messages, ids
            )
            for suffix in ("", f"/{level}") if level is not None else ("",):
                values_by_metric[f"{TRUNCATED_SHARE_METRIC}{suffix}"].append(is_truncated)
                values_by_metric[f"{MEAN_SCORE_METRIC}{suffix}"].append(environment.get_reward())
        for name, values in values_by_metric.items():
            log_metric(name, fmean(values))
        share = compute_share_of_equal_reward_groups(
            gather_object(_pair_tasks_with_rewards(environments, columns))
        )
        if share is not None:
            log_metric(EQUAL_REWARD_SHARE_METRIC, share)
        stages = [
            environment.stage for environment in environments if environment.stage is not None
        ]
        if stages:
            log_metric(STAGE_METRIC, fmean(stages))
        return [0.0] * len(completions)

    def _is_rollout_truncated(
        self, messages: Sequence[Mapping[str, Any]], token_ids: Sequence[int]
    ) -> bool:
        """Return whether a rollout ended in the middle of a turn, or before a tool call's result.

        TRL drops a tool result that does not fit, so such a rollout ends with a complete tool call.
        """
        if not messages or not token_ids or token_ids[-1] not in (self._end_tokens or ()):
            return True
        return ends_before_turn_of_model(messages)


class TaskReward(NamedTuple):
    """Task and reward of one rollout."""

    task: str
    reward: float


def compute_share_of_equal_reward_groups(rewards: Iterable[TaskReward]) -> float | None:
    """Compute the share of groups whose rewards do not differ; None if there are no groups.

    A group consists of two or more consecutive rollouts of one task.
    """
    groups = [
        [rollout.reward for rollout in rollouts]
        for _, rollouts in groupby(rewards, lambda rollout: rollout.task)
    ]
    spreads = [max(group) - min(group) for group in groups if len(group) > 1]
    if not spreads:
        return None
    return fmean(spread <= MIN_REWARD_DIFFERENCE + ROUNDING_TOLERANCE for spread in spreads)


def _pair_tasks_with_rewards(
    environments: Sequence[ToolEnvironment], columns: Mapping[str, Any]
) -> list[TaskReward]:
    """Return the reward of each rollout, with its task as a string."""
    names = ("environment", "task", "task_number")
    tasks = zip(*(columns[name] for name in names if name in columns), strict=True)
    return [
        TaskReward(str(task), environment.get_reward())
        for task, environment in zip(tasks, environments, strict=False)
    ]


def warn_if_completion_limit_too_small(
    levels: Iterable[TrainedLevel],
    max_completion_length: int,
    processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
) -> list[str]:
    """Log and return a warning for each level whose token budget exceeds the token limit.

    Args:
        levels: levels of a run. Levels without a measured budget are skipped.
        max_completion_length: limit of a rollout, in completion tokens.
        processing_class: tokenizer of the trainer, which determines how numbers are split into
            tokens.
    """
    tokenizer = None if processing_class is None else _get_tokenizer_of_processor(processing_class)
    limit = TokenLimit("max_completion_length", max_completion_length, LimitedTokens.COMPLETION)
    return warn_if_token_limit_too_small(levels, limit, detect_digit_tokens(tokenizer))


def _list_dataset_levels(dataset: datasets.Dataset) -> list[TrainedLevel]:
    """Return the distinct levels of a dataset's rows, with their reset arguments."""
    names = [name for name in dataset.column_names if name not in ("prompt", "task")]
    if "level" not in names:
        return []
    columns = zip(*(dataset[name] for name in names), strict=True)
    return list_levels_of_rows(
        {name: convert_to_python_value(value) for name, value in zip(names, values, strict=True)}
        for values in columns
    )


def _get_tokenizer_of_processor(
    processing_class: PreTrainedTokenizerBase | ProcessorMixin,
) -> PreTrainedTokenizerBase:
    """Return the tokenizer itself, or the tokenizer inside an image processor."""
    return getattr(processing_class, "tokenizer", processing_class)


def _convert_to_token_id_list(ids: int | Sequence[int] | None) -> list[int]:
    if ids is None:
        return []
    return [ids] if isinstance(ids, int) else list(ids)
