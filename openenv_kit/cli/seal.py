"""`metric-tracker seal`: the sealed split's commitment, to publish before and check after."""

from __future__ import annotations

import hmac
from typing import Annotated

import typer

from openenv_kit.cli.common import EnvironmentOption
from openenv_kit.environment import get_environment
from openenv_kit.splits import SEALED_SPLIT, HashedSplits
from openenv_kit.variables import SALT_VARIABLE


def seal(
    check: Annotated[
        str, typer.Option(help="A published commitment to compare with the salt's.")
    ] = "",
    environment: EnvironmentOption = None,
) -> None:
    """Print the commitment to the sealed split of the salt in OPENENV_KIT_SEALED_SALT."""
    chosen = get_environment(environment)
    splits = chosen.splits
    if not isinstance(splits, HashedSplits):
        raise typer.BadParameter(f"{chosen.name} has no sealed split")
    made = splits.sealed_commitment()
    if not check:
        typer.echo(made)
        return
    holds = hmac.compare_digest(made, check.strip().lower())
    verdict = "matches" if holds else "does NOT match"
    size = splits.size(SEALED_SPLIT)
    typer.echo(f"The salt in {SALT_VARIABLE} {verdict} the commitment ({size} tasks).")
    raise typer.Exit(0 if holds else 1)
