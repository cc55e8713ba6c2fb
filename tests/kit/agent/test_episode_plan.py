"""The episodes of a run."""

from __future__ import annotations

import pytest

from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.agent.episode_plan import PlannedEpisode, derive_seed_of_repetition, plan_episodes
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.variables import SALT_VARIABLE

NAME = "pipe_leak"


def test_the_default_is_the_three_named_tasks_with_their_own_seeds() -> None:
    assert plan_episodes(ENVIRONMENT) == [
        PlannedEpisode(name, 0, {"task_id": name})
        for name in ("easy_single_spike", "medium_mixed_pair", "hard_mixed_multi")
    ]


def test_further_episodes_have_seeds_of_their_own_that_never_change() -> None:
    jobs = plan_episodes(ENVIRONMENT, "easy_single_spike", episodes_per_task=4)
    assert jobs[0].reset == {"task_id": "easy_single_spike"}
    seeds = [job.reset["seed"] for job in jobs[1:]]
    assert len(set(seeds)) == 3
    assert seeds == [
        derive_seed_of_repetition("easy_single_spike", 11, number) for number in (1, 2, 3)
    ]
    # For ever: results of different days are compared.
    assert seeds[0] == 826515271
    assert [job.unique_label for job in jobs][:2] == ["easy_single_spike", "easy_single_spike-e1"]


def test_a_seed_changes_the_first_episode_and_all_that_follow() -> None:
    jobs = plan_episodes(ENVIRONMENT, "easy_single_spike", episodes_per_task=2, first_seed=5)
    assert jobs[0].reset["seed"] == 5
    assert jobs[1].reset["seed"] == derive_seed_of_repetition("easy_single_spike", 5, 1)
    assert (
        jobs[1].reset["seed"]
        != plan_episodes(ENVIRONMENT, "easy_single_spike", episodes_per_task=2)[1].reset["seed"]
    )


def test_a_range_of_a_split_leaves_its_stop_out() -> None:
    assert plan_episodes(ENVIRONMENT, "train:2-4") == [
        PlannedEpisode("train-2", 0, {"split": "train", "index": 2}),
        PlannedEpisode("train-3", 0, {"split": "train", "index": 3}),
    ]


@pytest.mark.parametrize("index", [0, 7, 2303])
def test_a_job_is_the_splits_own_task(index: int) -> None:
    (job,) = plan_episodes(ENVIRONMENT, f"validation:{index}-{index + 1}")
    task = SPLITS.task("validation", index)
    assert (job.task_id, job.reset) == (task.task_id, task.reset_arguments())


def test_the_ends_of_a_range_may_be_left_out_and_tasks_mixed_in() -> None:
    size = SPLITS.size("test")
    assert len(plan_episodes(ENVIRONMENT, "test:-")) == size
    names = [
        job.task_id
        for job in plan_episodes(ENVIRONMENT, f"test:{size - 2}-,easy_single_spike,train:-1")
    ]
    assert names == [f"test-{size - 2}", f"test-{size - 1}", "easy_single_spike", "train-0"]


def test_episodes_of_a_split_are_repeated_as_they_are() -> None:
    jobs = plan_episodes(ENVIRONMENT, "train:0-1", episodes_per_task=2)
    assert jobs[0].reset == jobs[1].reset
    assert [job.unique_label for job in jobs] == ["train-0", "train-0-e1"]


def test_the_sealed_split_needs_no_salt_on_the_players_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    assert plan_episodes(ENVIRONMENT, "sealed:1-2") == [
        PlannedEpisode("sealed-1", 0, {"split": "sealed", "index": 1})
    ]


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("trian:0-1", "Did you mean 'train'?"),
        ("validation:5-99999", "0 <= start < stop <= 2304 in validation"),
        ("train:3-3", "0 <= start < stop <="),
        ("train:1:2", "a task id, or split:start-stop"),
        ("no_such_task", "Unknown task_id 'no_such_task'"),
    ],
)
def test_a_range_or_a_name_that_does_not_exist_is_an_error(tasks: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan_episodes(ENVIRONMENT, tasks)
    assert words in str(caught.value)


def test_a_seed_for_a_split_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="a split fixes its seeds"):
        plan_episodes(ENVIRONMENT, "train:0-1", first_seed=1)


def test_the_same_task_twice_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="'easy_single_spike' twice"):
        plan_episodes(ENVIRONMENT, "easy_single_spike,easy_single_spike")


def test_rejected_reset_argument_is_reported_before_the_run() -> None:
    with pytest.raises(
        ConfigurationError, match=r"Unknown difficulty 'hrad'\. Did you mean 'hard'"
    ):
        plan_episodes(ENVIRONMENT, extra_reset_arguments={"difficulty": "hrad"})
    assert (
        plan_episodes(ENVIRONMENT, extra_reset_arguments={"profile": "lean"})[0].reset["profile"]
        == "lean"
    )


def test_tasks_that_fix_their_seed_are_planned_and_repeated_as_they_are():
    environment = get_environment(NAME)
    planned = plan_episodes(environment, "", 2)
    assert [each.unique_label for each in planned[:3]] == ["train-0", "train-0-e1", "train-1"]
    assert [each.reset["index"] for each in planned[:3]] == [0, 0, 1]
    with pytest.raises(ConfigurationError, match="'train-0' fixes its seed"):
        plan_episodes(environment, "train-0", 1, first_seed=3)


def test_a_run_of_inference_may_name_tasks_of_a_rung() -> None:
    planned = plan_episodes(get_environment(), "train_rung_3:0-2")
    assert [each.unique_label for each in planned] == ["train_rung_3-0", "train_rung_3-1"]
