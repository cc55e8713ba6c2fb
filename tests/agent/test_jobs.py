"""Which episodes a run plays."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from metric_tracker_rl.agent.jobs import Job, derived_seed, plan
from metric_tracker_rl.errors import SettingsError


def test_the_default_is_the_three_named_tasks_with_their_own_seeds() -> None:
    assert plan() == [
        Job(name, 0, {"task_id": name})
        for name in ("easy_single_spike", "medium_mixed_pair", "hard_mixed_multi")
    ]


def test_further_episodes_have_seeds_of_their_own_that_never_change() -> None:
    jobs = plan("easy_single_spike", episodes=4)
    assert jobs[0].reset == {"task_id": "easy_single_spike"}
    seeds = [job.reset["seed"] for job in jobs[1:]]
    assert len(set(seeds)) == 3
    assert seeds == [derived_seed("easy_single_spike", 11, number) for number in (1, 2, 3)]
    # For ever: results of different days are compared.
    assert seeds[0] == 826515271
    assert [job.label for job in jobs][:2] == ["easy_single_spike", "easy_single_spike-e1"]


def test_a_seed_changes_the_first_episode_and_all_that_follow() -> None:
    jobs = plan("easy_single_spike", episodes=2, seed=5)
    assert jobs[0].reset["seed"] == 5
    assert jobs[1].reset["seed"] == derived_seed("easy_single_spike", 5, 1)
    assert jobs[1].reset["seed"] != plan("easy_single_spike", episodes=2)[1].reset["seed"]


@dataclass
class SplitTask:
    task_id: str
    seed: int

    def reset_arguments(self) -> dict[str, Any]:
        return {"seed": self.seed, "difficulty": "hard"}


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of splits with one split of ten tasks."""
    module: Any = ModuleType("metric_tracker_rl.splits")
    module.list_splits = lambda: ["train"]
    module.num_tasks = lambda _: 10
    module.get_task = lambda split, index: SplitTask(f"{split}-{index}", 100 + index)
    monkeypatch.setitem(sys.modules, "metric_tracker_rl.splits", module)


def test_a_range_of_a_split_leaves_its_stop_out(splits: None) -> None:
    jobs = plan("train:2-4")
    assert jobs == [
        Job("train-2", 0, {"seed": 102, "difficulty": "hard"}),
        Job("train-3", 0, {"seed": 103, "difficulty": "hard"}),
    ]


def test_the_ends_of_a_range_may_be_left_out_and_tasks_mixed_in(splits: None) -> None:
    assert len(plan("train:-")) == 10
    names = [job.task_id for job in plan("train:8-,easy_single_spike")]
    assert names == ["train-8", "train-9", "easy_single_spike"]


def test_episodes_of_a_split_are_repeated_as_they_are(splits: None) -> None:
    jobs = plan("train:0-1", episodes=2)
    assert [job.reset["seed"] for job in jobs] == [100, 100]
    assert [job.label for job in jobs] == ["train-0", "train-0-e1"]


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("trian:0-1", "Did you mean 'train'?"),
        ("train:5-11", "0 <= start < stop <= 10"),
        ("train:3-3", "0 <= start < stop <= 10"),
        ("train:1:2", "a task id, or split:start-stop"),
        ("no_such_task", "Unknown task_id 'no_such_task'"),
    ],
)
def test_a_range_or_a_name_that_does_not_exist_is_an_error(
    splits: None, tasks: str, words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        plan(tasks)
    assert words in str(caught.value)


def test_a_seed_for_a_split_is_an_error(splits: None) -> None:
    with pytest.raises(SettingsError, match="a split fixes its seeds"):
        plan("train:0-1", seed=1)


def test_without_splits_the_error_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metric_tracker_rl.splits", None)
    with pytest.raises(SettingsError, match="no splits; allowed in --tasks: easy_single_spike"):
        plan("train:0-1")


def test_the_same_task_twice_is_an_error() -> None:
    with pytest.raises(SettingsError, match="'easy_single_spike' twice"):
        plan("easy_single_spike,easy_single_spike")
