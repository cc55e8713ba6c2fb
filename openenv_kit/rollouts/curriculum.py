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

DIFFERENCE = 0.01
"""Rewards that differ by no more than this count as alike."""
RUNGS = tuple(f"rung_{number}" for number in range(1, 11))
"""Names of the rungs of an environment that has levels by number, from the easiest on."""


def level_named(difficulty: str | float) -> str:
    """Name of the level that a reset asks for: a name stays, a number is the nearest rung's.

    Raises:
        InvalidValueError: a number outside [0, 1].
    """
    if isinstance(difficulty, str):
        return difficulty
    number = isinstance(difficulty, int | float) and not isinstance(difficulty, bool)
    if not number or not 0.0 <= difficulty <= 1.0:
        raise InvalidValueError("difficulty", difficulty, "a name, or a number from 0 to 1")
    return RUNGS[round(difficulty * (len(RUNGS) - 1))]


class Curriculum:
    """Hands out tasks of the stage that the results so far call for.

    Once `window` results of a stage are in, each further one decides: at a success rate of `up` or
    more the next stage begins, below `down` the one before. A new stage begins without results.

    Args:
        stages: arguments of resets, without a seed, from the easiest stage to the hardest.
        window: results that the rate is taken over, at least 1.
        up, down: success rates, 0 <= down < up <= 1.
        success: reward from which on an episode counts as a success.
        seed: of the first task; each further one has the next. Different runs take different ones,
            and none that a test is made with.

    Attributes:
        stage: index of the running stage.
        groups: of each stage, how many groups were played and how many of them had signal.

    Raises:
        InvalidValueError: one of these is out of its range.
    """

    def __init__(
        self,
        stages: Sequence[Mapping[str, Any]],
        *,
        window: int = 50,
        up: float = 0.7,
        down: float = 0.2,
        success: float = 0.9,
        seed: int = 0,
    ) -> None:
        if not stages:
            raise InvalidValueError("stages", list(stages), "at least one stage")
        if not 0.0 <= down < up <= 1.0:
            raise InvalidValueError("down and up", (down, up), "0 <= down < up <= 1")
        self.stages = [dict(each) for each in stages]
        self.stage = 0
        self.groups = [[0, 0] for _ in self.stages]
        self._up, self._down, self._success = up, down, success
        self._results: deque[bool] = deque(maxlen=require_integer("window", window, 1, 10**6))
        self._seed = seed

    @property
    def success_rate(self) -> float:
        """Share of successes among the last results of the stage; 0.0 before the first."""
        return fmean(self._results) if self._results else 0.0

    def next(self) -> dict[str, Any]:
        """Arguments of the next reset: those of the stage, with a fresh seed."""
        self._seed += 1
        return {**self.stages[self.stage], "seed": self._seed - 1}

    def record(self, reward: float, stage: int | None = None) -> None:
        """Take note of an episode's reward, and move where it is time to.

        Args:
            reward: what the episode ended with.
            stage: that it was of, where results come late; those of another stage than the
                running one are left out. None for the running one.
        """
        if stage is not None and stage != self.stage:
            return
        self._results.append(reward >= self._success)
        if len(self._results) < (self._results.maxlen or 0):
            return
        moved = (self.success_rate >= self._up) - (self.success_rate < self._down)
        if 0 <= self.stage + moved < len(self.stages) and moved:
            self.stage += moved
            self._results.clear()

    def record_group(self, rewards: Sequence[float], stage: int | None = None) -> bool:
        """Take note of a group of plays of one task; whether they differ enough to learn from."""
        at = self.stage if stage is None else stage
        differ = max(rewards) - min(rewards) > DIFFERENCE + 1e-9
        self.groups[at][0] += 1
        self.groups[at][1] += differ
        for reward in rewards:
            self.record(reward, at)
        return differ

    def state_dict(self) -> dict[str, Any]:
        """How far it is, JSON-ready."""
        state = {"stage": self.stage, "seed": self._seed, "results": list(self._results)}
        return {**state, "groups": self.groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned, with the same stages.

        Raises:
            InvalidValueError: the state is of a curriculum with another number of stages.
        """
        if len(state["groups"]) != len(self.stages):
            allowed = f"the state of a curriculum with {len(self.stages)} stages"
            raise InvalidValueError("number of stages", len(state["groups"]), allowed)
        self.stage, self._seed = state["stage"], state["seed"]
        self._results.clear()
        self._results.extend(state["results"])
        self.groups = [list(each) for each in state["groups"]]
