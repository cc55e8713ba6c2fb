"""`metric-tracker certify`: certifies a range of seeds on all cores or on a Ray cluster."""

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
    ProductOption,
    ResetOption,
    WorkersOption,
    build_table,
    exit_with_result,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.own_data.product_argument import get_product_reset_arguments
from openenv_kit.reset_arguments import parse_reset_argument
from openenv_kit.trust.certify import CertificationEngine, iter_certificates, require_certifier

TABLE_WIDTH = 110
"""Width of the table, in characters."""
MAX_PRINTED_FAILURES = 10


def certify(
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, from --first on.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    difficulty: Annotated[
        list[str] | None,
        typer.Option(help="Only these levels; may be repeated. Default: the named levels."),
    ] = None,
    reset: ResetOption = None,
    product: ProductOption = None,
    workers: WorkersOption = 0,
    engine: Annotated[
        str, typer.Option(help="processes, or ray (needs the extra ray).")
    ] = CertificationEngine.PROCESSES,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a JSON line to this file as soon as an episode is certified."),
    ] = None,
    environment: EnvironmentOption = None,
) -> None:
    """Prove that each episode can be solved with its tools and has exactly one correct report."""
    environment_object = get_environment(environment)
    certifier = require_certifier(environment_object)
    require_name("engine", engine, tuple(CertificationEngine))
    levels = [
        require_name("difficulty", name, certifier.levels)
        for name in difficulty or certifier.default_levels
    ]
    configurations = list(
        certifier.iter_configurations(
            range(first, first + seeds),
            levels=levels,
            extra_reset_arguments={
                **dict(map(parse_reset_argument, reset or ())),
                **get_product_reset_arguments(environment_object, product),
            },
        )
    )
    worker_count = workers or os.cpu_count() or 1
    stream = iter_certificates(environment_object.name, configurations, worker_count, engine)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
    certificates = []
    with out.open("w", encoding="utf-8") if out else nullcontext() as file:
        for certificate in track(
            stream, "Certifying", len(configurations), console=Console(stderr=True)
        ):
            certificates.append(certificate)
            if file:
                line = {**certificate.as_dict(), "versions": dict(environment_object.versions)}
                print(json.dumps(line), file=file, flush=True)
    console = Console(width=TABLE_WIDTH)
    table = certifier.tabulate_certificates(certificates)
    console.print(
        build_table("Certificates by level", table.titles, table.rows, text_column_count=2)
    )
    failed = [certificate for certificate in certificates if not certificate.holds]
    summary = certifier.summarize_certificates(certificates)
    console.print(f"{len(certificates)} episodes, {len(failed)} failed; {summary}.")
    for certificate in failed[:MAX_PRINTED_FAILURES]:
        console.print(f"failed: {certificate}")
    exit_with_result(has_failed=bool(failed))
