"""The experiment: players and seeds, a process each, and what came out.

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
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from research.learning_lm.settings import (
    ARMS,
    SUPERVISED,
    UNTRAINED,
    Exam,
    Plan,
    Stage,
)

TOKENISED = 200
"""Traces that the tokeniser is made from."""
POLL = 5.0
"""Seconds between two looks at what the processes have written."""


def run_plan(plan: Plan, out: Path, workers: int) -> Iterator[list[Stage]]:
    """Make every player of a plan that is not finished.

    Yields:
        All players so far, every few seconds and at the end.
    """
    out.mkdir(parents=True, exist_ok=True)
    first = [(SUPERVISED, seed) for seed in plan.seeds]
    then = [(arm, seed) for seed in plan.seeds for arm in ARMS]
    # CUDA does not survive a fork.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for jobs in (first, then):
            pending: set[Future[None]] = {
                pool.submit(run_one, plan, out, player, seed)
                for player, seed in jobs
                if not _finished(out, player, seed)
            }
            while pending:
                done, pending = wait(pending, POLL)
                for job in done:
                    job.result()
                yield read_stages(out)
    yield read_stages(out)


def run_one(plan: Plan, out: Path, player: str, seed: int) -> None:
    """Make one player on one core, and for a supervised one the untrained player it began as.

    Args:
        plan: what to run.
        out: folder of the run.
        player: a supervised one, or one of an arm, whose supervised player is in the folder.
        seed: of the model.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    # Matrices this small gain nothing from a second core; another player does.
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    disable_progress_bar()
    set_verbosity_error()  # it would recommend kernels for GPUs
    (_teach if player == SUPERVISED else _practise)(plan, out, Stage(player, seed))


def _teach(plan: Plan, out: Path, stage: Stage) -> None:
    """The untrained and the supervised player of a seed."""
    from research.learning_lm.supervised import (
        device,
        examples_of,
        learn_from,
        make_model,
    )
    from research.learning_lm.tokeniser import make_tokeniser
    from research.learning_lm.traces import traces_for

    seed = stage.seed
    traces = traces_for(plan.lessons, plan.level, seed)
    tokeniser = make_tokeniser(traces[:TOKENISED])
    model = make_model(tokeniser, plan.shape, seed).to(device())
    _examine(Stage(UNTRAINED, seed), plan, out, model, tokeniser)
    with _timed(stage):
        examples = examples_of(tokeniser, traces)
        losses = list(learn_from(model, examples, plan.lessons, seed))
    every = max(len(losses) // 20, 1)
    stage.losses = [fmean(losses[first : first + every]) for first in range(0, len(losses), every)]
    model.save_pretrained(_folder(out, stage))
    tokeniser.save_pretrained(_folder(out, stage))
    _examine(stage, plan, out, model, tokeniser)


def _practise(plan: Plan, out: Path, stage: Stage) -> None:
    """The player of an arm, which begins as the supervised one."""
    from research.learning_lm.grpo import practise
    from research.learning_lm.supervised import load

    before, folder = Stage(SUPERVISED, stage.seed), _folder(out, stage)
    model, tokeniser = load(_folder(out, before))
    if start := _read(_file(out, before)).sampled:
        stage.curve.append(start)
    changed = partial(_write, out, stage)
    with _timed(stage):
        practise(model, tokeniser, plan, stage, folder=folder, changed=changed)
    model.save_pretrained(folder)
    tokeniser.save_pretrained(folder)
    _examine(stage, plan, out, model, tokeniser, plan.practice.steps)


@contextmanager
def _timed(stage: Stage) -> Iterator[None]:
    began, used = time.time(), time.process_time()
    yield
    stage.seconds, stage.cpu_seconds = time.time() - began, time.process_time() - used


def _examine(
    stage: Stage, plan: Plan, out: Path, model: Any, tokeniser: Any, steps: int = 0
) -> None:
    """Hold both final examinations, after some steps of GRPO."""
    from research.learning_lm.grpo import examine

    folder = _folder(out, stage)
    stage.sampled = replace(examine(model, tokeniser, plan, stage, folder), steps=steps)
    if steps:
        stage.curve.append(stage.sampled)
    _write(out, stage)
    stage.greedy = examine(model, tokeniser, plan, stage, folder, greedy=True)
    _write(out, stage)


def read_stages(out: Path) -> list[Stage]:
    """Every player that a folder holds, finished or not."""
    return [_read(path) for path in sorted(out.glob("*/*/stage.json"))]


def _read(path: Path) -> Stage:
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["curve"] = [Exam(**exam) for exam in fields["curve"]]
    for name in ("sampled", "greedy"):
        fields[name] = fields[name] and Exam(**fields[name])
    return Stage(**fields)


def _write(out: Path, stage: Stage) -> None:
    path = _file(out, stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place: the parent process reads it at any time.
    half = path.with_suffix(".half")
    half.write_text(json.dumps(asdict(stage)) + "\n", encoding="utf-8")
    half.replace(path)


def _finished(out: Path, player: str, seed: int) -> bool:
    path = _file(out, Stage(player, seed))
    return path.is_file() and _read(path).finished


def _folder(out: Path, stage: Stage) -> Path:
    return out / f"seed-{stage.seed}" / stage.player


def _file(out: Path, stage: Stage) -> Path:
    return _folder(out, stage) / "stage.json"
