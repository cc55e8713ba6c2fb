"""`metric-tracker certify`: prove a range of seeds fair, over all cores or a Ray cluster."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from metric_tracker_rl.engine.certificate import Certificate, certificate_from, certify_many, grid
from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.levels import LEVELS
from openenv_kit.errors import UnknownNameError, require_name
from openenv_kit.play.recording import versions

BATCH = 120
ENGINES = ("processes", "ray")


def certify(
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, from --first on.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    difficulty: Annotated[list[str] | None, typer.Option(help="Only these levels.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one per core.")] = 0,
    engine: Annotated[str, typer.Option(help="processes, or ray (the `ray` extra).")] = ENGINES[0],
    out: Annotated[
        Path | None,
        typer.Option(help="Write one JSON line per episode; a file that is there is gone on with."),
    ] = None,
) -> None:
    """Prove episodes of every family, level and count solvable, unique, clear and caused."""
    try:
        require_name("engine", engine, ENGINES)
        levels = [require_name("difficulty", each, LEVELS) for each in difficulty or LEVELS]
    except UnknownNameError as problem:
        raise typer.BadParameter(str(problem)) from None
    configs = list(grid(range(first, first + seeds), difficulties=levels))
    known = _known(out) if out else {}
    missing = [config for config in configs if config.identity not in known]
    cores = workers or os.cpu_count() or 1
    started = time.perf_counter()
    for each in _kept(_run(missing, cores, engine), out):
        known[each.config.identity] = each
    elapsed = time.perf_counter() - started
    certificates = [known[config.identity] for config in configs]
    console = Console(width=110)
    console.print(_table(certificates))
    failed = [each for each in certificates if not each.holds]
    rows = sum(len(each.rows) for each in certificates)
    undone = sum(each.counterfactual for each in certificates)
    rate = len(missing) / elapsed if missing else 0.0
    console.print(
        f"{len(certificates)} episodes ({len(certificates) - len(missing)} from the file), "
        f"{len(failed)} failed; {undone} of {rows} rows undone with their cause; smallest margin "
        f"{min(each.smallest_margin for each in certificates):.3f} x threshold; mean draws "
        f"{sum(c.draws for c in certificates) / len(certificates):.4f}; {rate:.0f} episodes/s, "
        f"{rate / cores:.0f} per process."
    )
    for each in failed[:10]:
        console.print(f"failed: {each}")
    raise typer.Exit(1 if failed else 0)


def _known(out: Path) -> dict[str, Certificate]:
    """Certificates of an earlier run, by the identity of their episode."""
    if not out.exists():
        return {}
    found: dict[str, Certificate] = {}
    for number, line in enumerate(out.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            told = json.loads(line)
            made_with = told.pop("versions")
            each = certificate_from(told)
        except json.JSONDecodeError:
            continue  # the line that an interrupted run was writing
        except (KeyError, TypeError, ValueError, AttributeError):
            raise typer.BadParameter(f"{out}, line {number}: not a certificate.") from None
        if made_with != versions():
            raise typer.BadParameter(
                f"{out}, line {number}: made under versions {made_with}, these are {versions()}; "
                "name another file."
            )
        found[each.config.identity] = each
    return found


def _kept(certificates: Iterable[Certificate], out: Path | None) -> Iterator[Certificate]:
    """The certificates, each written down as soon as it is there."""
    if out is None:
        yield from certificates
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        if file.tell():
            file.write("\n")  # ends the line that an interrupted run may have left open
        for each in certificates:
            file.write(json.dumps({**each.as_dict(), "versions": versions()}) + "\n")
            yield each


def _run(configs: Sequence[EpisodeConfig], workers: int, engine: str) -> Iterator[Certificate]:
    batches = [configs[i : i + BATCH] for i in range(0, len(configs), BATCH)]
    done = _on_ray(batches) if engine == "ray" else _on_processes(batches, workers)
    console = Console(stderr=True)
    for batch in track(done, "Certifying", len(batches), console=console):
        yield from batch


def _on_processes(
    batches: Sequence[Sequence[EpisodeConfig]], workers: int
) -> Iterator[list[Certificate]]:
    with ProcessPoolExecutor(workers) as pool:
        for job in as_completed([pool.submit(certify_many, batch) for batch in batches]):
            yield job.result()


def _on_ray(batches: Sequence[Sequence[EpisodeConfig]]) -> Iterator[list[Certificate]]:
    """The same unit of work on the Ray cluster that the environment points to, or a local one."""
    try:
        import ray
    except ImportError:
        raise typer.BadParameter(
            "ray is not installed; pip install 'openenv-metric-tracker-rl[ray]'"
        ) from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    certify_there = ray.remote(certify_many)
    waiting = [certify_there.remote(batch) for batch in batches]
    try:
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready)
    finally:
        ray.shutdown()


def _table(certificates: Sequence[Certificate]) -> Table:
    groups: dict[tuple[str, str], list[Certificate]] = defaultdict(list)
    for each in certificates:
        groups[each.config.difficulty, each.config.scenario_family].append(each)
    table = Table(title="Every episode: solved by the reference policy through the tools")
    titles = ("level", "family", "episodes", "1.0", "unique", "guard", "undone", "margin", "draws")
    for title in titles:
        table.add_column(title, justify="left" if title in ("level", "family") else "right")
    levels = list(LEVELS)
    for (difficulty, family), group in sorted(
        groups.items(), key=lambda item: (levels.index(item[0][0]), item[0][1])
    ):
        rows = sum(len(each.rows) for each in group)
        table.add_row(
            difficulty,
            family,
            str(len(group)),
            str(sum(each.score == 1.0 for each in group)),
            str(sum(each.unique for each in group)),
            str(sum(each.guard_violations for each in group)),
            f"{sum(each.counterfactual for each in group)}/{rows}",
            f"{min(each.smallest_margin for each in group):.3f}",
            f"{sum(each.draws for each in group) / len(group):.3f}",
        )
    return table
