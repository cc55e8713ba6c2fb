"""Supervised fine-tuning on demonstrations, with the loss on the model's own turns alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from research.learning_lm.callbacks import TrainingMonitor
from research.learning_lm.demonstrations import Demonstration
from research.learning_lm.settings import SupervisedPlan
from research.learning_lm.trainer_options import (
    COMMON_TRAINER_OPTIONS,
    MICRO_BATCH_SIZE,
    train_from_last_checkpoint,
)


def train_on_demonstrations(
    model: Any,
    tokenizer: Any,
    demonstrations: Sequence[Demonstration],
    plan: SupervisedPlan,
    monitor: TrainingMonitor,
    folder: Path,
    *,
    seed: int,
) -> None:
    """Train a model in place until the monitor stops it, at most for the plan's epochs.

    Args:
        model: model of `load_model`.
        tokenizer: tokenizer of `load_tokenizer`.
        demonstrations: examples to imitate.
        plan: how to train.
        monitor: examines the model and stops the training.
        folder: folder for the trainer's files.
        seed: seed of the order of the demonstrations.
    """
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        # The arguments of tools differ, which a plain Arrow column cannot express.
        train_dataset=Dataset.from_list(list(demonstrations), on_mixed_types="use_json"),
        callbacks=[monitor],
        args=SFTConfig(
            **COMMON_TRAINER_OPTIONS,
            output_dir=str(folder),
            assistant_only_loss=True,
            max_length=None,
            per_device_train_batch_size=MICRO_BATCH_SIZE,
            gradient_accumulation_steps=plan.batch_size // MICRO_BATCH_SIZE,
            num_train_epochs=plan.max_epochs,
            learning_rate=plan.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=plan.warmup_steps,
            seed=seed,
        ),
    )
    train_from_last_checkpoint(trainer, monitor)
