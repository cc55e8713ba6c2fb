"""All that a model reads and writes in an episode, as texts: what its context has to hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import begun, moves, observed
from openenv_kit.tool import compact


def transcript(environment: Environment, policy: Policy, reset: Mapping[str, Any]) -> list[str]:
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
    session, reply = begun(environment, reset)
    opening = observed(reply)
    tools = environment.tools.offered(opening)
    texts = [
        environment.brief(opening),
        compact(tools.chat_tools),
        environment.tools.introduction(opening),
    ]
    for action, answered in moves(session, policy, reply):
        name, arguments = tools.called(action)
        texts.append(compact({"name": name, "arguments": arguments}))
        texts.append(compact(tools.answer(observed(answered))))
    return texts
