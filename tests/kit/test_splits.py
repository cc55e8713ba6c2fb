"""Splits whose tasks are drawn by a hash."""

from __future__ import annotations

from openenv_kit.splits import SEALED_SPLIT, HashedSplits, find_task_indices_of_level

LEVELS = (1, 2, 3)


SPLITS: HashedSplits[dict[str, int], int] = HashedSplits(
    "guess/1",
    blocks={"train": 20, "test": 4, SEALED_SPLIT: 2},
    strata=LEVELS,
    make_config=lambda seed, level: {"seed": seed, "level": level},
)
SPLITS_WITH_LEVELS: HashedSplits[str, str] = HashedSplits(
    "levels/1", {"train": 3}, ["easy", "hard"], lambda _, level: level, level_of=lambda level: level
)
SPLITS_WITHOUT_LEVELS: HashedSplits[int, tuple[()]] = HashedSplits(
    "no-levels/1", {"train": 3}, [()], lambda seed, _: seed
)


def test_hashed_splits_hold_every_stratum_once_a_block_and_never_share_a_seed() -> None:
    seeds = set()
    for code, split in enumerate(("train", "test")):
        tasks = [SPLITS.task(split, index) for index in range(SPLITS.size(split))]
        for block in range(0, len(tasks), 3):
            assert {task.config["level"] for task in tasks[block : block + 3]} == set(LEVELS)
        assert {task.config["seed"] >> 62 for task in tasks} == {code}
        seeds |= {task.config["seed"] for task in tasks}
    assert len(seeds) == SPLITS.size("train") + SPLITS.size("test")
    assert SPLITS.task("test", 2).as_public_dict() == {
        "id": "test-2",
        "split": "test",
        "index": 2,
        "reset": {"split": "test", "index": 2},
    }


def test_task_level_is_that_of_its_configuration() -> None:
    tasks = [SPLITS_WITH_LEVELS.task("train", index) for index in range(6)]
    assert [task.level for task in tasks] == [task.config for task in tasks]
    assert all(task.as_public_dict()["difficulty"] == task.level for task in tasks)


def test_task_of_an_environment_without_levels_shows_none() -> None:
    task = SPLITS_WITHOUT_LEVELS.task("train", 0)
    assert task.level is None
    assert "difficulty" not in task.as_public_dict()


def test_indices_of_level_returns_the_tasks_of_the_level() -> None:
    hard = find_task_indices_of_level(SPLITS_WITH_LEVELS, "train", "hard")
    assert len(hard) == 3
    assert {SPLITS_WITH_LEVELS.task("train", index).level for index in hard} == {"hard"}
