"""The framework's harness plays the environment and collects its runs."""

import json
import re
import urllib.request

import pytest
from openenv.core.harness import MCPHarnessAdapter, ModelStepResult, SessionMCPBridge
from openenv.core.llm_client import LLMResponse

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.environment import get_environment
from openenv_kit.episode_clients import retry
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.trainers.openenv_harness import (
    ToolSessionFactory,
    build_run_limits,
    build_scripted_model_step,
    collect_episodes,
    iter_sft_examples,
    parse_task_row,
)
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.learning_lm.demonstrations import convert_to_demonstration
from support.command_line import run_cli

TOOLS = get_environment("metric_tracker_rl").tools.select_for_episode()
ROWS = list_task_rows("validation", count=4)


def silent(*_, **__):
    """A model that answers without calling any tool."""
    return ModelStepResult(LLMResponse("There are no anomalies."))


def verified_rollout(model_step, row):
    """Play a row's episode through the framework's harness; return the session's verdict."""
    session = ToolSessionFactory().create(row)
    rollout = MCPHarnessAdapter().run_white_box(model_step, session, build_run_limits())
    return session.verify(rollout.messages)


def test_harness_rollout_of_the_reference_policy_scores_one():
    results = [verified_rollout(build_scripted_model_step(), row) for row in ROWS]
    assert [result.env_reward for result in results] == [1.0] * 4
    assert all(result.metrics["submitted"] for result in results)


@pytest.mark.slow
def test_collections_play_on_a_server_too(server_url, tmp_path):
    before = episodes_served(server_url)
    assert collect_episodes(tmp_path, ROWS[:2], base_url=server_url).avg_reward == 1.0
    assert episodes_served(server_url) == before + 2


@pytest.fixture
def impatient(monkeypatch):
    """Adapters that wait for no server."""
    monkeypatch.setattr(retry, "RECONNECT_TIMEOUT_S", 0.0)


def test_missing_server_error_of_harness_names_the_command(tmp_path, capsys, impatient):
    nowhere = "http://127.0.0.1:9"
    said = r"No server answers at http://127\.0\.0\.1:9 .*`server --port 9`"
    with pytest.raises(ServerError, match=said):
        ToolSessionFactory(nowhere).create(ROWS[0])
    result = collect_episodes(tmp_path, ROWS[:1], base_url=nowhere)
    assert (result.num_collected, result.num_failed) == (0, 1)
    assert re.search(said, " ".join(capsys.readouterr().out.split()))


def episodes_served(server_url):
    with urllib.request.urlopen(f"{server_url}/metrics") as answer:
        metrics = answer.read().decode()
    name = 'openenv_kit_reset_seconds_count{transport="http"}'
    return sum(int(float(count)) for count in re.findall(rf"^{name} (\S+)$", metrics, re.MULTILINE))


def test_a_model_that_submits_nothing_is_rewarded_nothing():
    result = verified_rollout(silent, ROWS[0])
    assert result.env_reward == 0.0
    nothing = {"tool_calls": 0, "submitted": False, "graded": 0.0, "exact": 0.0, "grounded": 0.0}
    assert result.metrics == {**nothing, "truncated": 0.0}


def test_a_session_speaks_the_frameworks_mcp_bridge():
    session = ToolSessionFactory().create({"seed": 2})
    bridge = SessionMCPBridge(session)

    def ask(method, **params):
        return bridge.handle_request(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        )

    tools = ask("tools/list")["result"]["tools"]
    assert [tool["name"] for tool in tools] == TOOLS.tool_names
    answer = ask("tools/call", name="list_dates", arguments={})["result"]
    assert len(json.loads(answer["data"])["result"]["dates"]) == 28
    wrong = ask("tools/call", name="list_date", arguments={})["result"]
    assert "Did you mean 'list_dates'" in wrong["data"]


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (None, {}),
        ({"seed": 3}, {"seed": 3}),
        ('{"seed": 3}', {"seed": 3}),
        ("hard_mixed_multi", {"task_id": "hard_mixed_multi"}),
        ([{"role": "user", "content": '{"seed": 3}'}], {"seed": 3}),
    ],
)
def test_task_id_is_accepted_as_a_row(task, row):
    assert dict(parse_task_row(task)) == row


@pytest.mark.parametrize("task", [3, [], [3], [{"role": "user", "content": 7}]])
def test_unknown_task_id_as_a_row_is_rejected(task):
    with pytest.raises(ConfigurationError, match="task is"):
        parse_task_row(task)


def test_the_factorys_seed_goes_over_the_rows():
    factory = ToolSessionFactory()
    one, other, same = (
        factory.create(task, seed).call_tool("show_raw_data", {}).data
        for task, seed in (({"seed": 3}, None), ({"seed": 3}, 4), ({"seed": 4}, None))
    )
    assert other == same != one


def test_collected_runs_are_chats_with_tool_calls_that_play_again_to_the_same_score(tmp_path):
    result = collect_episodes(tmp_path, ROWS)
    assert (result.num_collected, result.avg_reward) == (4, 1.0)
    examples = list(iter_sft_examples(tmp_path))
    assert len(examples) == 4
    for row, example in zip(ROWS, examples, strict=True):
        assert example["tools"] == TOOLS.chat_tools
        assert [m["role"] for m in example["messages"][:3]] == ["system", "user", "assistant"]
        episode = ToolEpisode()
        assert episode.reset(row) == example["messages"][1]["content"]
        for call, answer in zip(example["messages"][2::2], example["messages"][3::2], strict=True):
            (made,) = call["tool_calls"]
            assert made["id"] == answer["tool_call_id"]
            arguments = json.loads(made["function"]["arguments"])
            assert episode.call_tool(made["function"]["name"], arguments) == answer["content"]
        assert episode.reward == 1.0


def test_collection_resumes_where_it_stopped(tmp_path):
    collect_episodes(tmp_path, ROWS[:2])
    result = collect_episodes(tmp_path, ROWS)
    assert (result.num_skipped, result.num_collected) == (2, 2)


def test_low_scores_stay_out_of_sft_data_but_in_the_collection(tmp_path):
    collect_episodes(tmp_path, ROWS[:1], policy="report_all")
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1
    assert list(iter_sft_examples(tmp_path)) == []
    assert len(list(iter_sft_examples(tmp_path, min_reward=0.0))) == 1


def test_the_harness_stops_at_its_limit_of_turns():
    factory, step = ToolSessionFactory(), build_scripted_model_step()
    from openenv.core.harness import HarnessRunLimits

    session = factory.create(ROWS[0])
    rollout = MCPHarnessAdapter().run_white_box(step, session, HarnessRunLimits(max_turns=2))
    assert not rollout.done
    assert session.verify(rollout.messages).env_reward == 0.0


def test_the_command_writes_sft_examples(tmp_path):
    result = run_cli("collect", str(tmp_path), "--count", "3")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "sft.jsonl").read_text().splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["messages", "tools"]] * 3


def test_the_command_passes_further_reset_arguments_on(tmp_path):
    command = ["collect", str(tmp_path), "--count", "1", "--reset"]
    result = run_cli(*command, "profile=lean")
    assert result.exit_code == 0, result.output
    (example,) = map(json.loads, (tmp_path / "sft.jsonl").read_text().splitlines())
    assert len(example["tools"]) == 6
    # As `research.learning_lm` reads it:
    submission = convert_to_demonstration(example["messages"])["messages"][-1]
    (call,) = submission["tool_calls"]
    assert call["function"]["name"] == "submit"
    assert all(isinstance(number, int) for number in call["function"]["arguments"]["ids"])
    command[1] = str(tmp_path / "nothing")
    for wrong, said in (
        *(("profil=lean", "Did you mean"), ("lean", "NAME=VALUE")),
        ("profile=leen", "Did you mean 'lean'"),
    ):
        refused = run_cli(*command, wrong)
        assert refused.exit_code != 0
        assert said in " ".join(refused.output.replace("│", " ").split())
    assert not (tmp_path / "nothing").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "said"),
    [
        (["--policy", "report_all"], "scripted:report_all"),
        (["--split", "validation"], "'split': 'validation'"),
        (["--first", "1"], "'index': 1"),
        (["--reset", "profile=lean"], "'profile': 'lean'"),
        (["--environment", "pipe_leak"], "'pipe_leak'"),
    ],
)
def test_a_folder_of_other_episodes_is_refused_and_stays_as_it_is(tmp_path, other, said):
    usual = ["collect", str(tmp_path), "--count", "2"]
    assert run_cli(*usual).exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = run_cli(*usual, *other)
    assert refused.exit_code == 2, refused.output
    output = " ".join(refused.output.replace("│", " ").split())
    assert said in output
    assert "name another folder" in output
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    again = run_cli(*usual[:-1], "3")
    assert "1 episodes collected, 2 already" in " ".join(again.output.split())


def test_collected_folder_remembers_rows_that_were_not_requested_again(tmp_path):
    collect_episodes(tmp_path, ROWS[:2])
    assert collect_episodes(tmp_path, ROWS[:1]).num_skipped == 1
    with pytest.raises(ConfigurationError, match="reset of episode 1 is"):
        collect_episodes(tmp_path, [ROWS[0], ROWS[0]])


def test_a_folder_in_which_nothing_could_be_collected_takes_another_player(tmp_path, impatient):
    assert collect_episodes(tmp_path, ROWS[:1], base_url="http://127.0.0.1:9").num_failed == 1
    assert collect_episodes(tmp_path, ROWS[:1], policy="null").num_collected == 1


def test_a_folder_of_another_version_s_episodes_is_refused(tmp_path):
    collect_episodes(tmp_path, ROWS[:1])
    made = json.loads((tmp_path / "metadata.json").read_text())
    made["versions"]["generator"] = "0"
    (tmp_path / "metadata.json").write_text(json.dumps(made))
    with pytest.raises(ConfigurationError, match="versions is"):
        collect_episodes(tmp_path, ROWS)
