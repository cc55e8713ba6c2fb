"""Everything that an adapter hands to a trainer can be pickled and loaded in another process."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from firewatch_env.client import FirewatchEnv
from metric_tracker_rl import MetricTrackerRlEnv
from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.rollouts.curriculum import Curriculum
from openenv_kit.trainers.openenv_harness import (
    ToolSession,
    ToolSessionFactory,
    build_run_limits,
    build_scripted_model_step,
)
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import build_reward_components, environment_class
from openenv_kit.variables import SERVER_TOKEN_VARIABLE
from support.paths import TESTS

LEAN = {"profile": "lean"}
ROW = {"split": "validation", "index": 3}
MODULE_CLASS: Any = environment_class("firewatch", "train")


class DeclaredEnvironment(MODULE_CLASS):  # type: ignore[misc]
    """A class of a user's own, which is found by its name."""


def run_python(code: str, data: bytes) -> str:
    """Return what another process prints that gets `data` on its standard input."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=data,
        capture_output=True,
        check=False,
        cwd=TESTS,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def play_started_environment() -> Any:
    environment: Any = environment_class("metric_tracker_rl")()
    environment.reset(**ROW)
    environment.list_dates()
    return environment


def play_started_episode(name: str) -> ToolEpisode:
    episode = ToolEpisode(environment=name)
    opening = episode.reset(ROW)
    call = get_next_scripted_call("reference", [], name, opening)
    assert call is not None
    episode.call_tool(*call)
    return episode


MADE: dict[str, Callable[[], Any]] = {
    **{
        f"environment_class({name})": partial(environment_class, name)
        for name in (None, "metric_tracker_rl", "drilldown", "firewatch", "pipe_leak")
    },
    "class of a level": partial(environment_class, "drilldown", "train", level="drill_sql"),
    "class of a mode": partial(environment_class, split="train", reset=LEAN),
    "declared class": lambda: DeclaredEnvironment,
    "factories by name": lambda: {"firewatch": environment_class("firewatch")},
    "new instance": lambda: environment_class()(),
    "started instance": play_started_environment,
    "components": partial(build_reward_components, "exact", "grounded"),
    "rows": partial(list_task_rows, "train", count=2),
    "episode": ToolEpisode,
    **{
        f"started episode of {name}": partial(play_started_episode, name)
        for name in ("metric_tracker_rl", "drilldown", "firewatch")
    },
    "session": partial(ToolSession, ROW),
    "session factory": ToolSessionFactory,
    "model step": build_scripted_model_step,
    "limits": build_run_limits,
    "curriculum": lambda: Curriculum([LEAN]),
    "typed clients": lambda: [MetricTrackerRlEnv, FirewatchEnv],
}


def test_everything_handed_to_a_trainer_loads_in_another_process() -> None:
    made = {name: make() for name, make in MADE.items()}
    data = {name: pickle.dumps(thing) for name, thing in made.items()}
    code = (
        "import pickle, sys\n"
        "for name, data in pickle.load(sys.stdin.buffer).items():\n"
        "    pickle.loads(data)\n"
        "    print(name)\n"
    )
    assert run_python(code, pickle.dumps(data)).splitlines() == list(MADE)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_environment_class_pickled_and_loaded_here_is_the_same_class(protocol: int) -> None:
    for made in (environment_class("drilldown"), MODULE_CLASS, DeclaredEnvironment):
        assert pickle.loads(pickle.dumps(made, protocol)) is made
        assert copy.deepcopy(made) is made
    assert environment_class("drilldown") is environment_class("drilldown")


def test_environment_class_in_another_process_plays_with_the_same_tools() -> None:
    made = environment_class("drilldown", "train", level="drill_sql")
    code = (
        "import pickle, sys\n"
        "made, (exact,) = pickle.load(sys.stdin.buffer)\n"
        "environment = made()\n"
        "opening = environment.reset(split='train', index=4)\n"
        "environment.submit_report(findings=[])\n"
        "print(made.__name__, hasattr(made, 'slice'), exact.__name__)\n"
        "print(environment.get_reward() == exact(environments=[environment])[0])\n"
    )
    said = run_python(code, pickle.dumps((made, build_reward_components("exact"))))
    assert said.splitlines()[0] == "DrilldownEnvironment False exact"


def test_started_episode_in_another_process_goes_on_to_the_same_score() -> None:
    code = (
        "import pickle, sys\n"
        "from openenv_kit.trainers.scripted_calls import get_next_scripted_call\n"
        "episode, answers, opening = pickle.load(sys.stdin.buffer)\n"
        "while call := get_next_scripted_call('reference', answers, 'drilldown', opening):\n"
        "    answers.append(episode.call_tool(*call))\n"
        "has_counted_calls = episode.tool_call_count == len(answers)\n"
        "print(episode.reward, has_counted_calls, episode.system_prompt != '')\n"
    )
    episode = ToolEpisode(environment="drilldown")
    opening = episode.reset(ROW)
    first = get_next_scripted_call("reference", [], "drilldown", opening)
    assert first is not None
    answers = [episode.call_tool(*first)]
    assert run_python(code, pickle.dumps((episode, answers, opening))) == "1.0 True True"


def test_pickled_episode_on_a_server_goes_on_there_and_holds_no_token(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVER_TOKEN_VARIABLE, "not-to-be-written")
    episode = ToolEpisode(server_url)
    opening = episode.reset(ROW)
    call = get_next_scripted_call("reference", [], None, opening)
    assert call is not None
    answers = [episode.call_tool(*call)]
    data = pickle.dumps(episode)
    episode.close()
    assert b"not-to-be-written" not in data
    loaded = pickle.loads(data)
    while call := get_next_scripted_call("reference", answers, None, opening):
        answers.append(loaded.call_tool(*call))
    assert loaded.reward == 1.0
    assert loaded._client._headers["authorization"] == "Bearer not-to-be-written"
    loaded.close()


def test_component_without_environments_gives_nothing_to_weigh() -> None:
    (exact,) = build_reward_components("exact")
    assert exact(completions=[[], []], prompts=[], completion_ids=[]) == [None, None]
