"""A scripted policy at the table."""

from __future__ import annotations

from openenv_kit.agent.table import Table
from openenv_kit.play.policies import Policy


class ScriptedPlayer:
    """Plays one of an environment's scripted policies."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = f"scripted:{self._policy.name}"

    async def play(self, table: Table) -> None:
        """Play to the policy's end or the episode's."""
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
