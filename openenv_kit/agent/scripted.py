"""A scripted policy at the table."""

from __future__ import annotations

from metric_tracker_rl.policies import get_policy
from openenv_kit.agent.table import Table


class ScriptedPlayer:
    """Plays one of `policies.POLICIES`.

    Args:
        policy: its name.

    Raises:
        UnknownNameError: there is none of that name.
    """

    def __init__(self, policy: str) -> None:
        self._policy = get_policy(policy)
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
