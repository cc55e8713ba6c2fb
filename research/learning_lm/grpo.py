"""GRPO by TRL's own trainer, and examinations by the same rollouts.

Rollouts, tool calls, advantages and updates are TRL's; the environment is the adapter's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from openenv_kit.trainers.trl import ToolEnvironment, build_dataset_from_rows, environment_class
from research.learning_lm.settings import SHUFFLED, Exam, Plan, Stage
from research.learning_lm.traces import RESET, rows_of

TURNS = 3
"""Most answers with tool calls of an episode: one or two to look, one to submit."""
GROUP = 8
"""Rollouts of a task, whose rewards are compared."""
PLAYS = 2
"""Plays of a held-out task in an examination at the end."""
EXAMINED = 200
"""Plays of an examination that are played at once."""
LOGGED = ("reward", "reward_std", "frac_reward_zero_std", "entropy", "num_tokens")
"""What is kept of TRL's log."""


def earned(environment: ToolEnvironment, reward: str) -> float:
    """What a play earned under a reward; 0 where nothing was submitted."""
    parts: Mapping[str, float] = environment.info.get("reward_components", {})
    return parts.get(reward, 0.0)


class Examiner(TrainerCallback):
    """Notes what every play of an examination earned; to the trainer, a reward that pays nothing.

    Args:
        examined: is given each examination.
    """

    __name__ = "examiner"  # TRL logs rewards by name

    def __init__(self, examined: Callable[[Exam], None]) -> None:
        self._examined = examined
        self._plays: list[tuple[str, float, int]] = []

    def __call__(
        self,
        environments: Sequence[ToolEnvironment],
        task: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        **_: Any,
    ) -> list[float]:
        """Note some plays."""
        for played, name, tokens in zip(environments, task, completion_ids, strict=True):
            self._plays.append((name, earned(played, "graded"), len(tokens)))
        return [0.0] * len(environments)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._plays.clear()  # they were practice

    def on_evaluate(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        plays, self._plays = self._plays, []
        graded: dict[str, list[float]] = {}
        for name, score, _tokens in plays:
            graded.setdefault(name, []).append(score)
        self._examined(
            Exam(
                steps=state.global_step,
                graded=graded,
                tokens=fmean(tokens for _, _, tokens in plays),
            )
        )


class Logbook(TrainerCallback):
    """Keeps what TRL logs of its training, instead of printing it."""

    def __init__(self, kept: list[dict[str, float]]) -> None:
        self._kept = kept

    def on_log(self, _args: Any, state: Any, *_: Any, logs: Any = None, **__: Any) -> None:
        if logs and "reward" in logs:
            kept = {name: float(logs[name]) for name in LOGGED if name in logs}
            self._kept.append({"steps": state.global_step, **kept})


class Dealer:
    """The control: every rollout is paid what a rollout of another task earned."""

    __name__ = "dealer"

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def __call__(self, environments: Sequence[ToolEnvironment], **_: Any) -> list[float]:
        """Rewards of whole groups, moved to other groups and mixed within each."""
        rewards = [earned(played, RESET["reward"]) for played in environments]
        away = GROUP * self._draw.randrange(1, max(len(rewards) // GROUP, 2))
        dealt = rewards[away:] + rewards[:away]
        groups = [dealt[first : first + GROUP] for first in range(0, len(dealt), GROUP)]
        return [each for group in groups for each in self._draw.sample(group, len(group))]


def practise(
    model: Any,
    tokeniser: Any,
    plan: Plan,
    stage: Stage,
    *,
    folder: Path,
    changed: Callable[[], None],
) -> None:
    """Train a model in place, with short examinations between.

    Args:
        model: what learns.
        tokeniser: of the model.
        plan: how, and what to examine with.
        stage: whose player it is; its curve and its practice are filled in.
        folder: for the trainer's files.
        changed: is called when the stage has changed.
    """

    def note(exam: Exam) -> None:
        if exam.steps < plan.practice.steps:  # the last point is the final examination's
            stage.curve.append(exam)
            changed()

    trainer = _trainer(model, tokeniser, plan, stage, note, folder, plays=1)
    trainer.add_callback(Logbook(stage.practice))
    trainer.train()


def examine(
    model: Any, tokeniser: Any, plan: Plan, stage: Stage, folder: Path, *, greedy: bool = False
) -> Exam:
    """One examination of a model, which learns nothing; the arguments are those of `practise`.

    `greedy` plays the likeliest token each time, and so each task once.
    """
    exams: list[Exam] = []
    trainer = _trainer(
        model,
        tokeniser,
        plan,
        stage,
        exams.append,
        folder,
        plays=1 if greedy else PLAYS,
        greedy=greedy,
    )
    trainer.evaluate()
    return exams[0]


def _trainer(
    model: Any,
    tokeniser: Any,
    plan: Plan,
    stage: Stage,
    examined: Callable[[Exam], None],
    folder: Path,
    *,
    plays: int,
    greedy: bool = False,
) -> Any:
    """TRL's trainer, which also examines: `plays` of each held-out task."""
    practice = plan.practice
    made: type[ToolEnvironment] = environment_class(split="train", reset=RESET)
    rewards: list[Any] = []
    if stage.player == SHUFFLED:
        # Without a reward of its own TRL takes the dealt one alone.
        made = type(made.__name__, (made,), {"get_reward": None})
        rewards.append(Dealer(stage.seed))
    examiner = Examiner(examined)
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokeniser,
        train_dataset=build_dataset_from_rows(rows_of("train", plan.level)[plan.lessons.traces :]),
        eval_dataset=build_dataset_from_rows(rows_of("validation", plan.level)[: plan.held_out]),
        environment_factory=made,
        reward_funcs=[*rewards, examiner],
        callbacks=[examiner],
        args=GRPOConfig(
            output_dir=str(folder),
            reward_weights=[*(1.0 for _ in rewards), 0.0],
            per_device_train_batch_size=practice.batch,
            per_device_eval_batch_size=EXAMINED,
            steps_per_generation=practice.together,
            num_generations=GROUP,
            num_generations_eval=plays,
            max_completion_length=practice.tokens,
            generation_kwargs={"max_new_tokens": practice.tokens_of_turn},
            max_tool_calling_iterations=TURNS,
            top_k=1 if greedy else 0,
            max_steps=practice.steps,
            optim="adamw_torch",
            learning_rate=practice.learning_rate,
            lr_scheduler_type="constant",
            # The last examination is held apart, with more plays.
            eval_strategy="steps" if practice.exam_every < practice.steps else "no",
            eval_steps=practice.exam_every,
            logging_steps=max(practice.exam_every // 5, 1),
            use_cpu=not torch.cuda.is_available(),
            bf16=False,
            gradient_checkpointing=False,
            seed=stage.seed,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
