"""`metric-tracker certify`: prove a range of seeds solvable, over all cores."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from metric_tracker_rl.certificate import Certificate, certify_many, grid
from metric_tracker_rl.config import EpisodeConfig

BATCH = 120


def certify(
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, from --first on.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one per core.")] = 0,
) -> None:
    """Play the reference policy on every family, difficulty and count; all must score 1.0."""
    configs = list(grid(range(first, first + seeds)))
    started = time.perf_counter()
    certificates = list(_run(configs, workers or os.cpu_count() or 1))
    elapsed = time.perf_counter() - started
    console = Console()
    console.print(_table(certificates))
    failed = [each for each in certificates if not each.holds]
    console.print(
        f"{len(certificates)} episodes, {len(failed)} failed, mean draws per episode "
        f"{sum(c.draws for c in certificates) / len(certificates):.4f}, "
        f"{len(certificates) / elapsed:.0f} episodes/s."
    )
    for each in failed[:10]:
        console.print(f"failed: {each}")
    raise typer.Exit(1 if failed else 0)


def _run(configs: Sequence[EpisodeConfig], workers: int) -> Iterator[Certificate]:
    batches = [configs[i : i + BATCH] for i in range(0, len(configs), BATCH)]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(certify_many, batch) for batch in batches]
        console = Console(stderr=True)
        for job in track(as_completed(jobs), "Certifying", len(jobs), console=console):
            yield from job.result()


def _table(certificates: Sequence[Certificate]) -> Table:
    groups: dict[tuple[str, str], list[Certificate]] = defaultdict(list)
    for each in certificates:
        groups[each.config.difficulty, each.config.scenario_family].append(each)
    table = Table(title="Reference policy, playing through the tools")
    for title in ("difficulty", "family", "episodes", "score 1.0", "guard", "draws", "steps"):
        table.add_column(title, justify="left" if title in ("difficulty", "family") else "right")
    for (difficulty, family), group in sorted(groups.items()):
        table.add_row(
            difficulty,
            family,
            str(len(group)),
            str(sum(each.score == 1.0 for each in group)),
            str(sum(each.guard_violations for each in group)),
            f"{sum(each.draws for each in group) / len(group):.3f}",
            f"{sum(each.steps for each in group) / len(group):.1f}",
        )
    return table
