"""Warns about token limits that are too small for the levels of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.environment import get_environment
from openenv_kit.reset_arguments import SINGLE_TASK_SELECTORS
from openenv_kit.rollouts.token_budgets import DigitTokens, find_token_budget

logger = logging.getLogger("openenv_kit.trainers")


class LimitedTokens(StrEnum):
    """The part of an episode that a token limit applies to."""

    COMPLETION = "completion"
    """Everything after the prompt: calls, and results of tools."""
    TOTAL = "total"
    """The whole episode."""


@dataclass(frozen=True)
class TrainedLevel:
    """A level of a training run.

    Attributes:
        environment: name of the environment.
        level: name of the level.
        reset_arguments: other reset arguments of the level's episodes.
    """

    environment: str
    level: str
    reset_arguments: Mapping[str, Any]


@dataclass(frozen=True)
class TokenLimit:
    """A token limit of a rollout.

    Attributes:
        name: name of the setting in the trainer's configuration.
        tokens: largest number of tokens.
        limited: part of the episode to which the limit applies.
    """

    name: str
    tokens: int
    limited: LimitedTokens = LimitedTokens.TOTAL


def warn_if_token_limit_too_small(
    levels: Iterable[TrainedLevel],
    limit: TokenLimit,
    digit_tokens: DigitTokens = DigitTokens.SINGLE,
) -> list[str]:
    """Log and return a warning for each level whose 95th percentile exceeds the token limit.

    Args:
        levels: levels of a run. Levels without a measured budget are skipped.
        limit: token limit of a rollout.
        digit_tokens: how the tokenizer splits numbers.
    """
    warnings = []
    for trained in levels:
        environment = get_environment(trained.environment)
        budget = find_token_budget(
            environment, trained.level, trained.reset_arguments, digit_tokens
        )
        if budget is None:
            continue
        needed = budget.completion if limit.limited is LimitedTokens.COMPLETION else budget.total
        if limit.tokens >= needed.p95:
            continue
        warnings.append(
            f"{limit.name} is {limit.tokens}, but 5 % of the reference policy's episodes on "
            f"{trained.environment} {trained.level} need more than {needed.p95} tokens (median "
            f"{needed.p50}). A truncated rollout scores 0. `metric-tracker budgets --environment "
            f"{trained.environment}` prints the budget of each level."
        )
    for warning in warnings:
        logger.warning(warning)
    return warnings


def warn_if_context_too_small(
    rows: Iterable[Mapping[str, Any]], environment: str, context_tokens: int | None
) -> list[str]:
    """Log and return a warning for each level whose episodes do not fit into a context.

    Each digit of a number is counted as one token, so that the count is an upper estimate.

    Args:
        rows: dataset rows with a column `level`.
        environment: name of the environment of the rows.
        context_tokens: largest number of tokens of a rollout, including its prompt; None to skip
            the check.
    """
    if context_tokens is None:
        return []
    limit = TokenLimit("context_tokens", context_tokens)
    return warn_if_token_limit_too_small(list_levels_of_rows(rows, environment), limit)


def list_levels_of_rows(
    rows: Iterable[Mapping[str, Any]], environment: str | None = None
) -> list[TrainedLevel]:
    """Return the distinct levels of dataset rows, with their other reset arguments.

    Args:
        rows: dataset rows. Rows without a level are skipped.
        environment: name of the environment; None to read it from the column `environment`, in
            which case rows without this column are skipped.
    """
    distinct: dict[str, TrainedLevel] = {}
    for row in rows:
        name, level = environment or row.get("environment"), row.get("level")
        if name is None or level is None:
            continue
        arguments = {
            argument: value
            for argument, value in reset_arguments_from_row(row, name).items()
            if argument not in SINGLE_TASK_SELECTORS
        }
        trained = TrainedLevel(name, level, arguments)
        distinct.setdefault(repr(trained), trained)  # a dictionary cannot be a key
    return list(distinct.values())
