"""All that a model reads and writes in an episode, as texts: what its context has to hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.json_text import compact_json
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session


def build_transcript(
    environment: Environment, policy: Policy, reset: Mapping[str, Any]
) -> list[str]:
    """Texts of one episode, were the policy a model.

    Args:
        environment: what is played.
        policy: who plays.
        reset: arguments of the reset.

    Returns:
        The system prompt, the tools' schemas as JSON, the first user message, then each tool call
        and its answer. What a chat template puts around them is not there.

    Raises:
        RefusedResetError: the reset was refused.
    """
    session, reply = start_session(environment, reset)
    opening = observation_from_reply(reply)
    tools = environment.tools.for_episode(opening)
    texts = [
        environment.system_prompt(opening),
        compact_json(tools.chat_tools),
        environment.tools.first_user_message(opening),
    ]
    for action, answered in iter_policy_steps(session, policy, reply):
        name, arguments = tools.tool_call_of_action(action)
        texts.append(compact_json({"name": name, "arguments": arguments}))
        texts.append(compact_json(tools.format_tool_result(observation_from_reply(answered))))
    return texts
