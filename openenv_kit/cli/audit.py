"""`metric-tracker audit`: plays every exploit and fails if one scores above its ceiling."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openenv_kit.cli.common import (
    Column,
    EnvironmentOption,
    ProductOption,
    WorkersOption,
    build_item_table,
    exit_with_result,
)
from openenv_kit.environment import get_environment
from openenv_kit.own_data.product_argument import get_product_reset_arguments
from openenv_kit.reset_arguments import PRODUCT
from openenv_kit.trust.audit import AuditLine, find_audit, run_job

TABLE_WIDTH = 152
"""Width of the table, in characters."""


def audit(
    episodes: Annotated[
        int, typer.Option(min=1, help="Episodes of each level in each setting.")
    ] = 200,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these settings: a family, or split:NAME; may be repeated. Default: all."
        ),
    ] = None,
    difficulty: Annotated[
        list[str] | None, typer.Option(help="Only these levels; may be repeated. Default: all.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these policies or exploits; may be repeated. Default: all policies of the "
            "environment and all exploits."
        ),
    ] = None,
    product: ProductOption = None,
    workers: WorkersOption = 0,
    out: Annotated[Path | None, typer.Option(help="Write the table to this JSON file.")] = None,
    environment: EnvironmentOption = None,
) -> None:
    """Audit the scores of every exploit on every level, family and split against their limits.

    With --product, only the reference policy has a limit, because the limits of the exploits were
    measured on the environment's own episodes.
    """
    environment_object = get_environment(environment)
    product_arguments = get_product_reset_arguments(environment_object, product)
    environment_audit = find_audit(environment_object, product_arguments.get(PRODUCT.name))
    jobs = environment_audit.plan_jobs(episodes, policy, difficulty, setting)
    with ProcessPoolExecutor(workers or os.cpu_count() or 1) as pool:
        futures = [pool.submit(run_job, job) for job in jobs]
        finished = track(
            as_completed(futures), "Auditing", len(futures), console=Console(stderr=True)
        )
        lines = environment_audit.build_audit_lines(future.result() for future in finished)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "versions": dict(environment_object.versions),
            "lines": [line.as_dict() for line in lines],
        }
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console = Console(width=TABLE_WIDTH)
    console.print(_build_audit_table(lines))
    failed_count = sum(not line.is_within_limits for line in lines)
    console.print(f"{len(lines)} lines, {failed_count} outside their limits.")
    exit_with_result(has_failed=failed_count > 0)


COLUMNS = (
    Column[AuditLine]("setting", lambda line: line.setting, is_text=True),
    Column[AuditLine]("level", lambda line: line.difficulty, is_text=True),
    Column[AuditLine]("policy", lambda line: line.policy, is_text=True),
    Column[AuditLine]("mean", lambda line: f"{line.mean:.3f}"),
    Column[AuditLine]("95 %", lambda line: f"{line.ci_low:.3f} to {line.ci_high:.3f}"),
    Column[AuditLine](
        "max mean", lambda line: "" if line.max_mean is None else f"{line.max_mean:.2f}"
    ),
    Column[AuditLine]("perfect", lambda line: f"{line.perfect:.1%}"),
    Column[AuditLine](
        "max perfect", lambda line: "" if line.max_perfect is None else f"{line.max_perfect:.0%}"
    ),
    Column[AuditLine]("calls", lambda line: f"{line.calls:.1f}"),
    Column[AuditLine]("within limits", lambda line: "yes" if line.is_within_limits else "no"),
)


def _build_audit_table(lines: Sequence[AuditLine]) -> Table:
    return build_item_table("Exploit audit: scores and limits", COLUMNS, lines)
