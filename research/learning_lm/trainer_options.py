"""Options of both trainers, and how a training is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import trl.trainer.utils
from transformers import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint

from research.learning_lm.callbacks import MONITOR_FILE, TrainingMonitor

MICRO_BATCH_SIZE = 4
"""Episodes in a forward pass; limits the memory of a process to about 8 GB."""
COMMON_TRAINER_OPTIONS: dict[str, Any] = {
    # Master weights and optimizer stay in float32; only products are computed in bfloat16.
    "bf16": True,
    "use_cpu": not torch.cuda.is_available(),
    "activation_checkpointing": False,
    "optim": "adamw_torch",
    "weight_decay": 0.0,
    "logging_steps": 1,
    # A checkpoint contains the optimizer, and has 1.6 GB.
    "save_strategy": "steps",
    "save_steps": 5,
    "save_total_limit": 1,
    "report_to": "none",
    "disable_tqdm": True,
}


def compute_logits_of_labelled_tokens_only() -> None:
    """Make TRL compute the logits of tokens with a label only, as it does on GPUs.

    On other devices it computes them for all tokens, which are 25 times as many in supervised
    training, because shapes that vary are slow on some of them. The switch is not public; without
    it, training is only slower.
    """
    trl.trainer.utils._use_triton = lambda _device: True


def train_from_last_checkpoint(trainer: Any, monitor: TrainingMonitor) -> None:
    """Train, from the last checkpoint of an interrupted run if there is one.

    The trainer does not print its log, which the monitor keeps.
    """
    trainer.remove_callback(PrinterCallback)
    folder = Path(trainer.args.output_dir)
    checkpoint = get_last_checkpoint(folder) if folder.is_dir() else None
    if checkpoint is not None and (Path(checkpoint) / MONITOR_FILE).is_file():
        monitor.restore(Path(checkpoint))
        trainer.train(resume_from_checkpoint=checkpoint)
    else:
        trainer.train()
