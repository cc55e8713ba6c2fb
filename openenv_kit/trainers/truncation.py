"""Detects whether a rollout was cut off by a limit of the trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TRUNCATED_METRIC = "truncated"
"""Metric of a rollout: 1 if a limit ended it before its episode was over, else 0.

Its mean over rollouts is the truncated share.
"""
CALL_TYPES = ("function_call", "function_call_output")
"""Types of items of OpenAI's Responses API that a model or a tool has to follow."""


def ends_before_turn_of_model(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a chat ends at a point where the model has to respond next.

    This is the case after a tool result, and after a tool call without a result.

    Args:
        messages: messages of the rollout; an empty chat counts as cut off.
    """
    if not messages:
        return True
    last = messages[-1]
    return last.get("role") == "tool" or bool(last.get("tool_calls"))


def is_response_cut_off(response: Mapping[str, Any]) -> bool:
    """Return whether a response of OpenAI's Responses API was ended by a limit.

    Args:
        response: the response as JSON, with `output` and optionally `incomplete_details`.
    """
    output = response.get("output") or ()
    if response.get("incomplete_details") or not output:
        return True
    return output[-1].get("type") in CALL_TYPES
