"""Runs a plan: trains the players and plays the held-out tasks, each in a process of its own.

Each job writes one file. An interrupted run is continued by starting it again, which skips the jobs
whose file exists.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from research.learning_lm.jobs import play_task_set, prepare_base_model, train_player
from research.learning_lm.records import MODELS_FOLDER, TRAINER_FOLDER, played_path, training_path
from research.learning_lm.settings import Plan, Player, TaskSet

POLL_INTERVAL_S = 5.0


@dataclass(frozen=True)
class Job:
    """One step of a run.

    Attributes:
        name: name that is shown while it runs.
        result: file that exists when the job is done.
        needs: files that must exist before it can start.
        run: what to do.
        arguments: arguments of `run`.
    """

    name: str
    result: Path
    needs: tuple[Path, ...]
    run: Callable[..., None]
    arguments: tuple[object, ...]


def list_jobs(plan: Plan, folder: Path) -> list[Job]:
    """Return the jobs of a plan, the most important first."""
    base = folder / MODELS_FOLDER / Player.BASE / "config.json"
    jobs = [Job("base model", base, (), prepare_base_model, (folder,))]
    needs_of_training = {
        Player.SFT: base,
        Player.GRPO: training_path(folder, Player.SFT),
        Player.GRPO_SHUFFLED: training_path(folder, Player.SFT),
        # It is trained for as much CPU time as GRPO.
        Player.SFT_CONTINUED: training_path(folder, Player.GRPO),
    }
    for player, needed in needs_of_training.items():
        if player in plan.players:
            path = training_path(folder, player)
            jobs.append(
                Job(f"train {player}", path, (needed,), train_player, (plan, folder, player))
            )
    for player, task_set, count in _iter_examinations(plan):
        needed = training_path(folder, player) if player in needs_of_training else base
        path = played_path(folder, player, task_set)
        arguments = (plan, folder, player, task_set, count)
        jobs.append(Job(f"play {player} {task_set}", path, (needed,), play_task_set, arguments))
    return jobs


def _iter_examinations(plan: Plan) -> Iterator[tuple[Player, TaskSet, int]]:
    """Yield player, task set and number of tasks, those of the primary comparison first."""
    trained = (Player.GRPO, Player.SFT_CONTINUED, Player.SFT, Player.GRPO_SHUFFLED)
    both = (Player.GRPO, Player.SFT)
    examinations = [
        *((player, TaskSet.TEST, plan.test_tasks) for player in (*trained, Player.PATTERN_TABLE)),
        *((player, TaskSet.REPLACED_CALENDAR, plan.replaced_tasks) for player in both),
        (Player.BASE, TaskSet.TEST, plan.base_test_tasks),
        *((player, TaskSet.NEXT_RUNG, plan.next_rung_tasks) for player in both),
        *((player, TaskSet.FLIGHTS_TWIN, plan.flights_tasks) for player in both),
    ]
    for player, task_set, count in examinations:
        if count and player in plan.players:
            yield player, task_set, count


def run_plan(
    plan: Plan, folder: Path, workers: int, report_progress: Callable[[list[str]], None]
) -> None:
    """Run all jobs of a plan whose results do not exist.

    Args:
        plan: the plan.
        folder: folder of the results.
        workers: number of processes, each with one thread.
        report_progress: function that is called every few seconds with a line for each running job.
    """
    # A process that has been forked cannot use the threads of torch.
    context = multiprocessing.get_context("spawn")
    running: dict[Future[None], Job] = {}
    with ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as pool:
        while True:
            missing = [job for job in list_jobs(plan, folder) if not job.result.exists()]
            active = list(running.values())
            for job in missing:
                can_start = all(path.exists() for path in job.needs)
                if can_start and job not in active and len(running) < workers:
                    running[pool.submit(job.run, *job.arguments)] = job
            if not running:
                break
            report_progress([_describe_progress(folder, job) for job in running.values()])
            done, _ = wait(running, POLL_INTERVAL_S, FIRST_COMPLETED)
            for future in done:
                future.result()
                del running[future]
    shutil.rmtree(folder / TRAINER_FOLDER, ignore_errors=True)


def _describe_progress(folder: Path, job: Job) -> str:
    path = folder / "progress" / f"{job.result.stem}.txt"
    return f"{job.name}: {path.read_text() if path.exists() else 'starting'}"
