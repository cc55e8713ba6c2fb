"""Plays one started session of this process with a policy or a model, without a server."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openenv_kit.agent.player_episode import PlayerEpisode
from openenv_kit.agent.players import Player
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.environment import Environment, Session
from openenv_kit.episode_clients.in_process import observation_json_from_reply
from openenv_kit.episode_clients.protocol import ObservationJson
from openenv_kit.rollouts.run_policy import StartedSession


@dataclass(frozen=True)
class SessionClient:
    """Sends actions to a session of this process."""

    session: Session

    async def step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Execute an action and return the observation."""
        return observation_json_from_reply(self.session.step(action))


async def play_session(
    environment: Environment, player: Player, started: StartedSession
) -> PlayerEpisode:
    """Play a started session until the player or the episode ends.

    START, STEP and END lines are not printed, because they could contain numbers of a table.

    Args:
        environment: environment of the session.
        player: policy or model.
        started: session and the reply to its reset.

    Raises:
        ModelError: the model cannot be used.
    """
    log = EvaluationLog(io.StringIO())
    episode = PlayerEpisode(
        environment,
        SessionClient(started.session),
        log.start_task_log(started.session.task_id, environment.name, player.name),
        observation_json_from_reply(started.reset_reply),
    )
    await player.play_episode(episode)
    return episode
