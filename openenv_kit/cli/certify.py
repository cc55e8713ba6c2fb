"""`metric-tracker certify`: prove a range of seeds fair, over all cores or a Ray cluster."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import (
    EnvironmentName,
    Reset,
    Workers,
    table_of,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, require_name
from openenv_kit.play.split_rows import assignment
from openenv_kit.trust.certify import ENGINES, PROCESSES, certified, certifier_of


def certify(
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, from --first on.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    difficulty: Annotated[list[str] | None, typer.Option(help="Only these levels.")] = None,
    reset: Reset = None,
    workers: Workers = 0,
    engine: Annotated[str, typer.Option(help="processes, or ray (the `ray` extra).")] = PROCESSES,
    out: Annotated[
        Path | None,
        typer.Option(help="Write one JSON line per episode."),
    ] = None,
    environment: EnvironmentName = None,
) -> None:
    """Prove that episodes can be solved from what the tools show, and have one right answer."""
    chosen = get_environment(environment)
    certifier = certifier_of(chosen)
    require_name("engine", engine, ENGINES)
    usual = getattr(certifier, "usual_levels", certifier.levels)
    levels = [require_name("difficulty", n, certifier.levels) for n in difficulty or usual]
    further: dict[str, Any] = {"reset": dict(map(assignment, reset))} if reset else {}
    if further and "reset" not in inspect.signature(certifier.grid).parameters:
        raise ConfigurationError(f"certificates of {chosen.name} take no --reset.")
    units = list(certifier.grid(range(first, first + seeds), difficulties=levels, **further))
    made = certified(chosen.name, units, workers or os.cpu_count() or 1, engine)
    certificates = list(track(made, "Certifying", len(units), console=Console(stderr=True)))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        found = ({**each.as_dict(), "versions": dict(chosen.versions)} for each in certificates)
        out.write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    console = Console(width=110)
    title = "Every episode: solved by the reference policy through the tools"
    console.print(table_of(title, *certifier.table(certificates), names=2))
    failed = [each for each in certificates if not each.holds]
    summary = certifier.summary(certificates)
    console.print(f"{len(certificates)} episodes, {len(failed)} failed; {summary}.")
    for each in failed[:10]:
        console.print(f"failed: {each}")
    raise typer.Exit(1 if failed else 0)
