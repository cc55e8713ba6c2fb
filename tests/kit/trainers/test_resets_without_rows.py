"""A reset without a dataset row plays another task of train each time; missing values are empty."""

from __future__ import annotations

import importlib
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openenv_kit.datasets import task_sampling
from openenv_kit.datasets.row_values import to_int_if_whole, to_python_value
from openenv_kit.datasets.split_rows import (
    list_task_rows,
    reset_arguments_from_row,
    select_rows_of_rank,
)
from openenv_kit.datasets.task_sampling import sample_task_reset_arguments
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError, UnknownNameError
from openenv_kit.rollouts.curriculum import Curriculum
from openenv_kit.trainers.openenv_harness import (
    ToolSession,
    ToolSessionFactory,
    collect_episodes,
    parse_task_row,
)
from openenv_kit.trainers.tool_episode import ToolEpisode, next_scripted_call
from openenv_kit.trainers.trl import build_eval_datasets, environment_class

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


def task_of(episode: ToolEpisode) -> str:
    """Return the task of an episode that is played in this process."""
    return str(episode._client._session.task_id)  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw as a process does that has not drawn before."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(task_sampling, "_index_iterators", {})


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
    while call := next_scripted_call("reference", answers, name, opening):
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
    assert system["content"] == get_environment().system_prompt()
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
        ({"difficulty": 1.0, "reward": "exact"}, "train_rung_10-"),
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


DRAW = (
    "import json, random\n"
    "from openenv_kit.environment import get_environment\n"
    "from openenv_kit.datasets.task_sampling import sample_task_reset_arguments\n"
    "{prepare}\n"
    "environment = get_environment('firewatch')\n"
    "drawn = [sample_task_reset_arguments(environment)['index'] for _ in range(50)]\n"
    "print(json.dumps(drawn))\n"
)


def draws_of(prepare: str = "", **variables: str) -> list[int]:
    """Return the tasks that another process draws."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW.format(prepare=prepare)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    drawn: list[int] = json.loads(done.stdout)
    return drawn


def test_processes_draw_alike_with_one_seed_and_differently_without() -> None:
    assert draws_of("random.seed(7)") == draws_of("random.seed(7)")
    assert draws_of() != draws_of()


def test_ranks_draw_disjoint_tasks_whatever_their_seeds() -> None:
    ranks = [
        draws_of(f"random.seed({seed})", RANK=str(rank), WORLD_SIZE="2")
        for rank, seed in enumerate((7, 8))
    ]
    assert set(ranks[0]).isdisjoint(ranks[1])


def test_forked_process_draws_other_tasks_than_its_parent() -> None:
    code = DRAW.format(
        # The parent draws when the child has ended, so that their lines do not mix.
        prepare=(
            "import os\n"
            "sample_task_reset_arguments(get_environment('firewatch'))\n"
            "if os.fork(): os.wait()"
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    one, other = map(json.loads, done.stdout.splitlines())
    assert one != other


def test_every_task_is_drawn_once_before_one_is_drawn_again() -> None:
    firewatch = get_environment("firewatch")
    drawn = [
        sample_task_reset_arguments(firewatch, {"split": "validation"})["index"] for _ in range(600)
    ]
    assert sorted(drawn[:300]) == sorted(drawn[300:]) == list(range(300))
    assert drawn[:300] != drawn[300:]


def test_rank_without_a_world_draws_from_the_whole_split(monkeypatch: pytest.MonkeyPatch) -> None:
    firewatch = get_environment("firewatch")
    for rank, world_size in (("x", "2"), ("3", "2"), ("0", "9999"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", world_size)
        task_sampling._index_iterators.clear()
        drawn = {sample_task_reset_arguments(firewatch)["index"] for _ in range(600)}
        assert drawn == set(range(600))


def test_unknown_level_or_split_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'rung_3'"):
        sample_task_reset_arguments(get_environment(), {"difficulty": "rnug_3"})
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        sample_task_reset_arguments(get_environment(), {"split": "trian"})
    with pytest.raises(UnknownNameError, match="Did you mean 'profile'"):
        environment_class(reset={"profil": "lean"})


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
def test_missing_value_of_a_row_counts_as_empty(missing: Any) -> None:
    row = {"split": "train", "index": 3, "seed": missing, "profile": missing, "reset": missing}
    assert reset_arguments_from_row(row) == {"split": "train", "index": 3}
    nested = {"reset": {"split": "train", "index": 3, "reward": missing}, "split": missing}
    assert reset_arguments_from_row(nested) == {"split": "train", "index": 3}
    assert to_python_value([missing, {"a": missing}]) == [None, {"a": None}]


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
    found = to_int_if_whole(value)
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


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Adapters against stand-ins for their libraries; check_integrations runs them in those."""

    class Model:
        def __init__(self, **fields: Any) -> None:
            self.__dict__.update(fields)

        def model_dump(self) -> dict[str, Any]:
            return dict(self.__dict__)

    class BaseTextEnv:
        def __init__(self) -> None:
            self.turns, self.max_turns = 0, 1

    models = ("ResourcesServerConfig", "SeedSessionRequest", "SeedSessionResponse")
    models = (*models, "VerifyRequest", "VerifyResponse")
    modules: dict[str, dict[str, Any]] = {
        "skyrl_gym": {},
        "skyrl_gym.envs": {},
        "skyrl_gym.envs.base_text_env": {"BaseTextEnv": BaseTextEnv, "BaseTextEnvStepOutput": dict},
        "skyrl_gym.envs.registration": {"register": None, "registry": {}},
        "nemo_gym": {},
        "nemo_gym.base_resources_server": {
            **{f"Base{name}": type(name, (Model,), {}) for name in models},
            "SimpleResourcesServer": type("SimpleResourcesServer", (Model,), {}),
        },
        "nemo_gym.server_utils": {"SESSION_ID_KEY": "session_id"},
        "transformers": {"TrainerCallback": object},
        "accelerate": {},
        "accelerate.utils": {"gather_object": lambda found: found},
        "datasets": {"Dataset": SimpleNamespace(from_list=list)},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    adapters = ("skyrl", "nemo_gym", "trl_monitor", "trl_curriculum")
    for name in adapters:
        monkeypatch.delitem(sys.modules, f"openenv_kit.trainers.{name}", raising=False)
    loaded = {name: importlib.import_module(f"openenv_kit.trainers.{name}") for name in adapters}
    yield SimpleNamespace(**loaded)
    for name in adapters:
        sys.modules.pop(f"openenv_kit.trainers.{name}", None)


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
        assert system["content"].startswith(get_environment().system_prompt())
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
    config = SimpleNamespace(base_url=None, environment=None)
    server = stand_ins.nemo_gym.EpisodeServer(config=config, _episodes={}, _results={})
    tasks = []
    for number, body in enumerate(({}, {"reset": None}, {"reset": {}}, {"reset": "{}", "uid": 1})):
        request = SimpleNamespace(session={"session_id": str(number)})
        answer = await server.seed_session(request, stand_ins.nemo_gym.SeedRequest(**body))
        assert answer.instructions.startswith(get_environment().system_prompt())
        assert "Find every anomaly" in answer.instructions
        assert [
            tool["name"] for tool in answer.tools
        ] == get_environment().tools.for_episode().tool_names
        tasks.append(task_of(server._episodes[str(number)]))
    assert len(set(tasks)) == len(tasks)
    assert all(task.startswith("train-") for task in tasks)


def test_curriculum_without_rows_draws_tasks_of_its_stage_with_their_rules(stand_ins: Any) -> None:
    lean = {"profile": "lean"}
    by_split = Curriculum([{"split": "train_rung_1", **lean}])
    by_seed = Curriculum([{"difficulty": "rung_1", **lean}])
    for curriculum in (by_split, by_seed):
        callback = stand_ins.trl_curriculum.CurriculumCallback(curriculum)
        environment = callback.environment_class()()
        openings = [environment.reset(**row) for row in ({}, {"prompt": EMPTY_PROMPT})]
        assert openings[0] != openings[1]
        assert all(each.startswith(environment._episode.system_prompt) for each in openings)
        assert environment.stage == 0
        environment.get_reward()
        assert len(callback._finished_rollouts) == 1
    row = {"task_number": np.float64(4.0), "split": math.nan, "environment": math.nan}
    prompt = [{"role": "system", "content": "Rules."}]
    assert not environment.reset(prompt=prompt, **row).startswith(
        environment._episode.system_prompt
    )


def test_curriculum_sent_to_another_process_keeps_its_stage_and_no_rewards(
    stand_ins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lean = {"profile": "lean"}
    curriculum = Curriculum([{"split": f"train_rung_{number}", **lean} for number in (1, 2)])
    callback = stand_ins.trl_curriculum.CurriculumCallback(curriculum)
    curriculum.stage_index = 1
    made = callback.environment_class()
    loaded, loaded_class = pickle.loads(pickle.dumps((callback, made)))
    assert loaded.environment_class() is loaded_class
    assert loaded_class.__name__ == made.__name__
    assert "stays at stage 1" in caplog.text
    environment = loaded_class()
    environment.reset(task_number=3)
    assert (task_of(environment._episode), environment.stage) == ("train_rung_2-3", 1)
    environment.get_reward()
    assert loaded._finished_rollouts == []


def test_monitor_takes_a_missing_level_for_none(stand_ins: Any) -> None:
    monitor = pickle.loads(pickle.dumps(stand_ins.trl_monitor.RolloutMonitor()))
    tokenizer = SimpleNamespace(eos_token_id=2, pad_token_id=0)
    monitor.on_init_end(None, None, None, processing_class=tokenizer)
    environments = [environment_class()() for _ in MISSING]
    for environment in environments:
        environment.reset()
    logged: dict[str, float] = {}
    monitor(
        completions=[[]] * len(MISSING),
        completion_ids=[[]] * len(MISSING),
        log_metric=logged.__setitem__,
        environments=environments,
        level=list(MISSING.values()),
    )
    assert set(logged) == {"rollouts/truncated_share", "rollouts/mean_score"}
    with pytest.raises(ConfigurationError, match="asynchronous trainer does not"):
        monitor(completions=[[]], prompts=[[]], completion_ids=[[]])


@pytest.mark.usefixtures("stand_ins")
def test_eval_datasets_take_none_for_every_argument() -> None:
    found = build_eval_datasets(None, 1, "firewatch", None, None)
    assert all(rows[0]["split"] == "validation" for rows in found.values())
