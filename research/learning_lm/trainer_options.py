"""Options that both trainers share."""

from __future__ import annotations

from typing import Any

import torch
import trl.trainer.utils
from transformers import PrinterCallback

MICRO_BATCH_SIZE = 4
"""Episodes in a forward pass; limits memory to about 5 GB."""
COMMON_TRAINER_OPTIONS: dict[str, Any] = {
    # Master weights and optimizer stay in float32; only products are computed in bfloat16.
    "bf16": True,
    "use_cpu": not torch.cuda.is_available(),
    "gradient_checkpointing": False,
    "optim": "adamw_torch",
    "weight_decay": 0.0,
    "logging_steps": 1,
    "save_strategy": "no",
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


def silence_printing(trainer: Any) -> None:
    """Stop a trainer from printing its log, which the monitor keeps."""
    trainer.remove_callback(PrinterCallback)
