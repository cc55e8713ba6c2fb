"""A curriculum: stages of tasks, from easy to hard, moved along with the trailing success rate.

It knows no trainer and no environment: it hands out arguments of resets and is told rewards.

```python
curriculum = Curriculum([{"difficulty": "easy"}, {"difficulty": "hard"}])
reset = curriculum.next()  # {"difficulty": "easy", "seed": 0}
curriculum.record(0.4)
```
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from openenv_kit.errors import InvalidValueError, require_integer

MIN_REWARD_DIFFERENCE = 0.01
"""Rewards that differ by no more than this count as alike."""
RUNG_LEVEL_NAMES = tuple(f"rung_{number}" for number in range(1, 11))
"""Names of the rungs of an environment that has levels by number, from the easiest on."""


def resolve_level_name(difficulty: str | float) -> str:
    """Name of the level that a reset asks for: a name stays, a number is the nearest rung's.

    Raises:
        InvalidValueError: a number outside [0, 1].
    """
    if isinstance(difficulty, str):
        return difficulty
    number = isinstance(difficulty, int | float) and not isinstance(difficulty, bool)
    if not number or not 0.0 <= difficulty <= 1.0:
        raise InvalidValueError("difficulty", difficulty, "a name, or a number from 0 to 1")
    return RUNG_LEVEL_NAMES[round(difficulty * (len(RUNG_LEVEL_NAMES) - 1))]


class Curriculum:
    """Hands out tasks of the stage that the results so far call for.

    Once `window` results of a stage are in, each further one decides: at a success rate of
    `promote_at` or more the next stage begins, below `demote_below` the one before. A new stage
    begins without results.

    Args:
        stages: arguments of resets, without a seed, from the easiest stage to the hardest.
        window: results that the rate is taken over, at least 1.
        promote_at, demote_below: success rates, 0 <= demote_below < promote_at <= 1.
        success_reward: reward from which on an episode counts as a success.
        first_seed: of the first task; each further one has the next. Different runs take different
            ones, and none that a test is made with.

    Attributes:
        stage_index: index of the running stage.
        group_counts: of each stage, how many groups were played and how many of them had signal.

    Raises:
        InvalidValueError: one of these is out of its range.
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
        self.stages = [dict(each) for each in stages]
        self.stage_index = 0
        self.group_counts = [[0, 0] for _ in self.stages]
        self._promote_at, self._demote_below, self._success_reward = (
            promote_at,
            demote_below,
            success_reward,
        )
        self._recent_successes: deque[bool] = deque(
            maxlen=require_integer("window", window, 1, 10**6)
        )
        self._next_seed = first_seed

    @property
    def success_rate(self) -> float:
        """Share of successes among the last results of the stage; 0.0 before the first."""
        return fmean(self._recent_successes) if self._recent_successes else 0.0

    def next_reset_arguments(self) -> dict[str, Any]:
        """Arguments of the next reset: those of the stage, with a fresh seed."""
        self._next_seed += 1
        return {**self.stages[self.stage_index], "seed": self._next_seed - 1}

    def record_reward(self, reward: float, stage_index: int | None = None) -> None:
        """Take note of an episode's reward, and move where it is time to.

        Args:
            reward: what the episode ended with.
            stage_index: that it was of, where results come late; those of another stage than the
                running one are left out. None for the running one.
        """
        if stage_index is not None and stage_index != self.stage_index:
            return
        self._recent_successes.append(reward >= self._success_reward)
        if len(self._recent_successes) < (self._recent_successes.maxlen or 0):
            return
        moved = (self.success_rate >= self._promote_at) - (self.success_rate < self._demote_below)
        if 0 <= self.stage_index + moved < len(self.stages) and moved:
            self.stage_index += moved
            self._recent_successes.clear()

    def record_group_rewards(
        self, rewards: Sequence[float], stage_index: int | None = None
    ) -> bool:
        """Take note of a group of plays of one task; whether they differ enough to learn from."""
        at = self.stage_index if stage_index is None else stage_index
        differ = max(rewards) - min(rewards) > MIN_REWARD_DIFFERENCE + 1e-9
        self.group_counts[at][0] += 1
        self.group_counts[at][1] += differ
        for reward in rewards:
            self.record_reward(reward, at)
        return differ

    def state_dict(self) -> dict[str, Any]:
        """How far it is, JSON-ready."""
        state = {
            "stage": self.stage_index,
            "seed": self._next_seed,
            "results": list(self._recent_successes),
        }
        return {**state, "groups": self.group_counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned, with the same stages.

        Raises:
            InvalidValueError: the state is of a curriculum with another number of stages.
        """
        if len(state["groups"]) != len(self.stages):
            allowed = f"the state of a curriculum with {len(self.stages)} stages"
            raise InvalidValueError("number of stages", len(state["groups"]), allowed)
        self.stage_index, self._next_seed = state["stage"], state["seed"]
        self._recent_successes.clear()
        self._recent_successes.extend(state["results"])
        self.group_counts = [list(each) for each in state["groups"]]
