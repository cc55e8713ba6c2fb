"""Who plays: a scripted policy or a model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any, Protocol

from openenv_kit.agent.command_line import DEFAULT_POLICY
from openenv_kit.agent.player_episode import PlayerEpisode
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.rollouts.policies import Policy
from openenv_kit.variables import API_KEY_VARIABLES


class Player(Protocol):
    """Who plays.

    Attributes:
        name: `scripted:<policy>`, or the model's name.
        score_settings: the settings under which it plays and that its scores depend on, JSON-ready.
    """

    name: str
    score_settings: Mapping[str, Any]

    async def play_episode(self, episode: PlayerEpisode) -> None:
        """Play one episode; several may be played at a time."""

    async def close(self) -> None:
        """Release what the player holds."""


class ScriptedPlayer:
    """Plays one of an environment's scripted policies."""

    score_settings: Mapping[str, Any] = {}

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = f"scripted:{policy.name}"

    async def play_episode(self, episode: PlayerEpisode) -> None:
        """Play until the policy or the episode ends."""
        with (
            closing(self._policy.generate_actions(episode.reset_observation)) as moves,
            suppress(StopIteration),
        ):
            action = next(moves)
            while True:
                observation = await episode.step(action)
                if episode.is_done:
                    return
                action = moves.send(observation)

    async def close(self) -> None:
        """Nothing to release."""


def choose_player(
    environment: Environment,
    policy_name: str | None,
    settings: AgentSettings,
    *,
    require_llm: bool,
    print_status: PrintStatus = lambda _: None,
) -> Player:
    """A scripted policy if one was asked for or no model can be reached, else the model.

    A model can be reached with a key, or without one on a loopback address.

    Args:
        environment: whose policies.
        policy_name: name of the scripted policy that was asked for.
        settings: of the run.
        require_llm: whether a scripted policy is an error.
        print_status: told about requests to the model that failed.

    Raises:
        ConfigurationError: a key without a model, or no key although a model is required.
    """
    has_model = settings.api_key is not None or settings.is_local_model
    if policy_name or not (has_model or require_llm):
        return ScriptedPlayer(environment.policies[policy_name or DEFAULT_POLICY])
    if not has_model:
        raise ConfigurationError(
            f"--require-llm was given, but no key is set: set one of "
            f"{', '.join(API_KEY_VARIABLES)}."
        )
    if settings.model is None:
        raise ConfigurationError(
            f"{settings.key_variable} holds a key, but no model is named: set MODEL_NAME (or "
            "--model), or play a scripted policy with --policy."
        )
    from openenv_kit.agent.model_player import ModelPlayer  # loads openai

    return ModelPlayer(settings, print_status=print_status)
