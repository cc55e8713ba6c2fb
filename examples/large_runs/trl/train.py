"""GRPO with TRL and vLLM on 8 GPUs; the README has the commands. Not run on GPUs.

`build_trainer` takes other settings, so that a test can run a step with a tiny model on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from settings import (
    CURRICULUM_WINDOW,
    ENVIRONMENT,
    GRPO_ARGUMENTS,
    MODEL,
    RESET_ARGUMENTS,
    TASK_COUNT,
)
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig, GRPOTrainer

from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from openenv_kit.rollouts.curriculum import Curriculum
from openenv_kit.trainers.trl import build_reward_components
from openenv_kit.trainers.trl_curriculum import CurriculumCallback
from openenv_kit.trainers.trl_monitor import RolloutMonitor


def build_config(output_folder: Path | str, changes: Mapping[str, Any] | None = None) -> GRPOConfig:
    """Return the arguments of the training.

    Args:
        output_folder: folder for checkpoints.
        changes: arguments that replace those of `settings.py`.
    """
    return GRPOConfig(
        output_dir=str(output_folder),
        reward_weights=[0.0, 0.0],  # both functions only log
        **{**GRPO_ARGUMENTS, **(changes or {})},
    )


def build_trainer(model: Any, config: GRPOConfig, **trainer_arguments: Any) -> GRPOTrainer:
    """Return the trainer, with a curriculum over all levels.

    Args:
        model: the model, or its name.
        config: arguments of the training.
        trainer_arguments: further arguments of `GRPOTrainer`.
    """
    stages = [{"split": f"train_{level}", **RESET_ARGUMENTS} for level in RUNG_LEVELS]
    curriculum = CurriculumCallback(Curriculum(stages, window=CURRICULUM_WINDOW), ENVIRONMENT)
    monitor = RolloutMonitor()
    return GRPOTrainer(
        model=model,
        args=config,
        train_dataset=curriculum.build_dataset(TASK_COUNT),
        environment_factory=curriculum.environment_class(),
        reward_funcs=[monitor, *build_reward_components("exact")],
        callbacks=[monitor, curriculum],
        **trainer_arguments,
    )


def main() -> None:
    """Train, from the last checkpoint in the output folder if there is one."""
    output_folder = Path(sys.argv[1])
    output_folder.mkdir(parents=True, exist_ok=True)
    trainer = build_trainer(MODEL, build_config(output_folder))
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(output_folder)))


if __name__ == "__main__":
    main()
