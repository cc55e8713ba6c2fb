"""SkyRL's gym makes the environment by its id and plays it in text."""

import http.client
import json
import pickle
import random

import pytest
import skyrl_gym

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.datasets.split_rows import write_rows
from openenv_kit.episode_clients import retry
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.skyrl import build_dataset_rows, register_environment
from support.integration_guides import ENVIRONMENTS, run_blocks
from support.integration_server import NO_SERVER, NOWHERE, address, episodes_served

ENV_ID = register_environment()


def say(call):
    name, arguments = call
    words = json.dumps({"name": name, "arguments": arguments})
    return f"<think>Let me see.</think>\n<tool_call>\n{words}\n</tool_call>"


def play(policy, row, base_url=None, **extras):
    """Play as SkyRL's generator does: make, init, step until done."""
    config = {"base_url": base_url} if base_url else {}
    extra = {name: value for name, value in row.items() if name not in ("prompt", "env_class")}
    env = skyrl_gym.make(row["env_class"], env_config=config, extras={**extra, **extras})
    prompt, _ = env.init(row["prompt"])
    opening = prompt[-1]["content"]
    answers, rewards, done = [], [], False
    while not done:
        output = env.step(say(get_next_scripted_call(policy, answers, row["env_class"], opening)))
        rewards.append(output["reward"])
        done = output["done"]
        for message in output["observations"]:
            lines = message["content"].split("\n")
            assert (lines[0], lines[-1]) == ("<tool_response>", "</tool_response>")
            answers.append(lines[1])
    env.close()
    return rewards, env.get_metrics()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_environment_gives_the_reference_policys_score_on_the_last_turn_alone(environment):
    register_environment(environment)
    grounded = []
    for row in build_dataset_rows("validation", count=5, environment=environment):
        rewards, metrics = play("reference", row)
        assert rewards[-1] == 1.0
        assert set(rewards[:-1]) <= {0.0}
        assert (metrics["submitted"], metrics["exact"]) == (1.0, 1.0)
        grounded.append(metrics["grounded"])
    assert all(0.0 < each <= 1.0 for each in grounded)


def test_a_lean_episode_is_offered_six_tools_and_played():
    for row in build_dataset_rows(
        "validation", count=3, reset={"profile": "lean", "reward": "exact"}
    ):
        system = row["prompt"][0]["content"]
        assert '"scan"' in system
        assert '"list_dates"' not in system
        rewards, metrics = play("reference", row)
        assert rewards == [0.0, 0.0, 1.0]
        assert metrics["tool_calls"] == 3


def test_a_raw_episode_under_a_policy_of_its_own_is_offered_no_flags_and_played():
    modes = {"profile": "lean", "disclosure": "raw", "policy": "varied"}
    for row in build_dataset_rows("validation", count=2, reset=modes):
        assert '"scan"' not in row["prompt"][0]["content"]
        rewards, _ = play("reference", row)
        assert rewards[-1] == 1.0


def test_the_prompt_names_every_tool_and_the_opening_comes_behind_it():
    (row,) = build_dataset_rows("validation", count=1)
    system = row["prompt"][0]["content"]
    assert system.startswith(ENVIRONMENT.build_system_prompt())
    offered = system.partition("<tools>\n")[2].partition("\n</tools>")[0].splitlines()
    assert [
        json.loads(line) for line in offered
    ] == ENVIRONMENT.tools.select_for_episode().chat_tools
    env = skyrl_gym.make(ENV_ID, env_config={}, extras={"reset": row["reset"]})
    prompt, _ = env.init(row["prompt"])
    assert prompt[-1]["content"].startswith("Find every anomaly")
    assert row["prompt"][-1]["content"] == "", "the dataset's own row stays as it was"


def test_a_turn_without_a_call_ends_the_episode_with_nothing():
    (row,) = build_dataset_rows("validation", count=1)
    env = skyrl_gym.make(ENV_ID, env_config={}, extras={"reset": row["reset"]})
    env.init(row["prompt"])
    output = env.step("There are no anomalies.")
    assert (output["done"], output["reward"], output["observations"]) == (True, 0.0, [])


@pytest.mark.parametrize("words", ["{", "[]", "3", '{"arguments": {}}', "null"])
def test_a_call_that_is_no_json_object_is_answered_in_words(words):
    (row,) = build_dataset_rows("validation", count=1)
    env = skyrl_gym.make(ENV_ID, env_config={}, extras={"reset": row["reset"]})
    env.init(row["prompt"])
    output = env.step(f"<tool_call>{words}</tool_call>")
    assert not output["done"]
    assert "The tool call cannot be read" in output["observations"][0]["content"]


def test_a_call_cut_off_by_the_stop_string_is_still_a_call():
    (row,) = build_dataset_rows("validation", count=1)
    env = skyrl_gym.make(ENV_ID, env_config={}, extras={"reset": row["reset"]})
    env.init(row["prompt"])
    output = env.step('<tool_call>\n{"name": "list_dates", "arguments": {}}\n')
    assert '"dates"' in output["observations"][0]["content"]


def test_too_many_turns_end_the_episode_with_nothing():
    (row,) = build_dataset_rows("validation", count=1)
    rewards, metrics = play("reference", row, max_turns=2)
    assert rewards == [0.0, 0.0]
    assert metrics["submitted"] == 0.0


@pytest.mark.parametrize("seed", range(30))
def test_no_later_turn_changes_the_first_final_reward(seed):
    (row,) = build_dataset_rows("validation", count=1)
    session = EpisodeSession()
    session.reset(split="validation", index=0)
    rows = [each.as_dict() for each in session.episode.expected_rows]
    right = say(("submit_solution", {"rows": rows}))
    turns = [right, say(("submit_solution", {"rows": []})), "I have finished."]
    turns += [say(("list_dates", {})), "<tool_call>{</tool_call>"] * 2
    chance = random.Random(seed)
    env = skyrl_gym.make(ENV_ID, env_config={}, extras={"reset": row["reset"], "max_turns": 5})
    env.init(row["prompt"])
    final = None
    for turn in chance.choices(turns, k=12):
        output = env.step(turn)
        if final is None:
            assert output["reward"] == (1.0 if turn == right else 0.0)
            final = output["reward"] if output["done"] else None
        else:
            assert (output["reward"], output["done"]) == (final, True)
            assert env.get_metrics()["score"] == final
    assert final is not None


def test_call_in_thinking_is_not_made():
    (row,) = build_dataset_rows("validation", count=1)
    env = skyrl_gym.make(ENV_ID, env_config={}, extras={"reset": row["reset"]})
    env.init(row["prompt"])
    rehearsed = say(("submit_solution", {"rows": []})).partition("\n")[2]
    output = env.step(f"<think>{rehearsed}</think>\n{say(('list_dates', {}))}")
    assert not output["done"]
    assert '"dates"' in output["observations"][0]["content"]


def test_episode_without_a_row_plays_another_task_and_is_pickled():
    openings = []
    for _ in range(2):
        env = skyrl_gym.make(ENV_ID)
        (system, user), _ = env.init([])
        assert system["content"].startswith(ENVIRONMENT.build_system_prompt())
        openings.append(user["content"])
        loaded = pickle.loads(pickle.dumps(env))
        assert '"dates"' in loaded.step(say(("list_dates", {})))["observations"][0]["content"]
    assert openings[0] != openings[1]


def test_the_dataset_is_json_lines(tmp_path):
    assert write_rows(tmp_path / "train.jsonl", build_dataset_rows("train", count=4)) == 4
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["env_class"] for line in lines] == [ENV_ID] * 4


def test_the_reference_policys_score_comes_from_a_server_too():
    (row,) = build_dataset_rows("validation", count=1)
    before = episodes_served()
    rewards, _ = play("reference", row, base_url=address())
    assert rewards[-1] == 1.0
    assert episodes_served() == before + 1


def test_the_environment_may_be_registered_again():
    assert register_environment() == ENV_ID
    assert skyrl_gym.make(ENV_ID, env_config={}, extras={"reset": "{}"}).max_turns == 64


def test_where_no_server_is_the_episode_does_not_begin_and_says_how_to_start_one():
    (row,) = build_dataset_rows("validation", count=1)
    with pytest.raises(ServerError, match=NO_SERVER):
        play("reference", row, base_url=NOWHERE)


def test_a_prompt_that_offers_other_tools_than_its_reset_has_is_refused():
    (row,) = build_dataset_rows("validation", count=1)
    lean = json.dumps({**json.loads(row["reset"]), "profile": "lean"})
    with pytest.raises(ConfigurationError, match=r"was offered: .*list_dates.*scan"):
        play("reference", {**row, "reset": lean})


def test_a_server_of_another_environment_is_refused():
    (row,) = build_dataset_rows(
        "validation", count=1, environment=register_environment("firewatch")
    )
    with pytest.raises(ServerError, match=r"'metric_tracker_rl'.*'firewatch'"):
        play("reference", row, base_url=address())


def test_server_lost_after_a_call_gives_no_reward(monkeypatch):
    monkeypatch.setattr(retry, "RECONNECT_TIMEOUT_S", 0.0)
    (row,) = build_dataset_rows("validation", count=1)
    extras = {"reset": row["reset"]}
    env = skyrl_gym.make(ENV_ID, env_config={"base_url": address()}, extras=extras)
    env.init(row["prompt"])
    look = say(("list_dates", {}))
    assert env.step(look)["reward"] == 0.0
    env._episode._client._connection = http.client.HTTPConnection("127.0.0.1", 9)
    with pytest.raises(ServerError):
        env.step(look)
    with pytest.raises(ServerError):
        env.get_metrics()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_guide_runs_as_far_as_it_goes_without_a_model(
    environment, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("ENVIRONMENT", environment)
    assert run_blocks("skyrl", tmp_path) == 1
    written, answer = capsys.readouterr().out.split("<tool_response>\n")
    assert "200" in written
    assert json.loads(answer.split("\n")[0]).get("status") != "error"
