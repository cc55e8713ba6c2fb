"""GRPO with TRL's trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from openenv_kit.datasets.split_rows import TaskRow
from research.learning_lm.callbacks import TrainingMonitor
from research.learning_lm.rewards import OwnRewards
from research.learning_lm.rollouts import MAX_TOKENS, play_rollouts
from research.learning_lm.settings import GrpoPlan
from research.learning_lm.trainer_options import (
    COMMON_TRAINER_OPTIONS,
    MICRO_BATCH_SIZE,
    train_from_last_checkpoint,
)


def train_with_grpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TaskRow],
    plan: GrpoPlan,
    rewards: OwnRewards,
    monitor: TrainingMonitor,
    folder: Path,
    *,
    seed: int,
) -> None:
    """Train a model in place.

    Args:
        model: model of `load_model`.
        tokenizer: tokenizer of `load_tokenizer`.
        rows: training tasks.
        plan: how to train.
        rewards: reward function.
        monitor: examines the model during training.
        folder: folder for the trainer's files.
        seed: seed of the order of tasks and of sampling.
    """
    rows_by_task = {row["task"]: row for row in rows}

    def play(tasks: Sequence[str], trainer: GRPOTrainer) -> Mapping[str, Any]:
        played = play_rollouts(
            trainer.accelerator.unwrap_model(trainer.model),
            tokenizer,
            [rows_by_task[task] for task in tasks],
            temperature=plan.temperature,
        )
        results = [rollout.to_played_task() for rollout in played]
        return {
            "prompt_ids": [rollout.prompt_ids for rollout in played],
            "completion_ids": [rollout.completion_ids for rollout in played],
            "env_mask": [rollout.is_generated for rollout in played],
            "logprobs": None,
            "exact": [result.exact for result in results],
            "key_f1": [result.key_f1 for result in results],
        }

    rollouts_per_step = plan.groups_per_step * plan.group_size
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        # The prompt is the name of the task, from which `play` starts the episode.
        train_dataset=Dataset.from_list([{"prompt": task} for task in rows_by_task]),
        rollout_func=play,
        reward_funcs=[rewards],
        callbacks=[monitor],
        args=GRPOConfig(
            **COMMON_TRAINER_OPTIONS,
            output_dir=str(folder),
            per_device_train_batch_size=MICRO_BATCH_SIZE,
            gradient_accumulation_steps=rollouts_per_step // MICRO_BATCH_SIZE,
            num_generations=plan.group_size,
            max_completion_length=MAX_TOKENS,
            temperature=plan.temperature,
            beta=0.0,
            max_steps=plan.steps,
            learning_rate=plan.learning_rate,
            lr_scheduler_type="constant",
            seed=seed,
        ),
    )
    train_from_last_checkpoint(trainer, monitor)
