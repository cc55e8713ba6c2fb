"""A TRL training of a tiny transformer on lean episodes, as a program.

`run_training` starts it with one or more ranks on the CPU, and it can kill itself. Every rank
writes the tasks that it starts to `rank-N.jsonl` in the output folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from support.paths import ROOT, TESTS

STAGE_COUNT = 3
TASK_COUNT = 64
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class TinyTraining:
    """Settings of a training.

    Attributes:
        folder: output folder.
        max_steps: number of steps.
        ranks: number of processes.
        batch: rollouts in one pass of a rank.
        passes: passes of a step.
        group: rollouts of a group.
        has_curriculum: whether a curriculum chooses the level; otherwise all tasks are rung_1.
        should_resume: whether to continue from the last checkpoint.
        killed_in_step: step, from 1, in which the process kills itself; 0 for none.
        is_killed_in_rollout: whether it does so during a rollout, and not before the first.
        base_url: URL of the server to play on; empty to play in the process.
    """

    folder: str
    max_steps: int
    ranks: int = 1
    batch: int = 2
    passes: int = 1
    group: int = 2
    has_curriculum: bool = False
    should_resume: bool = False
    killed_in_step: int = 0
    is_killed_in_rollout: bool = False
    base_url: str = ""


class StartedTask(NamedTuple):
    """A task that a rank started in a step; steps count from 1."""

    step: int
    task: str


def run_training(training: TinyTraining) -> subprocess.CompletedProcess[str]:
    """Run a training in new processes and return the finished command."""
    launcher = (
        [
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(training.ranks),
        ]
        if training.ranks > 1
        else []
    )
    return subprocess.run(
        [
            sys.executable,
            *launcher,
            "-m",
            "support.tiny_training",
            json.dumps(asdict(training)),
        ],
        cwd=TESTS,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def read_started_tasks(folder: Path | str, rank: int = 0) -> list[StartedTask]:
    """Return the tasks that a rank started, in order."""
    lines = (Path(folder) / f"rank-{rank}.jsonl").read_text(encoding="utf-8").splitlines()
    return [StartedTask(*json.loads(line)) for line in lines]


def train(training: TinyTraining) -> None:
    """Run the training in this process."""
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from openenv_kit.rollouts.curriculum import Curriculum
    from openenv_kit.trainers.trl import build_dataset, environment_class
    from openenv_kit.trainers.trl_curriculum import CurriculumCallback
    from openenv_kit.trainers.trl_monitor import RolloutMonitor
    from support.tiny_transformer import MAX_TOKENS, build_scripted_model, build_tokenizer

    lean = {"profile": "lean"}
    base_url = training.base_url or None
    monitor = RolloutMonitor()
    callbacks: list[TrainerCallback] = [monitor]
    if training.has_curriculum:
        stages = [{"split": f"train_rung_{n + 1}", **lean} for n in range(STAGE_COUNT)]
        curriculum = CurriculumCallback(Curriculum(stages, window=2), base_url=base_url)
        callbacks.append(curriculum)
        played_class, dataset = curriculum.environment_class(), curriculum.build_dataset(TASK_COUNT)
    else:
        played_class = environment_class(split="train", reset=lean, base_url=base_url)
        dataset = build_dataset("train", 0, TASK_COUNT, reset=lean, level="rung_1")
    log_path = Path(training.folder) / f"rank-{os.environ.get('RANK', '0')}.jsonl"
    current_step = 1

    class StepCounter(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            nonlocal current_step
            current_step = state.global_step + 1
            if current_step == training.killed_in_step and not training.is_killed_in_rollout:
                os.kill(os.getpid(), signal.SIGKILL)

    class LoggedEnvironment(played_class):  # type: ignore[misc, valid-type]
        def reset(self, **row: Any) -> str:
            message = str(super().reset(**row))
            task = self._episode._client.state()["task_id"]
            with log_path.open("a", encoding="utf-8") as log:
                log.write(json.dumps([current_step, task]) + "\n")
            return message

        def scan(self, **arguments: Any) -> str:
            result = str(super().scan(**arguments))
            if current_step == training.killed_in_step and training.is_killed_in_rollout:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

    LoggedEnvironment.scan.__doc__ = played_class.scan.__doc__
    LoggedEnvironment.scan.__signature__ = played_class.scan.__signature__  # type: ignore[attr-defined]
    LoggedEnvironment.scan.__annotations__ = played_class.scan.__annotations__
    tokenizer = build_tokenizer(["metric_tracker_rl"])
    trainer = GRPOTrainer(
        model=build_scripted_model(tokenizer, "reference"),
        processing_class=tokenizer,
        train_dataset=dataset,
        environment_factory=LoggedEnvironment,
        reward_funcs=[monitor],
        callbacks=[*callbacks, StepCounter()],
        args=GRPOConfig(
            output_dir=training.folder,
            max_steps=training.max_steps,
            per_device_train_batch_size=training.batch,
            gradient_accumulation_steps=training.passes,
            num_generations=training.group,
            max_completion_length=MAX_TOKENS,
            max_tool_calling_iterations=16,
            save_strategy="steps",
            save_steps=1,
            logging_steps=1,
            beta=0.0,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.train(resume_from_checkpoint=training.should_resume)


if __name__ == "__main__":
    train(TinyTraining(**json.loads(sys.argv[1])))
