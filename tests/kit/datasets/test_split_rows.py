"""Rows of a split for trainers."""

from __future__ import annotations

import pytest

from openenv_kit.datasets.split_rows import (
    list_task_rows,
    reset_arguments_from_row,
    select_rows_of_rank,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError

ENVIRONMENT_NAMES = ("metric_tracker_rl", "drilldown", "firewatch")


PUBLIC_SPLITS = ("train", "validation", "test")


def test_rows_hold_neither_seed_nor_label():
    rows = list_task_rows("test", first=5, count=4)
    assert [row["index"] for row in rows] == [5, 6, 7, 8]
    assert {name for row in rows for name in row} == {
        *("environment", "task", "level", "split", "index")
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian",), "Did you mean 'train'"),
        (("train", -1), "first is -1"),
        (("train", 0, 0), "count is 0"),
    ],
)
def test_rows_of_what_is_no_split_are_refused(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        list_task_rows(*arguments)


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
@pytest.mark.parametrize("rung", ["rung_1", "rung_5"])
def test_rows_of_a_rung_play_that_rung(name: str, rung: str) -> None:
    environment = get_environment(name)
    for split in PUBLIC_SPLITS:
        (row,) = list_task_rows(split, first=3, count=1, environment_name=name, level=rung)
        named = {"environment": name, "task": f"{split}_{rung}-3", "level": rung}
        assert row == {**named, "split": f"{split}_{rung}", "index": 3}
        reset = reset_arguments_from_row(row, name)
        assert environment.build_result_labels(reset)["level"] == rung
        assert environment.create_session().reset(**reset).status != "error"


@pytest.mark.parametrize(
    ("split", "level", "message"),
    [
        ("train", "rung_11", "Unknown level 'rung_11'. Did you mean 'rung_1'"),
        ("train", "x", "Allowed: easy, medium, hard, expert, rung_1, rung_2"),
        ("trian", "rung_1", "Unknown split 'trian'. Did you mean 'train'"),
        ("sealed", "rung_1", "Unknown split 'sealed'"),
        ("train_rung_11", None, "Unknown split 'train_rung_11'. Did you mean 'train_rung_1'"),
        ("train_rung_1", "rung_2", "Unknown level 'rung_2'"),
    ],
)
def test_rows_of_an_unknown_rung_name_the_nearest(
    split: str, level: str | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        list_task_rows(split, level=level)


@pytest.mark.parametrize("world_size", [1, 3, 4, 24])
def test_ranks_play_disjoint_rows_that_are_all_rows_together(world_size: int) -> None:
    rows = list_task_rows("train", count=24)
    parts = [select_rows_of_rank(rows, rank, world_size) for rank in range(world_size)]
    assert sorted(row["index"] for part in parts for row in part) == list(range(24))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("rank", "world_size", "message"),
    [
        (2, 2, "rank is 2; allowed: an integer from 0 to 1"),
        (-1, 2, "rank is -1"),
        (0, 0, "world_size is 0"),
        (0, 4, "number of rows is 3; allowed.* 4 ranks"),
    ],
)
def test_a_rank_that_does_not_exist_or_has_no_row_is_refused(
    rank: int, world_size: int, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        select_rows_of_rank(list_task_rows("train", count=3), rank, world_size)
