"""A curriculum for TRL's `GRPOTrainer`. Checkpoints save and restore its state."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from openenv_kit.datasets.row_values import convert_whole_number_to_int
from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.datasets.task_sampling import has_task_selector, sample_task_reset_arguments
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import require_integer
from openenv_kit.own_data.product_argument import get_splits_of_reset
from openenv_kit.reset_arguments import PRODUCT
from openenv_kit.rollouts.curriculum import Curriculum
from openenv_kit.rollouts.curriculum_file import read_curriculum_file, write_curriculum_file
from openenv_kit.rollouts.token_limits import TrainedLevel
from openenv_kit.trainers import explain_missing_package
from openenv_kit.trainers.trl import (
    ClassRecipe,
    ToolEnvironment,
    build_dataset_from_rows,
    environment_class,
)
from openenv_kit.trainers.trl_groups import require_whole_groups_on_each_rank
from openenv_kit.trainers.trl_monitor import warn_if_completion_limit_too_small

with explain_missing_package("openenv-metric-tracker-rl[trl]"):
    from accelerate.utils import broadcast_object_list, gather_object
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

STATE_KEY = "openenv_kit.curriculum"
"""Key of the curriculum in a checkpoint's `trainer_state.json`, under `stateful_callbacks`."""

PREFIX_CHECKPOINT_DIR = "checkpoint"
"""Beginning of the name of a checkpoint's folder, as in transformers."""

logger = logging.getLogger(__name__)


class CurriculumCallback(TrainerCallback):
    """Trainer callback that changes the curriculum stage according to the rewards of each step.

    ```python
    stages = [{"split": f"train_{rung}"} for rung in RUNGS]
    curriculum = CurriculumCallback(Curriculum(stages))
    GRPOTrainer(
        …,
        train_dataset=curriculum.build_dataset(1000),
        environment_factory=curriculum.environment_class(),
        callbacks=[curriculum],
    )
    ```

    Each row of the dataset contains a number. The current stage maps it to a task, which is the
    same for all rollouts of a group. After each step, the first rank updates the curriculum with
    the rewards of all ranks and broadcasts it, so all ranks change stages together. Every
    checkpoint contains the state in `curriculum.json` and in `trainer_state.json`. When training is
    resumed from a checkpoint in `output_dir`, the state is read from `curriculum.json`, so the
    stage can be changed by editing this file. Otherwise, the copy in `trainer_state.json` is read.

    Args:
        curriculum: curriculum whose stages are reset arguments. All stages must have the same
            tools. If a stage has a `split`, the number is an index in this split; otherwise it is a
            seed.
        environment: name of the environment.
        base_url, record: see `openenv_kit.trainers.trl.environment_class`.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        environment: str | None = None,
        *,
        base_url: str | None = None,
        record: str | None = None,
    ) -> None:
        self.curriculum = curriculum
        self._base_url, self._record = base_url, record
        self._environment = get_environment(environment)
        self._finished_rollouts: list[_FinishedRollout] = []
        self._environment_class: type[ToolEnvironment] | None = None
        self._is_copy = False  # True in another process, in which `on_step_end` is not called

    def build_dataset(self, task_count: int) -> datasets.Dataset:
        """Build a dataset of task numbers. A reset maps a number to a task of the current stage."""
        require_integer("task_count", task_count, 1, 2**31)
        name = self._environment.name
        rows = [{"environment": name, "task_number": number} for number in range(task_count)]
        return build_dataset_from_rows(rows, name, system_prompt_reset=self.curriculum.stages[0])

    def environment_class(self) -> type[ToolEnvironment]:
        """Return the class for `environment_factory`, which plays tasks of the current stage.

        Without a dataset, each reset samples a task of that stage. In another process, such as a
        worker of TRL's asynchronous trainer, the class keeps the stage at which it was pickled.
        """
        if self._environment_class is None:
            self._environment_class = _build_curriculum_class(self)
        return self._environment_class

    def draw_task_number_of_current_stage(self) -> int:
        """Return the number of a random task of the current stage, for a reset without a row."""
        stage = self.curriculum.stages[self.curriculum.stage_index]
        if "split" not in stage:
            return random.getrandbits(31)
        split_arguments = {name: stage[name] for name in ("split", PRODUCT.name) if name in stage}
        return int(sample_task_reset_arguments(self._environment, split_arguments)["index"])

    def record_reward(self, group: _RolloutGroup, reward: float) -> None:
        """Store the reward of a finished rollout until the end of the step."""
        if not self._is_copy:
            self._finished_rollouts.append(_FinishedRollout(group, reward))

    def __getstate__(self) -> dict[str, Any]:
        return {
            "curriculum": self.curriculum,
            "environment": self._environment.name,
            "base_url": self._base_url,
            "record": self._record,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        CurriculumCallback.__init__(self, **state)
        self._is_copy = True

    def build_reset_arguments_of_task(self, task_number: int) -> dict[str, Any]:
        """Return the reset arguments of a task of the current stage."""
        stage = self.curriculum.stages[self.curriculum.stage_index]
        if "split" not in stage:
            return {**stage, "seed": task_number}
        splits = get_splits_of_reset(self._environment, stage)
        return {**stage, "index": task_number % splits.size(stage["split"])}

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        **kwargs: Any,
    ) -> None:
        """Restore the curriculum from a checkpoint, and check the settings.

        Raises:
            ConfigurationError: the checkpoint's curriculum cannot be read, or a group would be
                split between ranks.
        """
        require_whole_groups_on_each_rank(args)
        if state.is_world_process_zero:
            self._restore_from_checkpoint(args, state)
        self._broadcast_from_first_rank(state)
        self._finished_rollouts.clear()
        levels = _list_curriculum_levels(self._environment, self.curriculum)
        warn_if_completion_limit_too_small(levels, args.max_completion_length, processing_class)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Update the curriculum with the rewards of all ranks, and store it for checkpoints."""
        finished_rollouts = gather_object(self._finished_rollouts)
        self._finished_rollouts = []
        if state.is_world_process_zero:
            for group, rewards in _group_rewards_by_rollout_group(finished_rollouts).items():
                self.curriculum.record_group_rewards(rewards, group.stage)
        self._broadcast_from_first_rank(state)
        state.stateful_callbacks[STATE_KEY] = self.curriculum.state_dict()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write `curriculum.json` into the checkpoint that was just saved."""
        if state.is_world_process_zero:
            write_curriculum_file(self.curriculum, _get_checkpoint_folder(args, state))

    def _restore_from_checkpoint(self, args: TrainingArguments, state: TrainerState) -> None:
        """Restore the curriculum of the checkpoint that training continues from, if any."""
        if not state.global_step:
            return
        saved_state = (state.stateful_callbacks or {}).get(STATE_KEY)
        if read_curriculum_file(self.curriculum, _get_checkpoint_folder(args, state)):
            return
        if saved_state is not None:
            self.curriculum.load_state_dict(saved_state)
            return
        logger.warning(
            "checkpoint of step %d contains no curriculum: training starts at the first stage",
            state.global_step,
        )

    def _broadcast_from_first_rank(self, state: TrainerState) -> None:
        """Replace the curriculum of every rank with the curriculum of the first rank."""
        (broadcast_state,) = broadcast_object_list([self.curriculum.state_dict()])
        if not state.is_world_process_zero:
            self.curriculum.load_state_dict(broadcast_state)


def _get_checkpoint_folder(args: TrainingArguments, state: TrainerState) -> Path:
    """Return the folder in `output_dir` of the checkpoint of the current step."""
    return Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"


def _build_curriculum_class(callback: CurriculumCallback) -> type[ToolEnvironment]:
    """Return a class that plays tasks of the callback's current stage and reports rewards to it."""
    base = environment_class(
        callback._environment.name,
        reset=callback.build_reset_arguments_of_task(0),
        base_url=callback._base_url,
        record=callback._record,
    )

    class CurriculumEnvironment(base):  # type: ignore[misc, valid-type]
        _class_recipe = ClassRecipe(_load_class_with_fixed_stage, (callback,))
        _group: _RolloutGroup | None = None

        def reset(self, **row: Any) -> str:
            self.stage = self._group = None
            number = convert_whole_number_to_int(row.get("task_number"))
            arguments = reset_arguments_from_row(row, self.environment)
            if number is None and has_task_selector(arguments):
                return str(super().reset(**row))  # a row of an evaluation dataset
            has_number = number is not None
            number = number if has_number else callback.draw_task_number_of_current_stage()
            require_integer("task_number", number, 0, 2**31)
            self.stage = callback.curriculum.stage_index
            self._group = _RolloutGroup(self.stage, number)
            arguments = {**arguments, **callback.build_reset_arguments_of_task(number)}
            return str(
                self._start_episode_and_build_prompt_end(row, arguments, has_task=has_number)
            )

        def get_reward(self) -> float:
            reward = float(super().get_reward())
            if self._group is not None:  # trainers call this several times for one rollout
                callback.record_reward(self._group, reward)
                self._group = None
            return reward

    CurriculumEnvironment.__name__ = base.__name__  # TRL logs the reward under this name
    CurriculumEnvironment.__doc__ = base.__doc__
    return CurriculumEnvironment


def _load_class_with_fixed_stage(callback: CurriculumCallback) -> type[ToolEnvironment]:
    """Return the environment class of an unpickled callback, whose stage is fixed."""
    logger.warning(
        "the curriculum stays at stage %d: rewards of rollouts in another process do not reach it",
        callback.curriculum.stage_index,
    )
    return callback.environment_class()


class _RolloutGroup(NamedTuple):
    """Identifies the task of a group of rollouts by its stage and task number."""

    stage: int
    task_number: int


class _FinishedRollout(NamedTuple):
    """Reward of a finished rollout, with its group."""

    group: _RolloutGroup
    reward: float


def _group_rewards_by_rollout_group(
    rollouts: Iterable[_FinishedRollout],
) -> dict[_RolloutGroup, list[float]]:
    groups: dict[_RolloutGroup, list[float]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout.reward)
    return groups


def _list_curriculum_levels(environment: Environment, curriculum: Curriculum) -> list[TrainedLevel]:
    """Return the levels of a curriculum's stages; stages without a level are skipped."""
    levels = []
    for stage in curriculum.stages:
        reset = {**stage, "index": 0} if "split" in stage else {**stage, "seed": 0}
        level = environment.build_result_labels(reset).get("level")
        if level is not None:
            levels.append(TrainedLevel(environment.name, level, stage))
    return levels
