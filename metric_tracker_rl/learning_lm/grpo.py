"""GRPO by TRL's own trainer, and examinations by the same rollouts.

Rollouts, tool calls, advantages and updates are TRL's; the environment is the adapter's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from metric_tracker_rl.learning_lm.settings import SHUFFLED, Exam, Plan, Stage
from metric_tracker_rl.learning_lm.traces import RESET
from openenv_kit.trainers.trl import ToolEnvironment, build_dataset, environment_class

TURNS = 2
"""Most answers with tool calls of an episode: one to look, one to submit."""
GROUP = 8
"""Rollouts of a task, whose rewards are compared."""
MIDWAY = 2
"""Plays of a held-out task in an examination between gradient steps."""
EXAMINED = 512
"""Plays of an examination that are played at once."""
LAST_EXAMS = 8.0
"""Time kept for the two examinations at the end, in the longest between gradient steps."""
LOGGED = ("reward", "reward_std", "frac_reward_zero_std", "entropy", "num_tokens")
"""What is kept of TRL's log."""


def earned(environment: ToolEnvironment, reward: str) -> float:
    """What a play earned under a reward; 0 where nothing was submitted."""
    parts: Mapping[str, float] = environment.info.get("reward_components", {})
    return parts.get(reward, 0.0)


class Examiner(TrainerCallback):
    """Notes what every play of an examination earned; to the trainer, a reward that pays nothing.

    Args:
        told: is given each examination.
    """

    __name__ = "examiner"  # TRL logs rewards by name

    def __init__(self, told: Callable[[Exam], None]) -> None:
        self._told, self._began = told, time.time()
        self._plays: list[tuple[str, float, float, int]] = []

    def __call__(
        self,
        environments: Sequence[ToolEnvironment],
        task: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        **_: Any,
    ) -> list[float]:
        """Note some plays."""
        for played, name, tokens in zip(environments, task, completion_ids, strict=True):
            graded, paid = earned(played, "graded"), earned(played, RESET["reward"])
            self._plays.append((name, graded, paid, len(tokens)))
        return [0.0] * len(environments)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._plays.clear()  # they were practice

    def on_evaluate(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        plays, self._plays = self._plays, []
        graded: dict[str, list[float]] = {}
        paid: dict[str, set[float]] = {}
        for name, score, reward, _tokens in plays:
            graded.setdefault(name, []).append(score)
            paid.setdefault(name, set()).add(reward)
        self._told(
            Exam(
                steps=state.global_step,
                seconds=time.time() - self._began,
                graded=graded,
                exact=fmean(float(score == 1.0) for _, score, _, _ in plays),
                equal=fmean(float(len(each) == 1) for each in paid.values()),
                tokens=fmean(tokens for _, _, _, tokens in plays),
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


class Deadline(TrainerCallback):
    """Ends training in time for the examinations that are still to come.

    Args:
        until: time on the clock of `time.time`.
        exams: how many those are, as long as the longest so far.
    """

    def __init__(self, until: float, exams: float) -> None:
        self._until, self._exams = until, exams
        self._longest = 0.0

    def on_evaluate(self, _args: Any, _state: Any, _control: Any, **more: Any) -> None:
        self._longest = max(self._longest, more["metrics"].get("eval_runtime", 0.0))

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        if time.time() + self._exams * self._longest >= self._until:
            control.should_training_stop = True


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
    until: float,
    told: Callable[[], None],
) -> None:
    """Train a model in place, with short examinations before, between and after.

    Args:
        model: what learns.
        tokeniser: of the model.
        plan: how, and what to examine with.
        stage: whose player it is; its curve and its practice are filled in.
        folder: for the trainer's files.
        until: time on the clock of `time.time` by which all examinations are to be over.
        told: is called when the stage has changed.
    """

    def note(exam: Exam) -> None:
        stage.curve.append(exam)
        stage.seconds = exam.seconds
        told()

    trainer = _trainer(model, tokeniser, plan, stage, note, folder, plays=MIDWAY)
    trainer.add_callback(Logbook(stage.practice))
    trainer.add_callback(Deadline(until, LAST_EXAMS))
    trainer.evaluate()
    trainer.train()
    if stage.curve[-1].steps < trainer.state.global_step:
        trainer.evaluate()


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
        plays=1 if greedy else GROUP,
        greedy=greedy,
    )
    trainer.evaluate()
    return exams[0]


def _trainer(
    model: Any,
    tokeniser: Any,
    plan: Plan,
    stage: Stage,
    told: Callable[[Exam], None],
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
    examiner = Examiner(told)
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokeniser,
        train_dataset=build_dataset("train", practice.first, reset=RESET),
        eval_dataset=build_dataset("validation", count=plan.held_out, reset=RESET),
        environment_factory=made,
        reward_funcs=[*rewards, examiner],
        callbacks=[examiner],
        args=GRPOConfig(
            output_dir=str(folder),
            reward_weights=[*(1.0 for _ in rewards), 0.0],
            per_device_train_batch_size=practice.batch,
            per_device_eval_batch_size=EXAMINED,
            steps_per_generation=practice.steps_per_round,
            num_generations=GROUP,
            num_generations_eval=plays,
            max_completion_length=practice.tokens,
            generation_kwargs={"max_new_tokens": practice.tokens_of_turn},
            max_tool_calling_iterations=TURNS,
            top_k=1 if greedy else 0,
            max_steps=practice.steps,
            learning_rate=practice.learning_rate,
            lr_scheduler_type="constant",
            eval_strategy="steps",
            eval_steps=practice.exam_every,
            logging_steps=practice.exam_every,
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
