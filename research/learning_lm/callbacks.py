"""Callbacks of both trainers: examinations during training, the log, and a limit of CPU time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import TrainerCallback

from openenv_kit.datasets.split_rows import TaskRow
from research.learning_lm.rollouts import play_tasks

LOGGED_VALUES = (
    *("loss", "mean_token_accuracy", "reward", "reward_std", "frac_reward_zero_std"),
    *("entropy", "grad_norm", "num_tokens", "completions/mean_length"),
)
"""Values of the trainers' logs that are kept."""
MONITOR_FILE = "monitor.json"
"""File of a checkpoint with what the monitor has noted so far."""


class TrainingMonitor(TrainerCallback):
    """Examines the model on validation tasks during training, and keeps the log.

    Args:
        tokenizer: tokenizer of the model.
        rows: validation tasks.
        interval: gradient steps between two examinations.
        report_progress: function that is called with a line of text after each step.
        stop_at_exact: share of exact reports at which training stops; None to train to the end.
        max_cpu_seconds: CPU time after which training stops; None for no limit.

    Attributes:
        log: one entry per gradient step.
        examinations: one entry per examination, with the CPU time of the training before it.
    """

    def __init__(
        self,
        tokenizer: Any,
        rows: list[TaskRow],
        interval: int,
        report_progress: Callable[[str], None],
        *,
        stop_at_exact: float | None = None,
        max_cpu_seconds: float | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._rows = rows
        self._interval = interval
        self._report_progress = report_progress
        self._stop_at_exact = stop_at_exact
        self._max_cpu_seconds = max_cpu_seconds
        self._started_at = time.process_time()
        self._examination_seconds = 0.0
        self._earlier_seconds = 0.0
        self.log: list[dict[str, float]] = []
        self.examinations: list[dict[str, float]] = []

    @property
    def training_cpu_seconds(self) -> float:
        """CPU time of the training so far, without examinations."""
        seconds = time.process_time() - self._started_at - self._examination_seconds
        return self._earlier_seconds + seconds

    def restore(self, checkpoint: Path) -> None:
        """Continue from what was noted when a checkpoint was saved."""
        stored = json.loads((checkpoint / MONITOR_FILE).read_text(encoding="utf-8"))
        self.log, self.examinations = stored["log"], stored["examinations"]
        self._earlier_seconds = stored["cpu_seconds"]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._started_at = time.process_time()

    def on_save(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        noted = {
            "cpu_seconds": self.training_cpu_seconds,
            "log": self.log,
            "examinations": self.examinations,
        }
        (checkpoint / MONITOR_FILE).write_text(json.dumps(noted), encoding="utf-8")

    def on_step_end(self, _args: Any, state: Any, control: Any, **context: Any) -> None:
        cpu_seconds = self.training_cpu_seconds
        is_at_limit = self._max_cpu_seconds is not None and cpu_seconds >= self._max_cpu_seconds
        if state.global_step % self._interval == 0:
            self.examine(context["model"], state.global_step)
        best = self.examinations[-1]["exact"] if self.examinations else 0.0
        is_good_enough = self._stop_at_exact is not None and best >= self._stop_at_exact
        control.should_training_stop |= is_at_limit or is_good_enough
        self._report_progress(f"step {state.global_step}, {cpu_seconds:.0f} CPU s")

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        kept = {name: round(float(logs[name]), 6) for name in LOGGED_VALUES if name in logs}
        if "loss" in kept:
            seconds = round(self.training_cpu_seconds, 1)
            self.log.append({"step": state.global_step, "cpu_seconds": seconds, **kept})

    def examine(self, model: Any, step: int) -> None:
        """Play the validation tasks and note the result for a gradient step."""
        training_seconds = self.training_cpu_seconds
        started_at = time.process_time()
        was_training = model.training
        model.eval()
        played = play_tasks(model, self._tokenizer, self._rows)
        model.train(was_training)
        self.examinations.append(
            {
                "step": step,
                "cpu_seconds": round(training_seconds, 1),
                "exact": round(fmean(task.exact for task in played), 4),
                "graded": round(fmean(task.graded for task in played), 4),
                "key_f1": round(fmean(task.key_f1 for task in played), 4),
                "submitted": round(fmean(task.ids is not None for task in played), 4),
            }
        )
        self._examination_seconds += time.process_time() - started_at
        exact = self.examinations[-1]["exact"]
        self._report_progress(f"step {step}: {exact:.3f} exact on validation tasks")
