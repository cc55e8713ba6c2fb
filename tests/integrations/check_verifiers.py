"""verifiers loads the taskset by its id and plays it, tools and all, with a scripted model."""

import asyncio
import pickle
import random
import re
import tomllib
from types import SimpleNamespace

import pytest
import verifiers.v1 as vf

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.errors import ServerError
from openenv_kit.trainers.verifiers import (
    EpisodeState,
    EpisodeToolset,
    EpisodeToolsetConfig,
)
from research.scripted_endpoint import MODEL, ScriptedEndpoint
from support.integration_guides import ENVIRONMENTS, run_blocks
from support.integration_server import NO_SERVER, NOWHERE, address, episodes_served
from support.paths import ROOT

TASKSET = "metric-tracker-verifiers"


def config(**taskset):
    return vf.resolve_env_config(
        {
            "taskset": {"id": TASKSET, "split": "validation", **taskset},
            "agent": {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}},
        }
    )


def rollouts(policy, count=2, environment=None, **taskset):
    """Episodes of the first tasks, played by a policy behind a chat endpoint."""
    if environment:
        taskset["task"] = {"tools": {"environment": environment}}

    async def play(base_url):
        env = vf.load_environment(config(count=count, **taskset))
        client = vf.EvalClientConfig(base_url=base_url, api_key_var="NO_KEY_IS_NEEDED")
        context = vf.ModelContext(model=MODEL, client=client)
        async with env.serving():
            return [await env.run_episode(task, context) for task in env.taskset]

    with ScriptedEndpoint(policy, environment) as endpoint:
        return asyncio.run(play(endpoint.base_url))


def test_the_loader_finds_the_taskset_and_its_tasks():
    taskset = vf.load_environment(config(count=3)).taskset
    tasks = list(taskset)
    assert len(tasks) == 3
    assert len({task.key for task in tasks}) == 3
    for task in tasks:
        assert task.data.prompt.startswith("Find every anomaly")
        assert "anomaly_schedule" not in task.data.model_dump_json()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_rollout_gets_the_reference_policys_score(environment):
    episodes = rollouts("reference", environment=environment)
    assert [episode.errors for episode in episodes] == [[], []]
    for episode in episodes:
        (trace,) = episode.traces
        assert trace.reward == 1.0
        assert trace.metrics["tool_calls"] >= 3
        assert (trace.metrics["exact"], trace.metrics["truncated"]) == (1.0, 0.0)
        assert 0.0 < trace.metrics["grounded"] <= 1.0


def test_a_lean_episode_is_played_with_six_tools():
    episodes = rollouts("reference", reset={"profile": "lean", "reward": "exact"})
    for episode in episodes:
        (trace,) = episode.traces
        assert (episode.errors, trace.reward, trace.metrics["tool_calls"]) == ([], 1.0, 3.0)
        assert trace.metrics["exact"] == 1.0
        assert 0.0 <= trace.metrics["grounded"] <= 1.0


def test_a_raw_episode_under_a_policy_of_its_own_is_played():
    modes = {"profile": "lean", "disclosure": "raw", "policy": "varied"}
    for episode in rollouts("reference", reset=modes):
        (trace,) = episode.traces
        assert (episode.errors, trace.reward) == ([], 1.0)
        assert trace.metrics["tool_calls"] > 5, "the hours of every date are read"


def test_the_reference_policys_score_comes_from_a_server_too():
    before = episodes_served()
    (episode,) = rollouts("reference", count=1, task=on(address()))
    assert (episode.errors, [trace.reward for trace in episode.traces]) == ([], [1.0])
    assert episodes_served() == before + 1


def test_where_no_server_is_the_rollout_says_how_to_start_one():
    (episode,) = rollouts("reference", count=1, task=on(NOWHERE))
    (trace,) = episode.traces
    assert re.search(NO_SERVER, trace.errors[-1].message)
    assert trace.rewards == {"report_score": None}, "which is not the same as a score of 0"


def test_a_toolset_that_does_not_fit_its_task_scores_nothing_not_even_zero():
    async def play():
        toolset = SlowChannel(EpisodeToolsetConfig())
        toolset.begin(0)
        await toolset.setup_task(SimpleNamespace(reset={"seed": 1, "profile": "lean"}))
        toolset.register(toolset)
        await toolset.offered["submit_solution"](rows=[])
        return toolset.stored

    state = asyncio.run(play())
    assert "was offered: " in state.lost
    assert not state.submitted


def test_a_server_lost_after_a_call_is_told_and_scores_nothing():
    async def play():
        toolset = SlowChannel(EpisodeToolsetConfig(base_url=address()))
        toolset.begin(0)
        await toolset.setup_task(SimpleNamespace(reset={"seed": 1}))
        toolset.register(toolset)
        await toolset.offered["list_dates"]()
        seen = toolset.stored

        def gone(action):
            raise ServerError("gone after a call")

        toolset._episode._backend.step = gone
        await toolset.offered["list_dates"]()
        return seen, toolset.stored

    seen, last = asyncio.run(play())
    assert (seen.lost, seen.metrics["tool_calls"]) == ("", 1)
    assert (last.lost, last.submitted) == ("gone after a call", False)


def on(base_url):
    """Knobs under `--env.taskset.task.*` that play on a server."""
    return {"tools": {"base_url": base_url}}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_guides_example_runs_as_it_stands(environment, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", environment)
    with ScriptedEndpoint("reference") as endpoint:
        monkeypatch.setenv("PRIME_INFERENCE_URL", endpoint.base_url)
        monkeypatch.setenv("MODEL_NAME", MODEL)
        assert run_blocks("verifiers", tmp_path) == 1
        assert endpoint.requests >= 2 * 3
    assert capsys.readouterr().out.splitlines()[-1] == "[1.0, 1.0]"


def test_a_policy_that_reports_nothing_gets_nothing():
    (episode,) = rollouts("null", count=1)
    (trace,) = episode.traces
    assert (episode.errors, trace.reward, trace.metrics["tool_calls"]) == ([], 0.0, 1.0)


class SlowChannel(EpisodeToolset):
    """The toolset with a state channel that takes any number of turns of the event loop."""

    def begin(self, seed):
        self.chance = random.Random(seed)
        self.stored = EpisodeState()
        self.offered = {}

    def add_tool(self, function, name, description):
        self.offered[name] = function

    async def _pull_state(self):
        await self._wait()
        return self.stored.model_copy()

    async def _push_state(self, before):
        written = self.state.model_copy()
        await self._wait()
        self.stored = written

    async def _wait(self):
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(30))
def test_no_parallel_or_later_call_takes_the_first_final_score_away(seed):
    session = EpisodeSession()
    session.reset(split="validation", index=0)
    rows = [row.as_dict() for row in session.episode.expected_rows]
    look, report = ("list_dates", {}), ("submit_solution", {"rows": rows})
    turn = [report, *[look] * 4, ("rows_for_date", {"date": "yesterday"})]

    async def play():
        toolset = SlowChannel(EpisodeToolsetConfig())
        toolset.begin(seed)
        toolset.chance.shuffle(turn)
        await toolset.setup_task(SimpleNamespace(reset={"split": "validation", "index": 0}))
        toolset.register(toolset)
        await asyncio.gather(*(toolset.offered[name](**given) for name, given in turn))
        after_the_turn = toolset.stored
        for name, given in (look, ("submit_solution", {"rows": []})):
            await toolset.offered[name](**given)
        return after_the_turn, toolset.stored

    for state in asyncio.run(play()):
        assert (state.score, state.submitted) == (1.0, True)


def test_the_model_is_offered_every_tool():
    (episode,) = rollouts("null", count=1)
    (trace,) = episode.traces
    (node,) = [node for node in trace.nodes if node.tools]
    offered = {tool.name: tool for tool in node.tools}
    assert set(offered) == set(ENVIRONMENT.tools.select_for_episode().tool_names)
    for tool in ENVIRONMENT.tools.select_for_episode().tools:
        assert offered[tool.name].description == tool.description
        given, declared = offered[tool.name].parameters, tool.parameters
        assert given.get("required", []) == declared.get("required", [])
        assert given["properties"].keys() == declared["properties"].keys()
        for name, field in declared["properties"].items():
            assert field.items() <= given["properties"][name].items(), (tool.name, name)
    assert trace.task.data.system_prompt == ENVIRONMENT.build_system_prompt()


def test_taskset_and_its_parts_are_pickled():
    taskset = vf.load_environment(config(count=1)).taskset
    (task,) = taskset
    for thing in (taskset, task, task.data, EpisodeToolset(EpisodeToolsetConfig())):
        assert type(pickle.loads(pickle.dumps(thing))) is type(thing)
    assert pickle.loads(pickle.dumps(task)).data == task.data


def test_taskset_takes_none_for_every_argument():
    nothing = dict.fromkeys(("split", "level", "first", "reset"))
    (task,) = vf.load_environment(config(count=1, **nothing)).taskset
    assert task.data.reset == {"split": "train", "index": 0}


def test_task_without_a_reset_starts_another_one_of_its_split():
    async def play():
        tasks = []
        for task in (SimpleNamespace(), SimpleNamespace(reset=None), SimpleNamespace(reset={})):
            toolset = SlowChannel(EpisodeToolsetConfig(split="validation"))
            await toolset.setup_task(task)
            tasks.append(toolset._episode._backend._session.task_id)
        return tasks

    tasks = asyncio.run(play())
    assert len(set(tasks)) == 3
    assert all(task.startswith("validation-") for task in tasks)


def test_an_unknown_split_is_refused_with_the_splits_there_are():
    with pytest.raises(Exception, match=r"(?i)split"):
        list(vf.load_environment(config(split="trian")).taskset)


def test_taskset_of_the_configuration_for_8_gpus_is_accepted():
    path = ROOT / "examples" / "large_runs" / "verifiers" / "prime_rl.toml"
    (given,) = tomllib.loads(path.read_text(encoding="utf-8"))["orchestrator"]["train"]["env"]
    agent = {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}}
    config = {"taskset": {**given["taskset"], "count": 2}, "agent": agent}
    tasks = list(vf.load_environment(vf.resolve_env_config(config)).taskset)
    assert [task.data.name for task in tasks] == ["train_rung_1-0", "train_rung_1-1"]
    assert tasks[0].data.reset["profile"] == "lean"
