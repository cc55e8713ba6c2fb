"""`metric-tracker seal`: prints or checks the commitment to the sealed split."""

from __future__ import annotations

import hmac
from typing import Annotated

import typer

from openenv_kit.cli.common import EnvironmentOption, ProductOption, exit_with_result
from openenv_kit.environment import get_environment
from openenv_kit.own_data.product_argument import (
    get_product_reset_arguments,
    get_splits_of_reset,
)
from openenv_kit.splits import SEALED_SPLIT, HashedSplits
from openenv_kit.variables import SALT_VARIABLE


def seal(
    check: Annotated[
        str, typer.Option(help="Published commitment to compare with that of the salt.")
    ] = "",
    product: ProductOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Print the commitment to the sealed split, computed with OPENENV_KIT_SEALED_SALT.

    Publish the commitment before the split is played. Use --check to compare it later.
    """
    environment_object = get_environment(environment)
    product_arguments = get_product_reset_arguments(environment_object, product)
    splits = get_splits_of_reset(environment_object, product_arguments)
    if not isinstance(splits, HashedSplits):
        raise typer.BadParameter(f"{environment_object.name} has no sealed split")
    commitment = splits.compute_sealed_commitment()
    if not check:
        typer.echo(commitment)
        return
    is_match = hmac.compare_digest(commitment, check.strip().lower())
    verdict = "matches" if is_match else "does NOT match"
    size = splits.size(SEALED_SPLIT)
    typer.echo(f"The salt in {SALT_VARIABLE} {verdict} the commitment ({size} tasks).")
    exit_with_result(has_failed=not is_match)
