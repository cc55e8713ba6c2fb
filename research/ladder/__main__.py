"""`python -m research.ladder`: certifies that each rung of the funnel has to be read."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS, RUNGS_VERSION
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli.common import WorkersOption, build_table
from research.ladder.certificate import RungCertificate, certify_rung

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

RESULTS = Path(__file__).with_name("certificates.json")
COLUMNS = ("rung", "reference", "table", "table without explained", "of another", "ignored")


@app.command()
def certify_rungs(
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = RESULTS,
    test_tasks: Annotated[int | None, typer.Option(min=2, help="Default: all.")] = None,
    training_tasks: Annotated[int | None, typer.Option(min=1, help="Default: all.")] = None,
    workers: WorkersOption = 1,
) -> None:
    """Certify every rung. The exit code is 1 if a rung misses a bound."""
    certify = partial(certify_rung, test_tasks=test_tasks, training_tasks=training_tasks)
    with ProcessPoolExecutor(workers or None) as pool:
        certificates = list(pool.map(certify, RUNG_LEVELS))
    document = {
        "versions": current_versions(),
        "rungs": [certificate.as_json() for certificate in certificates],
    }
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    rows = [_format_row(certificate) for certificate in certificates]
    Console(width=110).print(build_table("Share of exact reports on test tasks", COLUMNS, rows))
    missed = [text for certificate in certificates for text in certificate.list_missed_bounds()]
    for text in missed:
        typer.echo(text)
    if missed:
        raise typer.Exit(1)


def current_versions() -> dict[str, str]:
    """Return the versions that determine the certificates."""
    return {**ENVIRONMENT.versions, "rungs": RUNGS_VERSION}


def _format_row(certificate: RungCertificate) -> tuple[str, ...]:
    tools = certificate.tools.items()
    shares = (
        certificate.reference,
        certificate.pattern_table,
        certificate.table_without_explained,
    )
    return (
        certificate.rung,
        *(f"{share:.3f}" for share in shares),
        ", ".join(f"{name} {tool.result_of_another_episode:.3f}" for name, tool in tools),
        ", ".join(f"{name} {tool.ignored:.3f}" for name, tool in tools),
    )


if __name__ == "__main__":
    app()
