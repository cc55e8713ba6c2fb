"""Adapters and `collect` play the tasks of a level's own splits."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.errors import RefusedResetError
from openenv_kit.trainers.nemo_gym_data import iter_data_rows
from openenv_kit.trainers.openenv_harness import ToolSessionFactory
from openenv_kit.trainers.trl import environment_class
from openenv_kit.trainers.trl_datasets import build_dataset
from support.command_line import run_cli
from support.tool_episodes import task_of

LEVEL = "rung_3"
TASK = "train_rung_3-7"
RESET = {"split": "train_rung_3", "index": 7}


@pytest.mark.parametrize("selection", [{"level": LEVEL}, {"split": "train_rung_3"}])
def test_trl_dataset_and_class_of_a_level_play_the_same_task(
    stand_ins: Any, selection: dict[str, str]
) -> None:
    (row,) = build_dataset(first=7, count=1, **selection)  # type: ignore[arg-type]
    assert (row["task"], row["level"]) == (TASK, LEVEL)
    environment = environment_class(**selection)()  # type: ignore[arg-type]
    environment.reset(**row)
    assert task_of(environment._episode) == TASK


def test_harness_plays_the_row_of_a_level_in_any_form() -> None:
    (row,) = list_task_rows(first=7, count=1, level=LEVEL)
    for task in (row, RESET, json.dumps(RESET), [{"role": "user", "content": json.dumps(RESET)}]):
        assert task_of(ToolSessionFactory().create(task)._episode) == TASK


def test_skyrl_row_of_a_level_plays_its_task(stand_ins: Any) -> None:
    (row,) = stand_ins.skyrl.build_dataset_rows(first=7, count=1, level=LEVEL)
    episode = stand_ins.skyrl.TextEpisode({}, {"reset": row["reset"]})
    episode.init(row["prompt"])
    assert task_of(episode._episode) == row["task"] == TASK


async def test_nemo_gym_row_of_a_level_plays_its_task(stand_ins: Any) -> None:
    (row,) = iter_data_rows(first=7, count=1, level=LEVEL)
    assert (row["task"], row["reset"]) == (TASK, RESET)
    config = SimpleNamespace(base_url=None, environment=None, record=None)
    server = stand_ins.nemo_gym.EpisodeServer(config=config, _episodes={}, _results={})
    request = SimpleNamespace(session={"session_id": "1"})
    await server.seed_session(request, stand_ins.nemo_gym.SeedRequest(reset=row["reset"]))
    assert task_of(server._episodes["1"]) == TASK


def test_collect_of_a_level_writes_episodes_of_its_split(tmp_path: Path) -> None:
    command = ("collect", tmp_path, "--split", "train", "--level", LEVEL, "--count", 2)
    assert run_cli(*command).exit_code == 0
    resets = json.loads((tmp_path / "metadata.json").read_text())["resets"]
    assert resets == [{"split": "train_rung_3", "index": index} for index in (0, 1)]


def test_unknown_level_or_level_split_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(RefusedResetError, match=r"Unknown level 'rung_33'\. Did you mean 'rung_3'"):
        environment_class(level="rung_33")().reset()
    refused = run_cli("collect", tmp_path, "--split", "train_rnug_3")
    assert refused.exit_code != 0
    assert "Did you mean 'train_rung_3'" in " ".join((refused.stderr + refused.stdout).split())
