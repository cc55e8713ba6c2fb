"""Measures token budgets with a model's own tokenizer and chat template.

```python
budget = measure_token_budget(environment, "rung_1", tokenizer, {"profile": "lean"})
GRPOConfig(max_completion_length=budget.completion.p95, …)
```

For two common kinds of tokenizers, `token_budgets` reads the same figures from a file, so that no
episodes have to be played.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from openenv_kit.datasets.split_rows import (
    DEFAULT_SPLIT,
    list_task_rows,
    reset_arguments_from_row,
)
from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError, require_integer
from openenv_kit.json_text import compact_json
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session
from openenv_kit.rollouts.token_budgets import (
    TokenBudget,
    TokenPercentiles,
    detect_digit_tokens,
)

DEFAULT_TASK_COUNT = 40
"""Number of tasks that are measured by default."""
MAX_TASK_COUNT = 10_000

ChatMessage = dict[str, Any]


class ChatTokenizer(Protocol):
    """The methods of a transformers tokenizer that this module uses."""

    def apply_chat_template(
        self,
        conversation: Sequence[ChatMessage],
        *,
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        tokenize: bool,
    ) -> Any:
        """Return the text of a conversation."""

    def encode(self, text: str, *, add_special_tokens: bool) -> Sequence[int]:
        """Return the tokens of a text."""


class EpisodeConversation(NamedTuple):
    """An episode that the reference policy played, as a chat.

    Attributes:
        tools: tools as JSON schemas, in the format of chat templates.
        first_messages: system prompt and first user message.
        later_messages: tool calls and their results.
    """

    tools: list[dict[str, Any]]
    first_messages: list[ChatMessage]
    later_messages: list[ChatMessage]


class EpisodeTokenCounts(NamedTuple):
    """Token counts of one episode: prompt, completion (all later messages), and total."""

    prompt: int
    completion: int
    total: int


def measure_token_budget(
    environment: Environment,
    level: str,
    tokenizer: ChatTokenizer,
    reset_arguments: Mapping[str, Any] | None = None,
    *,
    split: str = DEFAULT_SPLIT,
    task_count: int = DEFAULT_TASK_COUNT,
) -> TokenBudget:
    """Return how many tokens the reference policy needs on a level, including tool schemas.

    Args:
        environment: the environment.
        level: name of the level.
        tokenizer: tokenizer with a chat template that writes tools into the prompt.
        reset_arguments: additional arguments of every reset, such as `profile`.
        split: name of the split whose tasks are played.
        task_count: number of tasks, starting with the first task of the level.

    Returns:
        Median and 95th percentile of prompt, completion and total.

    Raises:
        UnknownNameError: there is no such level, split or reset argument.
        InvalidValueError: `task_count` is out of range.
        ConfigurationError: the chat template is missing, or does not write the tools into the
            prompt.
    """
    require_integer("task_count", task_count, 1, MAX_TASK_COUNT)
    arguments = dict(reset_arguments or {})
    rows = list_task_rows(split, 0, task_count, environment.name, arguments, level)
    counts = [
        count_conversation_tokens(
            play_reference_conversation(
                environment, reset_arguments_from_row(row, environment.name)
            ),
            tokenizer,
        )
        for row in rows
    ]
    return TokenBudget(
        level,
        detect_digit_tokens(tokenizer),
        len(counts),
        prompt=compute_token_percentiles(count.prompt for count in counts),
        completion=compute_token_percentiles(count.completion for count in counts),
        total=compute_token_percentiles(count.total for count in counts),
        reset=arguments,
    )


def play_reference_conversation(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> EpisodeConversation:
    """Play an episode with the reference policy, and return it as a chat with a model.

    Raises:
        RefusedResetError: the reset was rejected.
    """
    session, reply = start_session(environment, reset_arguments)
    observation = observation_from_reply(reply)
    tools = environment.tools.select_for_episode(observation)
    later_messages: list[ChatMessage] = []
    for step in iter_policy_steps(session, environment.policies["reference"], reply):
        call = tools.tool_call_of_action(step.action)
        function = {"name": call.name, "arguments": call.arguments}
        later_messages += [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": function}],
            },
            {
                "role": "tool",
                "name": call.name,
                "content": compact_json(
                    tools.format_tool_result(observation_from_reply(step.reply))
                ),
            },
        ]
    first_messages = [
        {"role": "system", "content": environment.build_system_prompt(observation)},
        {"role": "user", "content": environment.tools.first_user_message(observation)},
    ]
    return EpisodeConversation(tools.chat_tools, first_messages, later_messages)


def count_conversation_tokens(
    conversation: EpisodeConversation, tokenizer: ChatTokenizer
) -> EpisodeTokenCounts:
    """Count the tokens of an episode in the format of a tokenizer's chat template.

    Raises:
        ConfigurationError: the chat template is missing, or does not write the tools into the
            prompt.
    """
    tools, first_messages, later_messages = conversation
    if not getattr(tokenizer, "chat_template", True):
        raise ConfigurationError("The tokenizer has no chat template. Set tokenizer.chat_template.")
    prompt = tokenizer.apply_chat_template(
        first_messages, tools=tools, add_generation_prompt=True, tokenize=False
    )
    without_tools = tokenizer.apply_chat_template(
        first_messages, tools=None, add_generation_prompt=True, tokenize=False
    )
    if prompt == without_tools:
        raise ConfigurationError(
            "The tokenizer's chat template leaves out the tools, so a model does not get their "
            "schemas. Set tokenizer.chat_template to a template for tools, such as "
            "trl.chat_template_utils.qwen2_5_chat_template."
        )
    whole = tokenizer.apply_chat_template(
        [*first_messages, *later_messages], tools=tools, add_generation_prompt=False, tokenize=False
    )
    prompt_tokens, total_tokens = (
        len(tokenizer.encode(text, add_special_tokens=False)) for text in (prompt, whole)
    )
    return EpisodeTokenCounts(prompt_tokens, total_tokens - prompt_tokens, total_tokens)


def compute_token_percentiles(counts: Iterable[int]) -> TokenPercentiles:
    """Return the median and the 95th percentile of counts, by nearest rank."""
    ordered = sorted(counts)
    return TokenPercentiles(
        p50=ordered[math.ceil(0.5 * len(ordered)) - 1],
        p95=ordered[math.ceil(0.95 * len(ordered)) - 1],
    )
