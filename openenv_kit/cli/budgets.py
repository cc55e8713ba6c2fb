"""`metric-tracker budgets`: prints how many tokens an episode of the reference policy takes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from openenv_kit.cli.common import Column, EnvironmentOption, build_item_table
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, require_name
from openenv_kit.rollouts.token_budgets import (
    DigitTokens,
    TokenBudget,
    get_token_budgets_path,
    read_token_budgets,
)

TABLE_WIDTH = 110
"""Width of the table, in characters."""
COLUMNS = (
    Column[TokenBudget]("level", lambda budget: budget.level, is_text=True),
    Column[TokenBudget]("mode", lambda budget: _format_reset_arguments(budget), is_text=True),
    Column[TokenBudget]("tasks", lambda budget: str(budget.tasks)),
    Column[TokenBudget]("prompt p50", lambda budget: f"{budget.prompt.p50:,}"),
    Column[TokenBudget]("prompt p95", lambda budget: f"{budget.prompt.p95:,}"),
    Column[TokenBudget]("completion p50", lambda budget: f"{budget.completion.p50:,}"),
    Column[TokenBudget]("completion p95", lambda budget: f"{budget.completion.p95:,}"),
    Column[TokenBudget]("total p50", lambda budget: f"{budget.total.p50:,}"),
    Column[TokenBudget]("total p95", lambda budget: f"{budget.total.p95:,}"),
)


def budgets(
    level: Annotated[str | None, typer.Option(help="Only this level. Default: all.")] = None,
    digits: Annotated[
        DigitTokens,
        typer.Option(
            help="How the tokenizer splits numbers: grouped has up to three digits per token, as "
            "in Llama 3; single has one digit per token, as in Qwen."
        ),
    ] = DigitTokens.GROUPED,
    environment: EnvironmentOption = None,
) -> None:
    """Print the tokens of the reference policy's episodes by level: median and 95th percentile.

    Tool schemas and the chat template are included.
    """
    environment_object = get_environment(environment)
    measured = read_token_budgets(get_token_budgets_path(environment_object))
    matching = [budget for budget in measured if budget.digits == digits]
    if not matching:
        raise ConfigurationError(f"The environment {environment_object.name} has no token budgets.")
    if level is not None:
        require_name("level", level, dict.fromkeys(budget.level for budget in matching))
        matching = [budget for budget in matching if budget.level == level]
    title = f"{environment_object.title}: tokens of the reference policy's episodes"
    Console(width=TABLE_WIDTH).print(build_item_table(title, COLUMNS, matching))


def _format_reset_arguments(budget: TokenBudget) -> str:
    return " ".join(f"{name}={value}" for name, value in budget.reset.items()) or "-"
