"""`metric-tracker certify`: prove a range of seeds fair, over all cores or a Ray cluster."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import (
    EnvironmentOption,
    ResetOption,
    WorkersOption,
    build_table,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.reset_arguments import parse_reset_argument
from openenv_kit.trust.certify import ENGINES, PROCESSES, iter_certificates, require_certifier


def certify(
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, from --first on.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    difficulty: Annotated[list[str] | None, typer.Option(help="Only these levels.")] = None,
    reset: ResetOption = None,
    workers: WorkersOption = 0,
    engine: Annotated[str, typer.Option(help="processes, or ray (the `ray` extra).")] = PROCESSES,
    out: Annotated[
        Path | None,
        typer.Option(help="Write one JSON line per episode, as soon as it is certified."),
    ] = None,
    environment: EnvironmentOption = None,
) -> None:
    """Prove that episodes can be solved from what the tools show, and have one right answer."""
    chosen = get_environment(environment)
    certifier = require_certifier(chosen)
    require_name("engine", engine, ENGINES)
    requested_levels = difficulty or certifier.default_levels
    levels = [require_name("difficulty", name, certifier.levels) for name in requested_levels]
    further = dict(map(parse_reset_argument, reset or ()))
    chosen_seeds = range(first, first + seeds)
    units = list(
        certifier.iter_configurations(chosen_seeds, levels=levels, extra_reset_arguments=further)
    )
    made = iter_certificates(chosen.name, units, workers or os.cpu_count() or 1, engine)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
    proofs = []
    with out.open("w", encoding="utf-8") if out else nullcontext() as file:
        for each in track(made, "Certifying", len(units), console=Console(stderr=True)):
            proofs.append(each)
            if file:
                line = {**each.as_dict(), "versions": dict(chosen.versions)}
                print(json.dumps(line), file=file, flush=True)
    console = Console(width=110)
    console.print(
        build_table(
            "Solved by the reference", *certifier.certificate_table(proofs), text_column_count=2
        )
    )
    failed = [each for each in proofs if not each.holds]
    console.print(f"{len(proofs)} episodes, {len(failed)} failed; {certifier.summarize(proofs)}.")
    for each in failed[:10]:
        console.print(f"failed: {each}")
    raise typer.Exit(1 if failed else 0)
