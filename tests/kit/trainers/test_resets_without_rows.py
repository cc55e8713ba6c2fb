"""Resets without a dataset row play different tasks of the train split."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openenv_kit.datasets.split_rows import (
    list_task_rows,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.trainers.openenv_harness import (
    ToolSession,
    ToolSessionFactory,
    collect_episodes,
)
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import environment_class
from support.tool_episodes import task_of

NAMES = ("metric_tracker_rl", "drilldown", "firewatch")
EMPTY_PROMPT = [{"role": "user", "content": ""}]
MISSING = {
    "None": None,
    "NaN": math.nan,
    "numpy's NaN": np.float64("nan"),
    "a NaN in 32 bits": np.float32("nan"),
    "NA": pd.NA,
    "NaT": pd.NaT,
}
NO_ROW: dict[str, dict[str, Any]] = {
    "nothing": {},
    "an empty prompt": {"prompt": EMPTY_PROMPT},
    "other columns": {"prompt": EMPTY_PROMPT, "uid": 7, "tags": ["a"], "environment": None},
    "an empty reset": {"reset": {}},
    "an empty reset as text": {"reset": "{}"},
    "a reset of nothing": {"reset": {"split": None, "index": math.nan}},
    **{
        name: {"split": value, "index": value, "task_id": value, "environment": value}
        for name, value in MISSING.items()
    },
}


@pytest.mark.parametrize("row", NO_ROW.values(), ids=NO_ROW)
@pytest.mark.parametrize("name", NAMES)
def test_trl_reset_without_a_row_starts_another_task_of_train_with_its_rules(
    name: str, row: dict[str, Any]
) -> None:
    made = environment_class(name)
    environments = [made(), made()]
    tasks = []
    for environment in environments * 2:
        opening = environment.reset(**row)
        assert opening.startswith(environment._episode.system_prompt + "\n\n")
        tasks.append(task_of(environment._episode))
    assert len(set(tasks)) == 4
    assert all(task.startswith("train-") for task in tasks)


def test_trl_class_of_a_split_level_and_mode_draws_from_them() -> None:
    made = environment_class("drilldown", "validation", level="drill_sql")()
    levels = {
        row["task"]: row["level"]
        for row in list_task_rows("validation", environment_name="drilldown")
    }
    for _ in range(3):
        made.reset()
        assert levels[task_of(made._episode)] == "drill_sql"
    lean = environment_class(reset={"profile": "lean"}, level="rung_3")()
    assert "scan" in lean.reset()
    assert task_of(lean._episode).startswith("train_rung_3-")


@pytest.mark.parametrize(
    ("name", "reset"),
    [
        *((name, {}) for name in NAMES),
        *((None, {"profile": "lean", "disclosure": mode}) for mode in ("guided", "raw")),
    ],
)
def test_scripted_policy_plays_an_episode_whose_opening_begins_with_the_rules(
    name: str | None, reset: dict[str, Any]
) -> None:
    environment: Any = environment_class(name, reset=reset)()
    opening, answers = environment.reset(), []
    while call := get_next_scripted_call("reference", answers, name, opening):
        answers.append(getattr(environment, call[0])(**call[1]))
    assert environment.get_reward() == 1.0


def test_trl_reset_of_a_row_adds_the_rules_only_where_its_prompt_is_empty() -> None:
    environment = environment_class()()
    row = {"split": "train", "index": 3}
    introduction = environment.reset(**row)
    brief = environment._episode.system_prompt
    assert not introduction.startswith(brief)
    system = {"role": "system", "content": brief}
    parts = [{"role": "user", "content": [{"type": "text", "text": "Play."}]}]
    for prompt in ([system, *EMPTY_PROMPT], parts, "Play."):
        assert environment.reset(prompt=prompt, **row) == introduction
    for prompt in ([], EMPTY_PROMPT, "", None, math.nan):
        assert environment.reset(prompt=prompt, **row) == f"{brief}\n\n{introduction}"
    assert brief not in environment.reset(prompt=[system, *EMPTY_PROMPT])
    assert task_of(environment._episode) != "train-3"


def test_every_adapter_of_the_framework_starts_another_task_without_a_row() -> None:
    factory = ToolSessionFactory()
    sessions = [
        *(ToolSession(), ToolSession(None), ToolSession({}), ToolSession({"uid": 3})),
        *(factory.create(), factory.create(None), factory.create({}), factory.create(math.nan)),
        factory.create([{"role": "user", "content": ""}]),
    ]
    tasks = [task_of(session._episode) for session in sessions]
    assert len(set(tasks)) == len(tasks)
    assert all(task.startswith("train-") for task in tasks)
    system, user = sessions[0].initial_messages()
    assert system["content"] == get_environment().build_system_prompt()
    assert user["content"].startswith("Find every anomaly")


def test_harness_draws_the_task_of_the_trainers_seed() -> None:
    tasks = [
        task_of(ToolSessionFactory().create(None, seed)._episode) for seed in (3, np.int64(3), 4, 5)
    ]
    assert tasks[0] == tasks[1]
    assert len(set(tasks)) == 3
    assert all(task.startswith("train-") for task in tasks)
    with pytest.raises(InvalidValueError, match=r"seed is 1\.5; allowed: an integer"):
        ToolSessionFactory().create(None, 1.5)  # type: ignore[arg-type]


def test_collection_of_rows_without_a_task_is_resumed_with_the_same_tasks(tmp_path: Path) -> None:
    assert collect_episodes(tmp_path, [{}]).num_collected == 1
    result = collect_episodes(tmp_path, [{}, {"profile": "lean"}])
    assert (result.num_skipped, result.num_collected, result.avg_reward) == (1, 1, 1.0)
    resets = json.loads((tmp_path / "metadata.json").read_text())["resets"]
    assert [set(reset) for reset in resets] == [
        {"split", "index"},
        {"split", "index", "profile"},
    ]


def test_row_that_leaves_the_task_open_draws_one_in_its_mode_and_level() -> None:
    episode = ToolEpisode()
    for row, begin in (
        ({"profile": "lean"}, "train-"),
        ({"split": "validation"}, "validation-"),
        ({"difficulty": "rung_2"}, "train_rung_2-"),
        ({"difficulty": 1.0, "reward": "exact"}, "train_rung_5-"),
    ):
        episode.reset(row)
        first = task_of(episode)
        episode.reset(row)
        assert first.startswith(begin)
        assert task_of(episode) != first
    episode.reset({"anomaly_count": 3})  # for which a split leaves no room
    assert task_of(episode)
    with pytest.raises(ConfigurationError, match="Did you mean 'lean'"):
        episode.reset({"profile": "leen"})


@pytest.mark.parametrize(
    ("env_config", "extras"),
    [
        (None, None),
        ({}, {}),
        ({"base_url": None}, {"reset": None, "max_turns": None}),
        ({"base_url": math.nan}, {"reset": math.nan, "max_turns": math.nan, "uid": 3}),
        ({}, {"reset": "{}", "max_turns": np.int64(64)}),
        ({}, {"reset": {}, "max_turns": "64"}),
    ],
)
def test_skyrl_episode_without_a_row_starts_another_task_with_its_rules(
    stand_ins: Any, env_config: Any, extras: Any
) -> None:
    tasks = []
    prompts: list[Any] = [None, [], EMPTY_PROMPT, [{"role": "system", "content": "Be brief."}]]
    for prompt in prompts:
        episode = stand_ins.skyrl.TextEpisode(env_config, extras, None)
        (system, user), _ = episode.init(prompt)
        assert (system["role"], user["role"], episode.max_turns) == ("system", "user", 64)
        assert system["content"].startswith(get_environment().build_system_prompt())
        assert '"submit_solution"' in system["content"]
        assert user["content"].startswith("Find every anomaly")
        tasks.append(task_of(episode._episode))
    assert system["content"].endswith("Be brief.")
    assert len(set(tasks)) == len(tasks)
    assert all(task.startswith("train-") for task in tasks)


def test_skyrl_row_is_played_as_before_and_a_wrong_one_is_refused(stand_ins: Any) -> None:
    (row,) = stand_ins.skyrl.build_dataset_rows(None, None, 1, None, None, None)
    episode = stand_ins.skyrl.TextEpisode({}, {"reset": row["reset"]})
    messages, _ = episode.init(row["prompt"])
    assert messages[0] == row["prompt"][0]
    assert task_of(episode._episode) == row["task"] == "train-0"
    with pytest.raises(InvalidValueError, match="max_turns is 'many'; allowed: an integer from 1"):
        stand_ins.skyrl.TextEpisode({}, {"max_turns": "many"})


async def test_nemo_gym_session_without_a_reset_starts_another_task_and_gives_the_rules(
    stand_ins: Any,
) -> None:
    config = SimpleNamespace(base_url=None, environment=None, record=None)
    server = stand_ins.nemo_gym.EpisodeServer(config=config, _episodes={}, _results={})
    tasks = []
    for number, body in enumerate(({}, {"reset": None}, {"reset": {}}, {"reset": "{}", "uid": 1})):
        request = SimpleNamespace(session={"session_id": str(number)})
        answer = await server.seed_session(request, stand_ins.nemo_gym.SeedRequest(**body))
        assert answer.instructions.startswith(get_environment().build_system_prompt())
        assert "Find every anomaly" in answer.instructions
        assert [
            tool["name"] for tool in answer.tools
        ] == get_environment().tools.select_for_episode().tool_names
        tasks.append(task_of(server._episodes[str(number)]))
    assert len(set(tasks)) == len(tasks)
    assert all(task.startswith("train-") for task in tasks)
