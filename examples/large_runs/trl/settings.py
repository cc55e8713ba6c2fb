"""Settings of a GRPO training on 8 GPUs with a 7B model. Not run on GPUs."""

from __future__ import annotations

from typing import Any

MODEL = "Qwen/Qwen2.5-7B-Instruct"
ENVIRONMENT = "metric_tracker_rl"
RESET_ARGUMENTS = {"profile": "lean"}
"""Arguments of every reset: short prompts and six tools."""
TRAINING_PROCESSES = 6
"""Ranks; the remaining two GPUs generate, with tensor parallelism."""
TASK_COUNT = 2400
"""Rows of the dataset. The curriculum maps each of them to a task of the current level."""
CURRICULUM_WINDOW = 192
"""Rollouts from which the success rate of a level is computed: those of one step."""

GRPO_ARGUMENTS: dict[str, Any] = {
    "use_vllm": True,
    "vllm_mode": "server",
    "num_generations": 8,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 4,
    "max_completion_length": 4096,
    "max_tool_calling_iterations": 16,
    "beta": 0.0,
    "learning_rate": 1e-6,
    "warmup_steps": 10,
    "bf16": True,
    "gradient_checkpointing": True,
    "save_steps": 20,
    "log_completions": True,
}
"""Arguments of `GRPOConfig`."""
