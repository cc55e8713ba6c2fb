"""`metric-tracker budgets`: tokens that a training budget has to allow, by level."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from openenv_kit.cli.common import EnvironmentOption, build_table
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, require_name
from openenv_kit.rollouts.token_budgets import DigitTokens, read_token_budgets, token_budgets_path

TOKEN_KINDS = ("prompt", "completion", "total")


def budgets(
    level: Annotated[str | None, typer.Option(help="Only this level. Default: all.")] = None,
    digits: Annotated[
        DigitTokens,
        typer.Option(
            help="How the tokenizer splits numbers: up to three digits a token, as in Llama 3, or "
            "one token a digit, as in Qwen."
        ),
    ] = DigitTokens.GROUPED,
    environment: EnvironmentOption = None,
) -> None:
    """Print the tokens of the reference's episodes by level: median and 95th percentile.

    Tool schemas and the chat template are counted.
    """
    chosen = get_environment(environment)
    measured = read_token_budgets(token_budgets_path(chosen))
    found = [budget for budget in measured if budget.digits == digits]
    if not found:
        raise ConfigurationError(f"{chosen.name} has no token budgets: none were measured.")
    if level is not None:
        require_name("level", level, dict.fromkeys(budget.level for budget in found))
    rows = [
        [
            budget.level,
            " ".join(f"{name}={value}" for name, value in budget.reset.items()) or "-",
            str(budget.tasks),
            *(f"{count:,}" for part in TOKEN_KINDS for count in getattr(budget, part)),
        ]
        for budget in found
        if level in (None, budget.level)
    ]
    columns = [f"{part} {name}" for part in TOKEN_KINDS for name in ("p50", "p95")]
    title = f"{chosen.title}: tokens of the reference's episodes"
    console = Console(width=110)
    console.print(
        build_table(title, ["level", "mode", "tasks", *columns], rows, text_column_count=2)
    )
