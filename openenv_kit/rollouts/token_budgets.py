"""Tokens of the reference policy's episodes by level: the least that a training budget must allow.

An environment ships its figures in a file `token_budgets.json` next to the module of its class.
`python -m research.token_budgets` measures and writes it. Tool schemas and the chat template are
counted. A model that thinks before it calls a tool needs more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from inspect import getfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from openenv_kit.environment import Environment

TOKEN_BUDGETS_FILENAME = "token_budgets.json"


class DigitTokens(StrEnum):
    """How a tokenizer splits numbers, which decides how long rows of numbers are."""

    GROUPED = "grouped"
    """Up to three digits a token, as in Llama 3 and OpenAI's encodings."""
    SINGLE = "single"
    """One token a digit, as in Qwen, Gemma and SmolLM."""


class TokenPercentiles(NamedTuple):
    """Median and 95th percentile over episodes, in tokens."""

    p50: int
    p95: int


@dataclass(frozen=True)
class TokenBudget:
    """Tokens of the reference policy's episodes of one level.

    Attributes:
        level: name of the level.
        digits: how the tokenizer splits numbers.
        tasks: number of episodes measured.
        prompt: tokens before the first answer: system prompt, tool schemas, first user message.
        completion: tokens of the tool calls and their results; a trainer's completion budget.
        total: tokens of the whole episode.
        reset: further arguments of the reset, such as a mode of play.
    """

    level: str
    digits: DigitTokens
    tasks: int
    prompt: TokenPercentiles
    completion: TokenPercentiles
    total: TokenPercentiles
    reset: Mapping[str, Any] = field(default_factory=dict)


def token_budgets_path(environment: Environment) -> Path:
    """Return the file that an environment's token budgets are in, whether it exists or not."""
    return Path(getfile(type(environment))).with_name(TOKEN_BUDGETS_FILENAME)


def read_token_budgets(path: Path) -> tuple[TokenBudget, ...]:
    """Read token budgets; none where the file does not exist."""
    if not path.is_file():
        return ()
    lines = json.loads(path.read_text(encoding="utf-8"))["budgets"]
    return tuple(_budget_from_json(line) for line in lines)


def write_token_budgets(
    path: Path, budgets: Iterable[TokenBudget], measurement_settings: Mapping[str, Any]
) -> None:
    """Write token budgets, a line for each, and what they were measured with."""
    head = "".join(
        f'"{name}": {json.dumps(value)},\n' for name, value in measurement_settings.items()
    )
    lines = ",\n".join(json.dumps(asdict(budget)) for budget in budgets)
    path.write_text(f'{{\n{head}"budgets": [\n{lines}\n]\n}}\n', encoding="utf-8")


def find_token_budget(
    environment: Environment,
    level: str,
    reset_arguments: Mapping[str, Any] | None = None,
    digits: DigitTokens = DigitTokens.GROUPED,
) -> TokenBudget | None:
    """Return the budget of a level in the mode of play that a reset asks for; None without one.

    Of several budgets that fit, the one that fixes most arguments of the reset is returned.
    """
    given = dict(reset_arguments or {})
    fitting = [
        budget
        for budget in read_token_budgets(token_budgets_path(environment))
        if (budget.level, budget.digits) == (level, digits)
        and budget.reset.items() <= given.items()
    ]
    return max(fitting, key=lambda budget: len(budget.reset), default=None)


def _budget_from_json(budget_json: Mapping[str, Any]) -> TokenBudget:
    counts = {
        name: TokenPercentiles(*budget_json[name]) for name in ("prompt", "completion", "total")
    }
    return TokenBudget(**{**budget_json, **counts, "digits": DigitTokens(budget_json["digits"])})
