"""Rows of a split for trainers."""

from __future__ import annotations

import pytest

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.errors import ConfigurationError

pytestmark = [pytest.mark.slow, pytest.mark.network]


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
