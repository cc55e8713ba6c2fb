"""Firewatch through the doors of the kit: client, inference.py, recordings, trainers, audit."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from typer.testing import CliRunner

import inference
from firewatch_env import FirewatchAction, FirewatchEnv, FirewatchObservation, FirewatchState
from firewatch_env.exploits import EXPLOITS, advised
from firewatch_env.policies.registry import POLICIES
from firewatch_env.tasks.book import split_task
from firewatch_env.tasks.named import NAMED
from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.environment import Environment, get_environment, list_default_task_names
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.recordings.replay import iter_replayed_steps, replay_and_compare_run
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps, run_policy
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from openenv_kit.trainers.openenv_harness import collect_episodes
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import environment_class
from research.scripted_endpoint import ScriptedEndpoint
from support.command_line import run_cli
from support.contract_lines import parse_blocks
from support.paths import ROOT

NAME = "firewatch"
TASK = "task_easy_thread_deadlock"
PACKAGE = ROOT / "deploy" / NAME


@pytest.fixture(scope="module")
def firewatch() -> Environment:
    return get_environment(NAME)


@pytest.fixture(scope="module")
def url(server_url: str) -> str:
    """Address of Firewatch on the session's server, whose root is the first environment."""
    return f"{server_url}/{NAME}"


# The typed client.


async def test_the_client_plays_what_is_served_below_the_name(
    url: str, firewatch: Environment
) -> None:
    async with FirewatchEnv(base_url=url) as env:
        result = await env.reset(task_id=TASK)
        assert isinstance(result.observation, FirewatchObservation)
        assert result.reward is None
        player = firewatch.policies["reference"].generate_actions(result.observation.model_dump())
        action = next(player)
        while not result.done:
            result = await env.step(FirewatchAction(**action))
            assert result.metadata is not None
            assert result.metadata["error"] is None
            if not result.done:
                action = player.send(result.observation.model_dump())
        assert (result.reward, result.observation.episode_score) == (1.0, 1.0)
        state = await env.state()
        assert isinstance(state, FirewatchState)
        assert (state.task_id, state.status) == (TASK, "completed")


async def test_an_action_as_a_model_and_as_a_mapping_is_the_same(url: str) -> None:
    replies = []
    typed = FirewatchAction(
        action_type="scale_replicas", target_service="cart-api", parameters={"replicas": 4}
    )
    mapping = {
        "action_type": "scale_replicas",
        "target_service": "cart-api",
        "parameters": {"replicas": 4},
    }
    async with FirewatchEnv(base_url=url) as env:
        for action in (typed, mapping, {"action_type": "scale_replica"}):
            await env.reset(task_id=TASK)
            replies.append((await env.step(action)).observation)
    assert replies[0] == replies[1] != replies[2]
    assert "Did you mean 'scale_replicas'" in replies[2].message


# inference.py.


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine, and files go to a folder of the test's own."""
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "API_KEY", "API_BASE_URL", "BASE_URL", "IMAGE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("policy", "least", "most"),
    [
        ("reference", 0.99, 0.99),
        ("keyword_rules", 0.01, 0.99),
        ("random", 0.01, 0.6),
        ("declare_at_once", 0.01, 0.01),
        ("null", 0.01, 0.01),
    ],
)
def test_inference_plays_every_policy_and_prints_the_contract_s_lines(
    policy: str, least: float, most: float, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--environment", NAME, "--policy", policy, "--base-url", url, "--tasks", TASK]
    assert inference.main(arguments) == 0
    (block,) = parse_blocks(capsys.readouterr().out)
    assert (block.task, block.env) == (TASK, "firewatch")
    assert least <= block.score <= most
    assert block.success is (block.score >= 0.99)
    assert 1 <= len(block.steps) <= 20
    assert block.steps[-1].done


def test_the_policies_of_that_test_are_all_there_are() -> None:
    assert set(POLICIES) == {*("reference", "keyword_rules", "random", "declare_at_once", "null")}


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_inference_plays_a_model_on_the_tasks_of_every_level(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedEndpoint("reference", NAME) as endpoint:
        monkeypatch.setenv("API_KEY", "none")
        monkeypatch.setenv("API_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("MODEL_NAME", "scripted")
        assert inference.main(["--environment", NAME, "--base-url", url]) == 0
    blocks = parse_blocks(capsys.readouterr().out)
    assert [block.task for block in blocks] == list_default_task_names(get_environment(NAME))
    assert [block.score for block in blocks] == [0.99] * 3
    assert {block.model for block in blocks} == {"scripted"}
    names = {step.action.partition("(")[0] for block in blocks for step in block.steps}
    assert names <= set(get_environment(NAME).tools.tool_names)


# Recordings.


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, firewatch: Environment) -> Path:
    path = tmp_path_factory.mktemp("runs") / "runs.jsonl"
    with path.open("w") as stream:
        for policy in ("reference", "random"):
            session = firewatch.create_session()
            opening = session.reset(task_id=TASK)
            observation = observation_from_reply(opening)
            recorder = RunRecorder(
                stream, policy, {"task_id": TASK}, observation, environment=firewatch
            )
            score = 0.0
            for action, reply in iter_policy_steps(session, firewatch.policies[policy], opening):
                recorder.record_step(action, observation_from_reply(reply))
                score = reply.reward or 0.0
            recorder.record_end(score)
    return path


def test_a_recording_replays_bit_for_bit_and_a_changed_action_shows(
    recording: Path, firewatch: Environment, tmp_path: Path
) -> None:
    for run in read_runs(recording):
        assert all(same for _, _, same in iter_replayed_steps(run, firewatch))
    changed = tmp_path / "changed.jsonl"
    changed.write_text(recording.read_text().replace("trace_dependencies", "escalate", 1))
    run, *_ = read_runs(changed)
    assert not all(same for _, _, same in iter_replayed_steps(run, firewatch))


def test_recorded_runs_earn_what_they_earned_when_they_are_replayed(
    recording: Path, firewatch: Environment
) -> None:
    again = [replay_and_compare_run(run, firewatch) for run in read_runs(recording)]
    assert all(each.matches_recording for each in again)
    assert again[0].score == 1.0 > again[1].score
    result = run_cli("replay", str(recording), "--environment", NAME)
    assert result.exit_code == 0, result.output


# Trainers.


def test_tool_calls_play_it_through_every_adapter_s_episode() -> None:
    episode, answers = ToolEpisode(environment=NAME), list[str]()
    opening = episode.reset({"split": "train", "index": 0})
    while (call := get_next_scripted_call("reference", answers, NAME, opening)) is not None:
        answers.append(episode.call_tool(*call))
    assert episode.is_done
    assert episode.reward >= 0.95
    episode.reset({"task_id": TASK})
    assert "Did you mean 'fetch_logs'" in episode.call_tool("fetch_log", {})


@pytest.mark.parametrize("task", list(NAMED)[::6])
def test_the_words_of_the_tools_tell_the_reference_enough(task: str) -> None:
    episode, answers = ToolEpisode(environment=NAME), list[str]()
    opening = episode.reset({"task_id": task})
    while (call := get_next_scripted_call("reference", answers, NAME, opening)) is not None:
        answers.append(episode.call_tool(*call))
    assert episode.reward == 1.0


def test_a_tool_episode_on_the_server_is_told_what_one_in_process_is(url: str) -> None:
    answers = []
    for base_url in (None, url):
        episode = ToolEpisode(base_url, NAME)
        opening = episode.reset({"task_id": TASK})
        entry = opening.split("Customers come in at ")[1].split(".")[0].split(",")[0]
        answers.append((opening, episode.call_tool("fetch_logs", {"target_service": entry})))
        episode.close()
    assert answers[0] == answers[1]


def test_the_trl_class_has_its_tools() -> None:
    made = environment_class(NAME)
    environment = made()
    environment.reset(task_id=TASK, prompt=[])
    reply = json.loads(environment.declare_resolved())
    assert reply["status"] == "completed"
    assert environment.get_reward() == 0.0
    assert made.__name__ == "FirewatchEnvironment"
    public = {name for name in dir(made) if not name.startswith("_")}
    assert set(get_environment(NAME).tools.tool_names) <= public


def test_harness_collects_episodes_of_an_environment(tmp_path: Path) -> None:
    rows = list(list_task_rows("train", count=2, environment_name=NAME))
    assert collect_episodes(tmp_path, rows, environment=NAME).avg_reward >= 0.95


def test_a_play_ends_after_as_many_turns_as_the_longest_incident_has_ticks(
    firewatch: Environment,
) -> None:
    longest = firewatch.create_session()
    longest.reset(task_id="task_hard_config_drift_noise")
    assert firewatch.episode_limits.max_steps == longest.state().max_steps == 40  # type: ignore[attr-defined]


# Exploits and the audit.


def test_every_exploit_of_the_gates_is_in_the_kit_s_registry(firewatch: Environment) -> None:
    assert firewatch.audit.exploits is EXPLOITS
    assert {"obey", "random", "declare_at_once", "blind_easy"} <= set(EXPLOITS)
    assert all(exploit.is_played_everywhere for exploit in EXPLOITS.values())


def test_a_line_that_orders_is_obeyed_and_any_other_is_not() -> None:
    services = ["a", "a-db"]
    for line, expected in (
        ("WARN  pool-monitor: see RB-381 (pool full: restart a-db)", "restart_service"),
        ("WARN  slo-monitor: see RB-233 (errors: roll back a-db)", "rollback_deploy"),
        (
            "WARN  alert-notes: 3 Sep, calls to a-db broke, revert of its config helped",
            "revert_config",
        ),
    ):
        assert (expected, "a-db") in advised(line, services)
    assert advised("WARN  a-db: counter not reset since its restart", services) == []


@pytest.mark.slow
def test_obeying_acts_on_every_task_that_has_an_order_and_is_worth_less(
    firewatch: Environment,
) -> None:
    tasks = [split_task("test", index) for index in range(60)]
    ordering = [index for index, task in enumerate(tasks) if task.advice]
    assert len(ordering) > 5
    for index in ordering[:5]:
        session = firewatch.create_session()
        opening = session.reset(split="test", index=index)
        policy = EXPLOITS["obey"].policy
        taken = [action for action, _ in iter_policy_steps(session, policy, opening)]
        assert {action["action_type"] for action in taken} > {"fetch_logs", "declare_resolved"}
        session.reset(split="test", index=index)
        assert run_policy(session, firewatch.policies["reference"], opening).score == 1.0


@pytest.mark.slow
def test_the_audit_prints_its_table_and_fails_where_a_ceiling_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = ["audit", "--environment", NAME, "--episodes", "4", "--workers", "1"]
    chosen = [part for name in ("reference", "null", "obey") for part in ("--policy", name)]
    result = run_cli(*asked, *chosen)
    assert result.exit_code == 0, result.output
    assert "27 lines, 0 outside their limits" in result.output


# The manifest.


def test_the_framework_accepts_its_manifest_and_its_probe_plan() -> None:
    from openenv.cli.__main__ import app as openenv
    from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser
    from openenv.validation.runtime.contracts import load_runtime_plan

    run = CliRunner().invoke(openenv, ["validate", str(PACKAGE), "--level", "static"])
    assert run.exit_code == 0, run.output
    manifest = OpenEnvYamlParser().parse(PACKAGE)
    plan = load_runtime_plan(PACKAGE, manifest.execution)
    assert plan.actions[-1] == {"action_type": "declare_resolved"}
    assert (PACKAGE / manifest.capabilities.oracle.location).is_file()


def test_the_manifest_says_what_the_environment_has(firewatch: Environment) -> None:
    manifest = yaml.safe_load((PACKAGE / "openenv.yaml").read_text())
    assert (manifest["name"], manifest["version"]) == (firewatch.name, firewatch.version)
    capabilities = manifest["validation"]["capabilities"]
    assert capabilities["declared_tools"] == list(firewatch.tools.tool_names)
    sizes = {
        name: firewatch.splits.size(name) for name in firewatch.splits.list_playable_split_names()
    }
    assert capabilities["declared_task_count"] == sizes


@pytest.fixture(scope="module")
def alone() -> Iterator[TestClient]:
    with TestClient(build_app(Settings(episode_store="memory"), get_environment(NAME))) as client:
        yield client


def test_the_probe_plan_is_played_without_a_mistake(alone: TestClient) -> None:
    plan: dict[str, Any] = json.loads((PACKAGE / "validation" / "runtime.json").read_text())
    reset = plan["reset"]
    named = {"episode_id": reset["episode_id"], "seed": reset["seed"], **reset["options"]}
    assert alone.post("/reset", json=named).json()["episode_id"] == reset["episode_id"]
    reply: dict[str, Any] = {}
    for action in plan["actions"]:
        body = {"episode_id": reset["episode_id"], "action": action}
        reply = alone.post("/step", json=body).json()
        assert reply["info"]["error"] is None
    assert reply["done"]


def test_the_running_server_passes_the_framework_s_criteria(url: str) -> None:
    from openenv.cli.__main__ import app as openenv

    run = CliRunner().invoke(openenv, ["validate", "--url", url, "--json", "--timeout", "30"])
    report = json.loads(run.output)
    failed = [each for each in report["criteria"] if not each["passed"]]
    assert (run.exit_code, report["passed"], failed) == (0, True, [])


def test_a_stream_of_its_own_records_nothing_of_another(firewatch: Environment) -> None:
    session, stream = firewatch.create_session(), io.StringIO()
    observation = observation_from_reply(session.reset(task_id=TASK))
    RunRecorder(stream, "null", {"task_id": TASK}, observation, environment=firewatch)
    assert json.loads(stream.getvalue().splitlines()[0])["versions"] == dict(firewatch.versions)
