"""Token budgets measured with a tokenizer and its chat template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError, UnknownNameError
from openenv_kit.rollouts.measure_token_budget import (
    ChatTokenizer,
    count_conversation_tokens,
    measure_token_budget,
    play_reference_conversation,
)
from openenv_kit.rollouts.token_budgets import DigitTokens

FUNNEL = get_environment("metric_tracker_rl")
LEAN = {"profile": "lean"}


class LetterTokenizer:
    """A tokenizer with one token for each letter, and a chat template that writes JSON."""

    chat_template: str | None = "json"
    writes_tools = True

    def apply_chat_template(
        self,
        conversation: Any,
        *,
        tools: Any,
        add_generation_prompt: bool,
        tokenize: bool,
    ) -> str:
        assert not tokenize
        head = json.dumps(tools) if tools and self.writes_tools else ""
        return head + json.dumps(conversation) + ("answer:" if add_generation_prompt else "")

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [1] * len(text)


def test_count_conversation_tokens_counts_schemas_and_all_messages() -> None:
    conversation = play_reference_conversation(
        FUNNEL, {"split": "train_rung_1", "index": 0, **LEAN}
    )
    counts = count_conversation_tokens(conversation, LetterTokenizer())
    schemas, first, later = conversation
    assert counts.prompt == len(json.dumps(schemas) + json.dumps(first) + "answer:")
    assert counts.total == len(json.dumps(schemas) + json.dumps([*first, *later]))
    assert counts.completion == counts.total - counts.prompt
    assert [message["role"] for message in later] == ["assistant", "tool"] * 3
    assert later[-2]["tool_calls"][0]["function"]["name"] == "submit"


def test_measure_token_budget_is_ordered_and_describes_the_level() -> None:
    budget = measure_token_budget(FUNNEL, "rung_1", LetterTokenizer(), LEAN, task_count=6)
    assert (budget.level, budget.tasks, budget.reset) == ("rung_1", 6, LEAN)
    assert budget.digits is DigitTokens.SINGLE
    for part in (budget.prompt, budget.completion, budget.total):
        assert 0 < part.p50 <= part.p95
    assert budget.total.p95 >= budget.prompt.p50 + budget.completion.p50


def test_measure_token_budget_harder_level_needs_more() -> None:
    low, high = (
        measure_token_budget(FUNNEL, level, LetterTokenizer(), LEAN, task_count=4)
        for level in ("rung_1", "rung_5")
    )
    assert high.completion.p50 > low.completion.p50


def test_measure_token_budget_template_without_tools_is_error() -> None:
    tokenizer = LetterTokenizer()
    tokenizer.writes_tools = False
    with pytest.raises(ConfigurationError, match="leaves out the tools"):
        measure_token_budget(FUNNEL, "rung_1", tokenizer, LEAN, task_count=1)


def test_measure_token_budget_missing_template_is_error() -> None:
    tokenizer = LetterTokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ConfigurationError, match="has no chat template"):
        measure_token_budget(FUNNEL, "rung_1", tokenizer, LEAN, task_count=1)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"level": "rung_99"}, UnknownNameError), ({"task_count": 0}, InvalidValueError)],
)
def test_measure_token_budget_wrong_argument_is_error(
    given: dict[str, Any], problem: type[Exception]
) -> None:
    tokenizer: ChatTokenizer = LetterTokenizer()
    with pytest.raises(problem):
        measure_token_budget(FUNNEL, **{"level": "rung_1", "tokenizer": tokenizer, **given})
