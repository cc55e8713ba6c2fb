"""Inspect AI runs the task with its own mock model."""

import os
import pickle
import random
import re
import subprocess
import sys

import pytest
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import Sample
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.episode_clients.http import HttpEpisode
from openenv_kit.errors import ServerError
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.trainers.inspect_ai import episodes, play_episode, report_score
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from research.scripted_endpoint import MODEL, ScriptedEndpoint
from support.integration_guides import ENVIRONMENTS, run_blocks
from support.integration_server import NO_SERVER, NOWHERE, address, episodes_served

seen_tools = []


def scripted(policy, environment=None):
    """Inspect's mock model, saying what a policy would call next."""

    def answer(messages, tools, tool_choice, config):
        seen_tools.append(tools)
        answers = [message.text for message in messages if message.role == "tool"]
        prompt = "\n".join(message.text for message in messages if message.role == "user")
        call = get_next_scripted_call(policy, answers, environment, prompt) if policy else None
        if call is None:
            output = ModelOutput.from_content("mockllm/model", "Done.")
        else:
            output = ModelOutput.for_tool_call("mockllm/model", *call)
        output.usage = ModelUsage()  # counted, it would need a vocabulary from the network
        return output

    return get_model("mockllm/model", custom_outputs=answer)


def run(model, tmp_path, count=3, status="success", **arguments):
    (log,) = inspect_eval(
        episodes(**{"split": "validation", "count": count, **arguments}),
        model=model,
        display="none",
        log_dir=str(tmp_path),
    )
    assert log.status == status, log.error
    return log


def scores(log):
    return [sample.scores["report_score"].value for sample in log.samples]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_scorer_gives_the_reference_policys_score(environment, tmp_path):
    log = run(scripted("reference", environment), tmp_path, environment=environment)
    assert scores(log) == [1.0, 1.0, 1.0]
    assert log.results.scores[0].metrics["mean"].value == 1.0
    for sample in log.samples:
        assert sample.messages[-1].role == "tool", "the report ends the episode"
        assert sample.scores["report_score"].metadata["tool_calls"] >= 3
        logged = sample.scores["rewards"].value
        assert (logged["graded"], logged["exact"]) == (1.0, 1.0)
        assert 0.0 < logged["grounded"] <= 1.0


def test_a_lean_episode_is_offered_six_tools_and_tells_its_reward_s_components(tmp_path):
    modes = {"profile": "lean", "reward": "key_f1"}
    log = run(scripted("reference"), tmp_path, reset=modes)
    assert scores(log) == [1.0, 1.0, 1.0]
    names = ["overview", "scan", "day", "hours", "calendar", "submit"]
    assert [tool.name for tool in seen_tools[-1]] == names
    for sample in log.samples:
        metadata = sample.scores["report_score"].metadata
        assert metadata["tool_calls"] == 3
        assert metadata["reward_components"]["key_f1"] == 1.0


def test_a_raw_episode_under_a_policy_of_its_own_is_offered_no_flags_and_played(tmp_path):
    modes = {"profile": "lean", "disclosure": "raw", "policy": "varied"}
    log = run(scripted("reference"), tmp_path, reset=modes)
    assert scores(log) == [1.0, 1.0, 1.0]
    names = ["overview", "day", "hours", "calendar", "submit"]
    assert [tool.name for tool in seen_tools[-1]] == names


def all_at_once(calls):
    """Inspect's mock model, making all calls in its first turn."""

    def answer(messages, tools, tool_choice, config):
        made = [ModelOutput.for_tool_call("mockllm/model", *call) for call in calls]
        output = made[0]
        output.message.tool_calls = [each.message.tool_calls[0] for each in made]
        output.usage = ModelUsage()
        return output

    return get_model("mockllm/model", custom_outputs=answer)


@pytest.mark.parametrize("order", range(4))
def test_other_calls_of_the_reports_turn_take_nothing_from_its_score(tmp_path, order):
    session = EpisodeSession()
    session.reset(split="validation", index=0)
    rows = [row.as_dict() for row in session.episode.expected_rows]
    calls = [
        ("submit_solution", {"rows": rows}),
        ("list_entities", {}),
        *[("list_dates", {}), ("rows_for_date", {"date": "yesterday"})] * 2,
    ]
    random.Random(order).shuffle(calls)
    log = run(all_at_once(calls), tmp_path, count=1)
    (sample,) = log.samples
    assert sample.scores["report_score"].value == 1.0
    assert sample.scores["report_score"].metadata["tool_calls"] == len(calls)


def test_a_model_that_calls_no_tool_gets_nothing(tmp_path):
    log = run(scripted(None), tmp_path, count=1)
    assert scores(log) == [0.0]
    assert log.samples[0].scores["report_score"].explanation == "No report was submitted."


def test_a_policy_that_reports_echoes_too_gets_its_own_lower_score(tmp_path):
    log = run(scripted("report_all"), tmp_path, count=6)
    session, expected = EpisodeSession(), []
    for sample in log.samples:
        opening = session.reset(**sample.metadata["reset"])
        expected.append(run_policy(session, get_policy("report_all"), opening).score)
    assert scores(log) == expected
    assert min(expected) < 1.0


def test_the_model_is_offered_the_registrys_schemas(tmp_path):
    seen_tools.clear()
    run(scripted("null"), tmp_path, count=1)
    assert [
        tool.name for tool in seen_tools[0]
    ] == ENVIRONMENT.tools.select_for_episode().tool_names
    for offered, tool in zip(
        seen_tools[0], ENVIRONMENT.tools.select_for_episode().tools, strict=True
    ):
        assert offered.description == tool.description
        given = offered.parameters
        assert set(given.properties) == set(tool.parameters["properties"])
        assert set(given.required) == set(tool.parameters.get("required", []))


def test_the_model_reads_the_environments_own_words(tmp_path):
    log = run(scripted("null"), tmp_path, count=1)
    system, user, *_ = log.samples[0].messages
    session = EpisodeSession()
    opening = observation_from_reply(session.reset(**log.samples[0].metadata["reset"]))
    assert (system.role, system.text) == ("system", ENVIRONMENT.build_system_prompt(opening))
    assert (user.role, user.text) == ("user", ENVIRONMENT.tools.first_user_message(opening))


def test_samples_hold_no_label(tmp_path):
    log = run(scripted("null"), tmp_path, count=1)
    assert set(log.samples[0].metadata["reset"]) == {"split", "index"}


def test_the_command_line_finds_the_task_and_measures_a_model_behind_an_endpoint(tmp_path):
    command = [sys.executable, "-m", "inspect_ai", "eval", "metric_tracker_rl/metric_tracker"]
    options = ["-T", "count=2", "--model", f"openai-api/local/{MODEL}", "--display", "none"]
    with ScriptedEndpoint("reference") as endpoint:
        done = subprocess.run(
            [*command, *options, "--log-dir", str(tmp_path)],
            env={**os.environ, "LOCAL_BASE_URL": endpoint.base_url, "LOCAL_API_KEY": "none"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = list_eval_logs(str(tmp_path))
    assert scores(read_eval_log(entry)) == [1.0, 1.0]


def test_the_reference_policys_score_comes_from_a_server_too(tmp_path):
    before = episodes_served()
    assert scores(run(scripted("reference"), tmp_path, base_url=address())) == [1.0, 1.0, 1.0]
    assert episodes_served() == before + 3


def test_where_no_server_is_the_log_says_how_to_start_one(tmp_path):
    log = run(scripted("reference"), tmp_path, count=1, status="error", base_url=NOWHERE)
    assert re.search(NO_SERVER, log.error.message)


def test_a_server_lost_after_a_call_scores_nothing_even_where_failed_samples_are_scored(
    tmp_path, monkeypatch
):
    step = HttpEpisode.step

    def lost_after_one(self, action):
        if self._steps:
            raise ServerError("gone after a call")
        return step(self, action)

    monkeypatch.setattr(HttpEpisode, "step", lost_after_one)
    (log,) = inspect_eval(
        episodes(split="validation", count=1, base_url=address()),
        model=scripted("reference"),
        display="none",
        log_dir=str(tmp_path),
        fail_on_error=False,
        score_on_error=True,
    )
    (sample,) = log.samples
    assert "gone after a call" in sample.error.message
    assert not sample.scores


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_guides_example_runs_as_it_stands(environment, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", environment)
    with ScriptedEndpoint("reference") as endpoint:
        # Inspect keeps a model by its name, endpoint included.
        monkeypatch.setenv("INSPECT_EVAL_MODEL", f"openai-api/local/{MODEL}-{environment}")
        monkeypatch.setenv("LOCAL_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("LOCAL_API_KEY", "none")
        assert run_blocks("inspect_ai", tmp_path) == 1
        assert endpoint.requests >= 2 * 3
    assert capsys.readouterr().out.split()[-1] == "1.0"


def test_task_is_pickled_with_its_solver_and_scorers():
    task = episodes(split="validation", count=2)
    loaded = pickle.loads(pickle.dumps(task))
    assert [sample.id for sample in loaded.dataset] == [sample.id for sample in task.dataset]
    assert loaded.solver.environment == task.solver.environment == "metric_tracker_rl"


def test_sample_without_a_reset_plays_another_task_of_train(tmp_path):
    samples = [Sample("", id=number, metadata=given) for number, given in enumerate([{}, None])]
    task = Task(dataset=samples, solver=play_episode(), scorer=report_score(), message_limit=160)
    (log,) = inspect_eval(task, model=scripted("reference"), display="none", log_dir=str(tmp_path))
    assert (log.status, scores(log)) == ("success", [1.0, 1.0])
    openings = [sample.messages[1].text for sample in log.samples]
    assert openings[0] != openings[1]
    assert log.samples[0].messages[0].role == "system"


def test_an_unknown_split_is_refused():
    with pytest.raises(Exception, match=r"(?i)split|trian"):
        episodes(split="trian")
