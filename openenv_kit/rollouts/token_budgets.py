"""Token budgets: measured token counts of the reference policy's episodes, by level.

The budgets are lower bounds for the token limits of a training run. An environment stores them in a
file `token_budgets.json` next to the module of its class; `python -m research.token_budgets`
measures them and writes the file. The counts include the tool schemas and the chat template. A
model that thinks before it calls a tool needs more tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from inspect import getfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from openenv_kit.environment import Environment

TOKEN_BUDGETS_FILENAME = "token_budgets.json"


class DigitTokens(StrEnum):
    """How a tokenizer splits numbers into tokens."""

    GROUPED = "grouped"
    """Up to three digits per token, as in Llama 3 and OpenAI's encodings."""
    SINGLE = "single"
    """One token per digit, as in Qwen, Gemma and SmolLM."""


class TextTokenizer(Protocol):
    """The method of a transformers tokenizer that this module uses."""

    def encode(self, text: str, *, add_special_tokens: bool) -> Sequence[int]:
        """Return the tokens of a text."""


def detect_digit_tokens(tokenizer: TextTokenizer | None) -> DigitTokens:
    """Return how a tokenizer splits numbers; `GROUPED` if there is no tokenizer."""
    if tokenizer is None:
        return DigitTokens.GROUPED
    digits = "7" * 12
    token_ids = tokenizer.encode(digits, add_special_tokens=False)
    return DigitTokens.SINGLE if len(token_ids) >= len(digits) else DigitTokens.GROUPED


class TokenPercentiles(NamedTuple):
    """Median and 95th percentile over episodes, in tokens."""

    p50: int
    p95: int


@dataclass(frozen=True)
class TokenBudget:
    """Token counts of the reference policy's episodes on one level.

    Attributes:
        level: name of the level.
        digits: how the tokenizer splits numbers.
        tasks: number of episodes that were measured.
        prompt: tokens of the system prompt, the tool schemas and the first user message.
        completion: tokens of the tool calls and their results, which a trainer's completion limit
            must allow.
        total: tokens of the whole episode.
        reset: other reset arguments of the episodes, such as `profile`.
    """

    level: str
    digits: DigitTokens
    tasks: int
    prompt: TokenPercentiles
    completion: TokenPercentiles
    total: TokenPercentiles
    reset: Mapping[str, Any] = field(default_factory=dict)


def get_token_budgets_path(environment: Environment) -> Path:
    """Return the path of an environment's token budget file, which may not exist."""
    return Path(getfile(type(environment))).with_name(TOKEN_BUDGETS_FILENAME)


def read_token_budgets(path: Path) -> tuple[TokenBudget, ...]:
    """Read token budgets from a file; return an empty tuple if the file does not exist."""
    if not path.is_file():
        return ()
    lines = json.loads(path.read_text(encoding="utf-8"))["budgets"]
    return tuple(_parse_token_budget_json(line) for line in lines)


def write_token_budgets(
    path: Path, budgets: Iterable[TokenBudget], measurement_settings: Mapping[str, Any]
) -> None:
    """Write the settings of a measurement and its token budgets to a file, one budget per line."""
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
    """Return the token budget for a level and reset arguments; None if it was not measured.

    If several budgets match, the budget with the most reset arguments is returned.

    Args:
        environment: the environment.
        level: name of the level.
        reset_arguments: arguments of the reset. A budget matches if they contain all of its own
            reset arguments.
        digits: how the tokenizer splits numbers.
    """
    arguments = dict(reset_arguments or {})
    matches = [
        budget
        for budget in read_token_budgets(get_token_budgets_path(environment))
        if (budget.level, budget.digits) == (level, digits)
        and budget.reset.items() <= arguments.items()
    ]
    return max(matches, key=lambda budget: len(budget.reset), default=None)


def _parse_token_budget_json(budget_json: Mapping[str, Any]) -> TokenBudget:
    counts = {
        name: TokenPercentiles(*budget_json[name]) for name in ("prompt", "completion", "total")
    }
    return TokenBudget(**{**budget_json, **counts, "digits": DigitTokens(budget_json["digits"])})
