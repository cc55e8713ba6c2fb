"""Reward functions of GRPO and of its control."""

from __future__ import annotations

import random
from typing import Any


class OwnRewards:
    """Reward function that pays each rollout its own reward.

    Args:
        component: `exact` or `key_f1`.
    """

    __name__ = "own_rewards"  # TRL logs reward functions under this name

    def __init__(self, component: str) -> None:
        self.component = component

    def __call__(self, **columns: Any) -> list[float]:
        """Return the rewards of the rollouts.

        Args:
            columns: columns of the rollouts, among them the components of their rewards.
        """
        return [float(reward) for reward in columns[self.component]]


class ShuffledRewards(OwnRewards):
    """Control: each group of rollouts gets the rewards of another task's group, in random order.

    Args:
        component: `exact` or `key_f1`.
        group_size: rollouts of each task.
        seed: seed of the random order.
    """

    __name__ = "shuffled_rewards"

    def __init__(self, component: str, group_size: int, seed: int) -> None:
        super().__init__(component)
        self._group_size = group_size
        self._rng = random.Random(seed)

    def __call__(self, **columns: Any) -> list[float]:
        """Return the rewards of the rollouts, exchanged between groups."""
        rewards = super().__call__(**columns)
        size = self._group_size
        groups = [rewards[first : first + size] for first in range(0, len(rewards), size)]
        offset = self._rng.randrange(1, max(len(groups), 2))
        moved = groups[offset:] + groups[:offset]
        return [reward for group in moved for reward in self._rng.sample(group, len(group))]
