"""Curriculum: moves between stages of tasks, from easy to hard, by the success rate.

A curriculum is independent of trainers and environments. It returns reset arguments and receives
rewards:

```python
curriculum = Curriculum([{"difficulty": "easy"}, {"difficulty": "hard"}])
reset = curriculum.take_next_reset_arguments()  # {"difficulty": "easy", "seed": 0}
curriculum.record_reward(0.4)
```
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from openenv_kit.errors import InvalidValueError, require_integer

MIN_REWARD_DIFFERENCE = 0.01
"""Rewards of a group must differ by more than this to give a signal."""
ROUNDING_TOLERANCE = 1e-9
"""Tolerance for rounding errors in the difference of two rewards."""
RUNG_LEVEL_NAMES = tuple(f"rung_{number}" for number in range(1, 11))
"""Default names of the numbered levels, from the easiest to the hardest."""


def resolve_level_name(
    difficulty: str | float, numbered_levels: Sequence[str] = RUNG_LEVEL_NAMES
) -> str:
    """Return the level that a value of the reset argument `difficulty` selects.

    Args:
        difficulty: name of a level, or a number from 0 to 1, which selects the nearest numbered
            level.
        numbered_levels: names of the environment's numbered levels, from the easiest on.

    Raises:
        InvalidValueError: the number is outside [0, 1].
    """
    if isinstance(difficulty, str):
        return difficulty
    is_number = isinstance(difficulty, int | float) and not isinstance(difficulty, bool)
    if not is_number or not 0.0 <= difficulty <= 1.0:
        raise InvalidValueError("difficulty", difficulty, "a name, or a number from 0 to 1")
    return numbered_levels[round(difficulty * (len(numbered_levels) - 1))]


@dataclass
class GroupCounts:
    """Numbers of groups that were played in one stage.

    Attributes:
        played: number of groups that were played.
        with_signal: number of played groups whose rewards differ by more than
            `MIN_REWARD_DIFFERENCE`.
    """

    played: int = 0
    with_signal: int = 0


class Curriculum:
    """Selects tasks of the stage that fits the recent success rate.

    Once a stage has `window` results, the curriculum moves to the next stage if the success rate is
    at least `promote_at`, and to the previous stage if it is below `demote_below`. Each change of
    stage discards the results.

    Args:
        stages: reset arguments of each stage without a seed, from the easiest to the hardest.
        window: number of results that the success rate is computed from, at least 1.
        promote_at, demote_below: success rates, 0 <= demote_below < promote_at <= 1.
        success_reward: smallest reward that counts as a success.
        first_seed: seed of the first task; each later task has the next seed. Use different
            seeds for different runs, and avoid the seeds of test sets.

    Attributes:
        stage_index: index of the current stage.
        group_counts: numbers of groups, by stage.

    Raises:
        InvalidValueError: an argument is out of its range.
    """

    def __init__(
        self,
        stages: Sequence[Mapping[str, Any]],
        *,
        window: int = 50,
        promote_at: float = 0.7,
        demote_below: float = 0.2,
        success_reward: float = 0.9,
        first_seed: int = 0,
    ) -> None:
        if not stages:
            raise InvalidValueError("stages", list(stages), "at least one stage")
        if not 0.0 <= demote_below < promote_at <= 1.0:
            raise InvalidValueError(
                "demote_below and promote_at",
                (demote_below, promote_at),
                "0 <= demote_below < promote_at <= 1",
            )
        self.stages = [dict(stage) for stage in stages]
        self.stage_index = 0
        self.group_counts = [GroupCounts() for _ in self.stages]
        self._promote_at = promote_at
        self._demote_below = demote_below
        self._success_reward = success_reward
        self._window = require_integer("window", window, 1, 10**6)
        self._recent_successes: deque[bool] = deque(maxlen=self._window)
        self._next_seed = first_seed

    @property
    def success_rate(self) -> float:
        """Share of successes among the recent results of the stage; 0.0 if there are none."""
        return fmean(self._recent_successes) if self._recent_successes else 0.0

    def take_next_reset_arguments(self) -> dict[str, Any]:
        """Return the arguments of the next reset: the current stage and a new seed."""
        self._next_seed += 1
        return {**self.stages[self.stage_index], "seed": self._next_seed - 1}

    def record_reward(self, reward: float, stage_index: int | None = None) -> None:
        """Record the reward of an episode, and change the stage if the success rate requires it.

        Args:
            reward: final reward of the episode.
            stage_index: stage of the episode; None for the current stage. Late results that belong
                to a different stage are ignored.
        """
        if stage_index is not None and stage_index != self.stage_index:
            return
        self._recent_successes.append(reward >= self._success_reward)
        if len(self._recent_successes) < self._window:
            return
        if self.success_rate >= self._promote_at:
            self._move_to_stage_if_exists(self.stage_index + 1)
        elif self.success_rate < self._demote_below:
            self._move_to_stage_if_exists(self.stage_index - 1)

    def record_group_rewards(
        self, rewards: Sequence[float], stage_index: int | None = None
    ) -> bool:
        """Record the rewards of a group and return whether they differ enough to give a signal.

        Args:
            rewards: final rewards of the rollouts of one task.
            stage_index: see `record_reward`.
        """
        stage_of_group = self.stage_index if stage_index is None else stage_index
        has_signal = max(rewards) - min(rewards) > MIN_REWARD_DIFFERENCE + ROUNDING_TOLERANCE
        counts = self.group_counts[stage_of_group]
        counts.played += 1
        if has_signal:
            counts.with_signal += 1
        for reward in rewards:
            self.record_reward(reward, stage_of_group)
        return has_signal

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values, which `load_state_dict` restores."""
        return {
            "stage": self.stage_index,
            "seed": self._next_seed,
            "results": list(self._recent_successes),
            "groups": [[counts.played, counts.with_signal] for counts in self.group_counts],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned.

        Raises:
            InvalidValueError: the state belongs to a curriculum with a different number of stages.
        """
        if len(state["groups"]) != len(self.stages):
            allowed = f"the state of a curriculum with {len(self.stages)} stages"
            raise InvalidValueError("number of stages", len(state["groups"]), allowed)
        self.stage_index, self._next_seed = state["stage"], state["seed"]
        self._recent_successes.clear()
        self._recent_successes.extend(state["results"])
        self.group_counts = [
            GroupCounts(played, with_signal) for played, with_signal in state["groups"]
        ]

    def _move_to_stage_if_exists(self, stage_index: int) -> None:
        if 0 <= stage_index < len(self.stages):
            self.stage_index = stage_index
            self._recent_successes.clear()
