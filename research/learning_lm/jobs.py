"""The jobs of a run. Each is executed in a process of its own and writes one file."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from research.learning_lm.records import (
    MODELS_FOLDER,
    TRAINER_FOLDER,
    PlayedTasks,
    TrainingRecord,
    played_path,
    read_training,
    training_path,
    write_played,
    write_training,
)
from research.learning_lm.settings import Plan, Player, TaskSet

FLIGHTS_PRODUCT = Path("examples/flights/flights.toml")


def prepare_base_model(folder: Path) -> None:
    """Write the checkpoint of the base model."""
    _prepare_torch()
    from research.learning_lm.base_model import convert_base_model

    incomplete = folder / MODELS_FOLDER / "incomplete"
    convert_base_model(incomplete)
    incomplete.rename(folder / MODELS_FOLDER / Player.BASE)


def train_player(plan: Plan, folder: Path, player: Player) -> None:
    """Train a player, and write its checkpoint and its training record."""
    _prepare_torch()
    from research.learning_lm.base_model import load_model, load_tokenizer
    from research.learning_lm.callbacks import TrainingMonitor
    from research.learning_lm.demonstrations import list_rows

    start = folder / MODELS_FOLDER / (Player.BASE if player is Player.SFT else Player.SFT)
    model, tokenizer = load_model(start), load_tokenizer(start)
    is_grpo = player in (Player.GRPO, Player.GRPO_SHUFFLED)
    training_plan = plan.grpo if is_grpo else plan.supervised
    monitor = TrainingMonitor(
        tokenizer,
        list_rows("validation", plan.level, 0, plan.validation_tasks),
        training_plan.steps_between_validations,
        partial(_write_progress, folder, training_path(folder, player).stem),
        stop_at_exact=plan.supervised.stop_at_exact if player is Player.SFT else None,
        max_cpu_seconds=(
            read_training(folder, Player.GRPO).cpu_seconds
            if player is Player.SFT_CONTINUED
            else None
        ),
    )
    train = _train_with_grpo if is_grpo else _train_on_demonstrations
    details = train(plan, folder, player, model, tokenizer, monitor)
    cpu_seconds = monitor.training_cpu_seconds
    steps = int(monitor.log[-1]["step"])
    if not monitor.examinations or monitor.examinations[-1]["step"] != steps:
        monitor.examine(model, steps)
    target = folder / MODELS_FOLDER / player
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    write_training(
        folder,
        TrainingRecord(
            player, round(cpu_seconds, 1), steps, monitor.log, monitor.examinations, details
        ),
    )


def _train_on_demonstrations(
    plan: Plan, folder: Path, player: Player, model: Any, tokenizer: Any, monitor: Any
) -> dict[str, Any]:
    from research.learning_lm.demonstrations import collect_demonstrations
    from research.learning_lm.supervised import train_on_demonstrations

    used = plan.supervised.demonstrations
    # Continued training gets demonstrations that SFT has not used.
    first, count = (0, used) if player is Player.SFT else (used, plan.first_grpo_task - used)
    demonstrations = collect_demonstrations(
        folder / f"demonstrations-{player}", plan.level, first, count
    )
    train_on_demonstrations(
        model,
        tokenizer,
        demonstrations,
        plan.supervised,
        monitor,
        folder / TRAINER_FOLDER / player,
        seed=plan.seed,
    )
    return {"first_task": first, "demonstrations": len(demonstrations)}


def _train_with_grpo(
    plan: Plan, folder: Path, player: Player, model: Any, tokenizer: Any, monitor: Any
) -> dict[str, Any]:
    from research.learning_lm.demonstrations import list_rows
    from research.learning_lm.grpo import train_with_grpo
    from research.learning_lm.rewards import OwnRewards, ShuffledRewards

    start_exact = read_training(folder, Player.SFT).last_validation_exact
    is_exact_frequent = start_exact >= plan.grpo.min_exact_for_exact_reward
    component = "exact" if is_exact_frequent else "key_f1"
    rewards = OwnRewards(component)
    if player is Player.GRPO_SHUFFLED:
        rewards = ShuffledRewards(component, plan.grpo.group_size, plan.seed)
    train_with_grpo(
        model,
        tokenizer,
        list_rows("train", plan.level, plan.first_grpo_task),
        plan.grpo,
        rewards,
        monitor,
        folder / TRAINER_FOLDER / player,
        seed=plan.seed,
    )
    return {"reward": component}


def play_task_set(plan: Plan, folder: Path, player: Player, task_set: TaskSet, count: int) -> None:
    """Play the first tasks of a set with a player, and write the episodes."""
    _prepare_torch()
    from research.learning_lm.base_model import load_model, load_tokenizer
    from research.learning_lm.demonstrations import list_rows
    from research.learning_lm.pattern_table import fill_pattern_table, play_with_table
    from research.learning_lm.rollouts import play_tasks

    started_at = time.process_time()
    level = plan.next_level if task_set is TaskSet.NEXT_RUNG else plan.level
    product = FLIGHTS_PRODUCT if task_set is TaskSet.FLIGHTS_TWIN else None
    rows = list_rows("test", level, 0, count, product)
    if player is Player.PATTERN_TABLE:
        demonstrated = list_rows("train", plan.level, 0, plan.supervised.demonstrations)
        played = play_with_table(fill_pattern_table(demonstrated), rows)
    else:
        checkpoint = folder / MODELS_FOLDER / player
        report = partial(_write_played_count, folder, player, task_set, count)
        is_replaced = task_set is TaskSet.REPLACED_CALENDAR
        played = play_tasks(
            load_model(checkpoint),
            load_tokenizer(checkpoint),
            rows,
            calendar_rows=[*rows[1:], rows[0]] if is_replaced else None,
            report_progress=report,
        )
    cpu_seconds = round(time.process_time() - started_at, 1)
    write_played(folder, PlayedTasks(player, task_set, cpu_seconds, played))


def _prepare_torch() -> None:
    """Set the number of threads and the precision, and silence the libraries."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    import torch
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    from research.learning_lm.trainer_options import compute_logits_of_labelled_tokens_only

    # Another player uses the other core.
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("medium")
    disable_progress_bar()
    set_verbosity_error()
    compute_logits_of_labelled_tokens_only()


def _write_progress(folder: Path, name: str, text: str) -> None:
    path = folder / "progress" / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_played_count(
    folder: Path, player: Player, task_set: TaskSet, count: int, played: int
) -> None:
    name = played_path(folder, player, task_set).stem
    _write_progress(folder, name, f"{played} of {count} tasks")
