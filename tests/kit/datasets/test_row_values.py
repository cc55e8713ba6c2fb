"""Values of dataset rows: missing ones, numbers of other libraries, and wrong ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openenv_kit.datasets.row_values import convert_to_python_value, convert_whole_number_to_int
from openenv_kit.datasets.split_rows import (
    list_task_rows,
    reset_arguments_from_row,
    select_rows_of_rank,
)
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.trainers.openenv_harness import parse_task_row
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import environment_class
from support.tool_episodes import task_of

MISSING = {
    "None": None,
    "NaN": math.nan,
    "numpy's NaN": np.float64("nan"),
    "a NaN in 32 bits": np.float32("nan"),
    "NA": pd.NA,
    "NaT": pd.NaT,
}


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
def test_missing_value_of_a_row_counts_as_empty(missing: Any) -> None:
    row = {"split": "train", "index": 3, "seed": missing, "profile": missing, "reset": missing}
    assert reset_arguments_from_row(row) == {"split": "train", "index": 3}
    nested = {"reset": {"split": "train", "index": 3, "reward": missing}, "split": missing}
    assert reset_arguments_from_row(nested) == {"split": "train", "index": 3}
    assert convert_to_python_value([missing, {"a": missing}]) == [None, {"a": None}]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float64(3.0), 3),
        (3.0, 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array(3), 3),
        (np.str_("easy"), "easy"),
        (np.array([1, 2]), [1, 2]),
        (True, True),
        ("3", "3"),
    ],
)
def test_number_of_another_library_is_read_as_pythons(value: Any, read: Any) -> None:
    found = convert_whole_number_to_int(value)
    assert (found, type(found)) == (read, type(read))


def test_float_that_may_have_been_rounded_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"seed is .* rounded"):
        reset_arguments_from_row({"seed": float(2**60)})


def test_rows_of_a_frame_with_gaps_play_their_tasks() -> None:
    rows = [
        *list_task_rows("train", count=2, environment_name="firewatch"),
        {"environment": "firewatch", "task": "seeded", "seed": 5, "difficulty": "easy"},
    ]
    frame = pd.DataFrame(rows)
    assert frame["index"].dtype == float
    environment = environment_class("firewatch", "train")()
    for given, (_, series) in zip(rows, frame.iterrows(), strict=True):
        environment.reset(**series.to_dict())
        episode = ToolEpisode(environment="firewatch")
        episode.reset(series)
        assert task_of(episode) == task_of(environment._episode)
        wanted = ToolEpisode(environment="firewatch")
        wanted.reset(given)
        assert task_of(episode) == task_of(wanted)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"split": "trian"}, "'trian'.*Did you mean 'train'"),
        ({"split": "train", "index": 3.5}, r"index is 3\.5; allowed: an integer from 0 to 19199"),
        ({"split": "train", "index": np.int64(-1)}, "index is -1; allowed"),
        ({"reset": {"splt": "train"}}, "'splt'.*Did you mean 'split'"),
        ({"reset": "{"}, "reset is '{'; allowed: an object, or its JSON"),
        ({"reset": [1]}, r"reset is \[1\]; allowed: an object"),
        ({"environment": "firewach"}, "'firewach'; allowed: 'metric_tracker_rl'"),
        (3, "row is 3; allowed: an object"),
    ],
)
def test_wrong_row_is_refused_with_the_value_and_what_is_allowed(row: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ToolEpisode().reset(row)


def test_functions_that_make_rows_take_none_and_numpys_numbers() -> None:
    assert list_task_rows(None, None, np.int64(2), None, None, None) == list_task_rows(
        "train", 0, 2
    )
    rows = list_task_rows(count=4, extra_reset_arguments=None)
    assert select_rows_of_rank(rows, np.int64(1), np.int64(2)) == select_rows_of_rank(rows, 1, 2)
    assert parse_task_row(np.nan) == {}
    with pytest.raises(InvalidValueError, match=r"first is 1\.5; allowed"):
        list_task_rows("train", 1.5)  # type: ignore[arg-type]
