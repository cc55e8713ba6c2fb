"""Splits whose tasks are drawn by a hash."""

from __future__ import annotations

from openenv_kit.splits import SEALED_SPLIT, HashedSplits

LEVELS = (1, 2, 3)


SPLITS: HashedSplits[dict[str, int], int] = HashedSplits(
    "guess/1",
    blocks={"train": 20, "test": 4, SEALED_SPLIT: 2},
    strata=LEVELS,
    make_config=lambda seed, level: {"seed": seed, "level": level},
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
    assert SPLITS.task("test", 2).as_dict() == {
        "id": "test-2",
        "split": "test",
        "index": 2,
        "reset": {"split": "test", "index": 2},
    }
