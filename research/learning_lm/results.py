"""Results of a run: means of the players, and paired differences with intervals over tasks.

Intervals are 95 % percentile intervals of a bootstrap over tasks. There is one training seed, so
they do not contain the variation between seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from openenv_kit.results.statistics import MeanInterval, bootstrap_mean_interval
from research.learning_lm.records import PlayedTasks
from research.learning_lm.settings import Player, TaskSet


class Comparison(NamedTuple):
    """Two players whose results on the same tasks are compared."""

    player: Player
    task_set: TaskSet
    baseline: Player
    baseline_task_set: TaskSet

    @property
    def is_primary(self) -> bool:
        """Whether this is the comparison that the experiment was designed for."""
        return self == PRIMARY_COMPARISON


PRIMARY_COMPARISON = Comparison(Player.GRPO, TaskSet.TEST, Player.SFT_CONTINUED, TaskSet.TEST)
"""Fixed before the run: does GRPO add more than as much CPU time of imitation?"""

COMPARISONS = (
    PRIMARY_COMPARISON,
    Comparison(Player.GRPO, TaskSet.TEST, Player.SFT, TaskSet.TEST),
    Comparison(Player.GRPO, TaskSet.TEST, Player.GRPO_SHUFFLED, TaskSet.TEST),
    Comparison(Player.SFT_CONTINUED, TaskSet.TEST, Player.SFT, TaskSet.TEST),
    Comparison(Player.GRPO_SHUFFLED, TaskSet.TEST, Player.SFT, TaskSet.TEST),
    Comparison(Player.SFT, TaskSet.REPLACED_CALENDAR, Player.SFT, TaskSet.TEST),
    Comparison(Player.GRPO, TaskSet.REPLACED_CALENDAR, Player.GRPO, TaskSet.TEST),
    *(
        Comparison(Player.GRPO, task_set, Player.SFT, task_set)
        for task_set in (TaskSet.NEXT_RUNG, TaskSet.FLIGHTS_TWIN)
    ),
)


@dataclass(frozen=True)
class PlayerResult:
    """A player's results on a set of tasks.

    Attributes:
        player: the player.
        task_set: the set of tasks.
        task_count: number of tasks.
        exact: share of exactly right reports, with its interval.
        graded: mean score.
        key_f1: mean F1 of the reported rows.
        submitted: share of tasks with a report.
        tokens: mean number of generated tokens.
    """

    player: Player
    task_set: TaskSet
    task_count: int
    exact: MeanInterval | None
    graded: float
    key_f1: float
    submitted: float
    tokens: float


@dataclass(frozen=True)
class Difference:
    """Paired difference of the shares of exact reports of two players.

    Attributes:
        comparison: the two players.
        task_count: number of tasks that both played.
        exact: mean difference, with its interval.
        changed: share of the tasks on which the two differ.
    """

    comparison: Comparison
    task_count: int
    exact: MeanInterval
    changed: float


def summarize_players(records: Sequence[PlayedTasks]) -> list[PlayerResult]:
    """Return the results of each player on each set of tasks, in the order of the players."""
    order = list(Player), list(TaskSet)
    ordered = sorted(records, key=lambda r: (order[1].index(r.task_set), order[0].index(r.player)))
    return [
        PlayerResult(
            record.player,
            record.task_set,
            len(record.tasks),
            bootstrap_mean_interval([task.exact for task in record.tasks]),
            fmean(task.graded for task in record.tasks),
            fmean(task.key_f1 for task in record.tasks),
            fmean(task.ids is not None for task in record.tasks),
            fmean(task.tokens for task in record.tasks),
        )
        for record in ordered
    ]


def iter_differences(records: Sequence[PlayedTasks]) -> Iterator[Difference]:
    """Yield the differences whose two players have played at least two common tasks."""
    exact_by_task = {
        (record.player, record.task_set): {task.task: task.exact for task in record.tasks}
        for record in records
    }
    for comparison in COMPARISONS:
        after = exact_by_task.get((comparison.player, comparison.task_set), {})
        before = exact_by_task.get((comparison.baseline, comparison.baseline_task_set), {})
        differences = [after[task] - before[task] for task in after if task in before]
        interval = bootstrap_mean_interval(differences)
        if interval is not None:
            changed = fmean(difference != 0.0 for difference in differences)
            yield Difference(comparison, len(differences), interval, changed)
