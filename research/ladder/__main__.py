"""`python -m research.ladder`: certifies that each rung of the funnel has to be read."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS, RUNGS_VERSION
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli.common import WorkersOption, build_table, report_usage_errors
from openenv_kit.errors import require_name
from research.ladder.certificate import RungCertificate, certify_rung

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

RESULTS = Path(__file__).with_name("certificates.json")
COLUMNS = ("rung", "reference", "table", "table without explained", "of another", "ignored")


@app.command()
def certify_rungs(
    rung: Annotated[
        list[str] | None, typer.Option(help="Only this rung; may be repeated. Default: all.")
    ] = None,
    out: Annotated[Path, typer.Option(help="JSON file, in which rungs are replaced.")] = RESULTS,
    test_tasks: Annotated[int | None, typer.Option(min=2, help="Default: all.")] = None,
    training_tasks: Annotated[int | None, typer.Option(min=1, help="Default: all.")] = None,
    workers: WorkersOption = 1,
) -> None:
    """Certify rungs. The exit code is 1 if a rung misses a bound."""
    with report_usage_errors():
        rungs = [require_name("rung", name, RUNG_LEVELS) for name in rung or RUNG_LEVELS]
    certify = partial(certify_rung, test_tasks=test_tasks, training_tasks=training_tasks)
    certificates = []
    with ProcessPoolExecutor(workers or None) as pool:
        for certificate in pool.map(certify, rungs):
            certificates.append(certificate)
            _write_certificate(out, certificate)
    rows = [_format_row(certificate) for certificate in certificates]
    Console(width=110).print(build_table("Share of exact reports on test tasks", COLUMNS, rows))
    missed = [text for certificate in certificates for text in certificate.list_missed_bounds()]
    for text in missed:
        typer.echo(text)
    if missed:
        raise typer.Exit(1)


def _write_certificate(path: Path, certificate: RungCertificate) -> None:
    """Replace the certificate of one rung in a file. Those of other versions are dropped."""
    by_rung: dict[str, Any] = {}
    if path.exists():
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["versions"] == current_versions():
            by_rung = {fields["rung"]: fields for fields in document["rungs"]}
    by_rung[certificate.rung] = certificate.as_json()
    rungs = [by_rung[name] for name in RUNG_LEVELS if name in by_rung]
    document = {"versions": current_versions(), "rungs": rungs}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


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
