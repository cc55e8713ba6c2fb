"""The texts that a model reads and writes in an episode."""

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
    """Play an episode with a policy, and return its texts as a model would read and write them.

    Args:
        environment: environment of the episode.
        policy: plays the episode.
        reset: arguments of the reset.

    Returns:
        The system prompt, the tool schemas as JSON, the first user message, then each tool call
        and its result. Text that a chat template adds is not included.

    Raises:
        RefusedResetError: the reset was rejected.
    """
    session, reply = start_session(environment, reset)
    observation = observation_from_reply(reply)
    tools = environment.tools.select_for_episode(observation)
    texts = [
        environment.build_system_prompt(observation),
        compact_json(tools.chat_tools),
        environment.tools.first_user_message(observation),
    ]
    for action, step_reply in iter_policy_steps(session, policy, reply):
        name, arguments = tools.tool_call_of_action(action)
        texts.append(compact_json({"name": name, "arguments": arguments}))
        texts.append(compact_json(tools.format_tool_result(observation_from_reply(step_reply))))
    return texts
