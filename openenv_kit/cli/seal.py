"""`metric-tracker seal`: the sealed split's commitment, to publish before and check after."""

from __future__ import annotations

import hmac
from typing import Annotated

import typer

from metric_tracker_rl.engine.splits import SEALED, commitment, num_tasks
from openenv_kit.errors import ConfigurationError
from openenv_kit.trust.sealing import SALT_VARIABLE


def seal(
    check: Annotated[
        str, typer.Option(help="A published commitment to hold the salt against.")
    ] = "",
) -> None:
    """Print the commitment to the sealed split of the salt in METRIC_TRACKER_SEALED_SALT."""
    try:
        made = commitment()
    except ConfigurationError as problem:
        raise typer.BadParameter(str(problem)) from None
    if not check:
        typer.echo(made)
        return
    holds = hmac.compare_digest(made, check.strip().lower())
    verdict = "matches" if holds else "does NOT match"
    typer.echo(f"The salt in {SALT_VARIABLE} {verdict} the commitment ({num_tasks(SEALED)} tasks).")
    raise typer.Exit(0 if holds else 1)
