"""Short prompt of the experiment, in place of the environment's.

The environment's prompt has about 1,140 tokens on the rungs with a calendar, most of them for the
reporting policy, and would triple the cost of every step on a CPU. The short prompt names the tools
and their required arguments. So the demonstrations have to teach the reporting policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metric_tracker_rl.environment import ENVIRONMENT
from research.learning_lm.settings import LEAN_RESET

TASK_TEXT = "Submit the ids of the roots of all anomalies of a product funnel."
CALL_FORMAT = 'Call a tool like this:\n<tool_call>\n{"name": "scan", "arguments": {}}\n</tool_call>'


def build_prompt_messages() -> list[dict[str, str]]:
    """Return the messages that every episode of the experiment starts with."""
    tools = ENVIRONMENT.tools.select_for_episode(LEAN_RESET).chat_tools
    listed = ", ".join(_format_tool(tool["function"]) for tool in tools)
    system_prompt = f"{TASK_TEXT}\nTools: {listed}.\n{CALL_FORMAT}"
    return [
        {"role": "system", "content": system_prompt},
        {"role": "user", "content": "Begin."},
    ]


def _format_tool(function: dict[str, Any]) -> str:
    """Return a tool's name with its required arguments, such as `submit(ids)`."""
    required: Sequence[str] = function["parameters"].get("required", ())
    return f"{function['name']}({', '.join(required)})"


def encode_prompt(tokenizer: Any) -> list[int]:
    """Return the tokens of the prompt, up to where the model's first turn begins."""
    encoded = tokenizer.apply_chat_template(
        build_prompt_messages(), add_generation_prompt=True, return_dict=True
    )
    token_ids: list[int] = encoded["input_ids"]
    return token_ids


def encode_tool_results(tokenizer: Any, results: Sequence[str]) -> list[int]:
    """Return the tokens between the end token of a turn and the model's next turn."""
    placeholder = "TURN"
    text = tokenizer.apply_chat_template(
        [
            {"role": "user", "content": ""},
            {"role": "assistant", "content": placeholder},
            *({"role": "tool", "content": result} for result in results),
        ],
        add_generation_prompt=True,
        tokenize=False,
    )
    end_of_turn = f"{placeholder}{tokenizer.eos_token}"
    token_ids: list[int] = tokenizer(text[text.index(end_of_turn) + len(end_of_turn) :])[
        "input_ids"
    ]
    return token_ids
