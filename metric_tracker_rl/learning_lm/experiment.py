"""The experiment: players and seeds, in processes that end in time, and what came out.

For each seed a model is made, examined and taught by traces; from there two arms go on, GRPO and
its control. Every player leaves a file of its own while it learns, so that a run that was cut short
has results, and the next one with the same folder makes only what is not finished.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from metric_tracker_rl.learning_lm.settings import (
    ARMS,
    SUPERVISED,
    UNTRAINED,
    Exam,
    Plan,
    Stage,
)

TOKENISED = 200
"""Traces that the tokeniser is made from."""
TEACHING = 0.25
"""Most of the time that supervised lessons may take."""
POLL = 5.0
"""Seconds between two looks at what the processes have written."""


def run_plan(plan: Plan, out: Path, workers: int) -> Iterator[list[Stage]]:
    """Make every player of a plan.

    Yields:
        All players so far, every few seconds and at the end.
    """
    until = time.time() + 60.0 * plan.minutes
    out.mkdir(parents=True, exist_ok=True)
    first = [(SUPERVISED, seed) for seed in plan.seeds]
    then = [(arm, seed) for seed in plan.seeds for arm in ARMS]
    # CUDA does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        for jobs in (first, then):
            threads = max((os.cpu_count() or 1) // min(len(jobs), workers), 1)
            todo = [job for job in jobs if not _finished(out, *job)]
            pending: set[Future[None]] = {
                pool.submit(run_one, plan, out, player, seed, until, threads)
                for player, seed in todo
            }
            while pending:
                done, pending = wait(pending, POLL)
                for job in done:
                    job.result()
                yield read_stages(out)
    yield read_stages(out)


def run_one(plan: Plan, out: Path, player: str, seed: int, until: float, threads: int) -> None:
    """Make one player, and for a supervised one the untrained player it began as.

    Args:
        plan: what to run.
        out: folder of the run.
        player: a supervised one, or one of an arm, whose supervised player is in the folder.
        seed: of the model.
        until: time on the clock of `time.time` by which to have ended.
        threads: processor cores to use.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
    disable_progress_bar()
    if player == SUPERVISED:
        _teach(plan, out, seed, until)
    else:
        _practise(plan, out, player, seed, until)


def _teach(plan: Plan, out: Path, seed: int, until: float) -> None:
    """The untrained and the supervised player of a seed."""
    from metric_tracker_rl.learning_lm.supervised import (
        device,
        examples_of,
        learn_from,
        make_model,
    )
    from metric_tracker_rl.learning_lm.tokeniser import make_tokeniser
    from metric_tracker_rl.learning_lm.traces import traces_for

    traces = traces_for(plan.lessons, seed)
    tokeniser = make_tokeniser(traces[:TOKENISED])
    model = make_model(tokeniser, plan.shape, seed).to(device())
    _examine(Stage(UNTRAINED, seed), plan, out, model, tokeniser)
    stage, began = Stage(SUPERVISED, seed), time.time()
    examples = examples_of(tokeniser, traces)
    end = min(time.time() + TEACHING * 60.0 * plan.minutes, until)
    losses = list(learn_from(model, examples, plan.lessons, seed, end))
    every = max(len(losses) // 20, 1)
    stage.losses = [fmean(losses[first : first + every]) for first in range(0, len(losses), every)]
    stage.seconds = time.time() - began
    model.save_pretrained(_folder(out, SUPERVISED, seed))
    tokeniser.save_pretrained(_folder(out, SUPERVISED, seed))
    _examine(stage, plan, out, model, tokeniser)


def _practise(plan: Plan, out: Path, arm: str, seed: int, until: float) -> None:
    """The player of an arm, which begins as the supervised one."""
    from metric_tracker_rl.learning_lm.grpo import practise
    from metric_tracker_rl.learning_lm.supervised import load

    model, tokeniser = load(_folder(out, SUPERVISED, seed))
    stage, folder = Stage(arm, seed), _folder(out, arm, seed)
    practise(
        model,
        tokeniser,
        plan,
        stage,
        folder=folder,
        until=until,
        told=partial(_write, out, stage),
    )
    model.save_pretrained(folder)
    tokeniser.save_pretrained(folder)
    _examine(stage, plan, out, model, tokeniser)


def _examine(stage: Stage, plan: Plan, out: Path, model: Any, tokeniser: Any) -> None:
    """Hold both final examinations."""
    from metric_tracker_rl.learning_lm.grpo import examine

    folder = _folder(out, stage.player, stage.seed)
    stage.sampled = examine(model, tokeniser, plan, stage, folder)
    _write(out, stage)
    stage.greedy = examine(model, tokeniser, plan, stage, folder, greedy=True)
    _write(out, stage)


def read_stages(out: Path) -> list[Stage]:
    """Every player that a folder holds, finished or not."""
    return [_read(path) for path in sorted(out.glob("*/*/stage.json"))]


def _read(path: Path) -> Stage:
    told = json.loads(path.read_text(encoding="utf-8"))
    told["curve"] = [Exam(**exam) for exam in told["curve"]]
    for name in ("sampled", "greedy"):
        told[name] = told[name] and Exam(**told[name])
    return Stage(**told)


def _write(out: Path, stage: Stage) -> None:
    path = _folder(out, stage.player, stage.seed) / "stage.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place: the parent process reads it at any time.
    half = path.with_suffix(".half")
    half.write_text(json.dumps(asdict(stage)) + "\n", encoding="utf-8")
    half.replace(path)


def _finished(out: Path, player: str, seed: int) -> bool:
    path = _folder(out, player, seed) / "stage.json"
    return path.is_file() and _read(path).finished


def _folder(out: Path, player: str, seed: int) -> Path:
    return out / f"seed-{seed}" / player
