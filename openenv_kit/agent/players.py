"""Who plays an episode: a scripted policy here, a model in `model_player`."""

from __future__ import annotations

from typing import Protocol

from openenv_kit.agent.table import Table
from openenv_kit.play.policies import Policy


class Player(Protocol):
    """Who plays."""

    name: str

    async def play(self, table: Table) -> None:
        """Play one episode; several may be played at a time."""

    async def close(self) -> None:
        """Release what the player holds."""


class ScriptedPlayer:
    """Plays one of an environment's scripted policies."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = f"scripted:{policy.name}"

    async def play(self, table: Table) -> None:
        """Play until the policy or the episode ends."""
        moves = self._policy.play(table.opening)
        try:
            action = next(moves)
            while True:
                observation = await table.act(action)
                if table.done:
                    return
                action = moves.send(observation)
        except StopIteration:
            return
        finally:
            moves.close()

    async def close(self) -> None:
        """Nothing to release."""
