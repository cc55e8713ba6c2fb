"""Defines the players of episodes: scripted policies and models."""

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
    """A policy or a model that plays episodes.

    Attributes:
        name: `scripted:<policy>`, or the model's name.
        score_settings: settings that the player's scores depend on, as JSON values.
    """

    name: str
    score_settings: Mapping[str, Any]

    async def play_episode(self, episode: PlayerEpisode) -> None:
        """Play one episode. Several episodes can be played concurrently."""

    async def close(self) -> None:
        """Release the player's connections."""


class ScriptedPlayer:
    """Plays a scripted policy of an environment."""

    score_settings: Mapping[str, Any] = {}

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = f"scripted:{policy.name}"

    async def play_episode(self, episode: PlayerEpisode) -> None:
        """Play until the policy or the episode ends."""
        with (
            closing(self._policy.generate_actions(episode.reset_observation)) as steps,
            suppress(StopIteration),
        ):
            action = next(steps)
            while True:
                observation = await episode.send_action_and_log_step(action)
                if episode.is_done:
                    return
                action = steps.send(observation)

    async def close(self) -> None:
        """Do nothing: a policy has no connections."""


def choose_player(
    environment: Environment,
    policy_name: str | None,
    settings: AgentSettings,
    *,
    require_llm: bool,
    print_status: PrintStatus = lambda _: None,
) -> Player:
    """Choose the player of a run.

    Choose a scripted policy if one is named or if no model is available, and the model otherwise. A
    model is available if a key is set or if its endpoint has a loopback address.

    Args:
        environment: environment of the policies.
        policy_name: name of the scripted policy; None if the user named no policy.
        settings: settings of the run.
        require_llm: whether to raise an error instead of returning a scripted policy.
        print_status: prints a message for each failed request to the model.

    Raises:
        ConfigurationError: a key is set but no model is named, or a model is required but no key is
            set.
    """
    has_model = settings.api_key is not None or settings.is_local_model
    if policy_name or not (has_model or require_llm):
        return ScriptedPlayer(environment.policies[policy_name or DEFAULT_POLICY])
    if not has_model:
        raise ConfigurationError(
            "--require-llm was given, but no key is set: set one of "
            f"{', '.join(API_KEY_VARIABLES)}."
        )
    if settings.model is None:
        raise ConfigurationError(
            f"{settings.key_variable} is set, but no model is named: set MODEL_NAME (or --model), "
            "or play a scripted policy with --policy."
        )
    from openenv_kit.agent.model_player import ModelPlayer  # imports openai, which is slow

    return ModelPlayer(settings, print_status=print_status)
