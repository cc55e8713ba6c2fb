"""Tool calls of a scripted policy that replaces a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing, suppress

from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.tool import ToolCall


def get_next_scripted_call(
    policy: str,
    tool_results: Sequence[str],
    environment: str | None = None,
    first_user_message: str = "",
) -> ToolCall | None:
    """Return the next tool call of a scripted policy that replaces a model.

    Every call of this function restarts the policy and replays the results of its earlier tool
    calls.

    Args:
        policy: name of the policy.
        tool_results: results of the policy's tool calls so far, in order.
        environment: name of the environment.
        first_user_message: the episode's first user message, which some policies read.

    Returns:
        The tool call; None if the policy has finished.

    Raises:
        UnknownNameError: there is no such policy.
    """
    resolved_environment = get_environment(environment)
    tools = resolved_environment.tools
    scripted = resolved_environment.policies[
        require_name("policy", policy, resolved_environment.policies)
    ]
    observation = tools.observation_from_messages(first_user_message, None)
    with closing(scripted.generate_actions(observation)) as steps, suppress(StopIteration):
        action = next(steps)
        for result in tool_results:
            action = steps.send(
                tools.observation_from_messages(first_user_message, json.loads(result))
            )
        return tools.tool_call_of_action(action)
    return None
