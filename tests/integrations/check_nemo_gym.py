"""NeMo Gym's resources server, over its own web application."""

import json
import random
import re
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import yaml
from fastapi.testclient import TestClient
from nemo_gym.server_utils import ServerClient

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.datasets.split_rows import write_rows
from openenv_kit.trainers.nemo_gym import (
    EpisodeServer,
    EpisodeServerConfig,
    iter_data_rows,
)
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from support.integration_guides import ENVIRONMENTS, run_blocks
from support.integration_server import NO_SERVER, NOWHERE, address, episodes_served

EXAMPLE = Path(__file__).parents[2] / "examples" / "nemo_gym" / "metric_tracker"
RESPONSE = {
    "id": "resp_1",
    "created_at": 0.0,
    "model": "scripted",
    "object": "response",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


@pytest.fixture
def client():
    with TestClient(web_application()) as made:
        yield made


def web_application(**settings):
    place = {"host": "127.0.0.1", "port": 8080, "entrypoint": "", "name": "metric_tracker"}
    config = EpisodeServerConfig(**place, **settings)
    server = EpisodeServer(config=config, server_client=MagicMock(spec=ServerClient))
    return server.setup_webserver()


def play(client, policy, row):
    """What NeMo Gym's simple agent does with a row: seed, call tools, verify."""
    assert client.post("/seed_session", json=row).status_code == 200
    prompt, answers = row["responses_create_params"]["input"][-1]["content"], []
    while (call := get_next_scripted_call(policy, answers, row["environment"], prompt)) is not None:
        name, arguments = call
        answers.append(client.post(f"/{name}", json=arguments).text)
    reply = client.post("/verify", json={**row, "response": RESPONSE})
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_verify_gives_the_reference_policys_score(environment):
    with TestClient(web_application(environment=environment)) as client:
        for row in iter_data_rows("validation", count=4, environment=environment):
            verified = play(client, "reference", row)
            assert (verified["reward"], verified["submitted"]) == (1.0, True)
            assert verified["reward_components"]["exact"] == 1.0
            assert 0.0 < verified["grounded"] <= 1.0
            assert verified["task"] == row["task"]


def test_a_lean_episode_is_offered_six_tools_and_tells_its_reward_s_components(client):
    for row in iter_data_rows("validation", count=3, reset={"profile": "lean", "reward": "key_f1"}):
        names = [tool["name"] for tool in row["responses_create_params"]["tools"]]
        assert names == ["overview", "scan", "day", "hours", "calendar", "submit"]
        verified = play(client, "reference", row)
        assert (verified["reward"], verified["tool_calls"]) == (1.0, 3)
        assert verified["reward_components"]["key_f1"] == 1.0


def test_a_raw_episode_under_a_policy_of_its_own_is_offered_no_flags_and_played(client):
    modes = {"profile": "lean", "disclosure": "raw", "policy": "varied"}
    for row in iter_data_rows("validation", count=2, reset=modes):
        names = [tool["name"] for tool in row["responses_create_params"]["tools"]]
        assert names == ["overview", "day", "hours", "calendar", "submit"]
        assert play(client, "reference", row)["reward"] == 1.0


def test_an_unsubmitted_report_is_worth_nothing_and_is_measured_all_the_same(client):
    (row,) = iter_data_rows("validation", count=1)
    client.post("/seed_session", json=row)
    verified = client.post("/verify", json={**row, "response": RESPONSE}).json()
    assert (verified["reward"], verified["mask_sample"]) == (0.0, False)


@pytest.mark.parametrize("seed", range(30))
def test_no_later_call_changes_what_verify_says(client, seed):
    (row,) = iter_data_rows("validation", count=1)
    session = EpisodeSession()
    session.reset(split="validation", index=0)
    rows = [each.as_dict() for each in session.episode.expected_rows]
    calls = [("submit_solution", rows), ("submit_solution", []), ("list_dates", None)] * 2
    random.Random(seed).shuffle(calls)
    client.post("/seed_session", json=row)
    for name, given in calls:
        client.post(f"/{name}", json={} if given is None else {"rows": given})
    first = next(given for name, given in calls if name == "submit_solution")
    for _ in range(2):
        verified = client.post("/verify", json={**row, "response": RESPONSE}).json()
        assert (verified["reward"], verified["submitted"]) == (1.0 if first else 0.0, True)
        assert verified["tool_calls"] == len(calls)
        assert not verified["mask_sample"]
        client.post("/submit_solution", json={"rows": rows})


def test_a_session_that_was_never_seeded_is_masked(client):
    (row,) = iter_data_rows("validation", count=1)
    assert '"error"' in client.post("/list_dates", json={}).text
    verified = client.post("/verify", json={**row, "response": RESPONSE}).json()
    assert (verified["reward"], verified["mask_sample"]) == (0.0, True)


def test_session_without_a_reset_starts_another_task_and_is_told_the_rules(client):
    told = [client.post("/seed_session", json=body).json() for body in ({}, {"reset": None})]
    assert told[0]["instructions"] != told[1]["instructions"]
    assert all(each["instructions"].startswith(ENVIRONMENT.build_system_prompt()) for each in told)


def test_sessions_do_not_share_their_episodes(client):
    seen = []
    for row in iter_data_rows("validation", count=2):
        client.cookies.clear()
        client.post("/seed_session", json=row)
        seen.append((dict(client.cookies), client.post("/show_raw_data", json={}).text))
    assert seen[0][1] != seen[1][1]
    for cookies, text in seen:
        client.cookies.clear()
        client.cookies.update(cookies)
        assert client.post("/show_raw_data", json={}).text == text


def test_the_reference_policys_score_comes_from_a_server_too():
    (row,) = iter_data_rows("validation", count=1)
    before = episodes_served()
    with TestClient(web_application(base_url=address())) as client:
        assert play(client, "reference", row)["reward"] == 1.0
    assert episodes_served() == before + 1


def test_where_no_server_is_seeding_fails_and_says_how_to_start_one():
    (row,) = iter_data_rows("validation", count=1)
    with TestClient(web_application(base_url=NOWHERE), raise_server_exceptions=False) as client:
        reply = client.post("/seed_session", json=row)
        assert reply.status_code == 502
        assert re.search(NO_SERVER, reply.json()["detail"])
        verified = client.post("/verify", json={**row, "response": RESPONSE}).json()
    assert (verified["reward"], verified["mask_sample"]) == (0.0, True)


def test_a_row_that_offers_other_tools_than_its_reset_has_is_refused_and_masked(client):
    (row,) = iter_data_rows("validation", count=1)
    for wrong in ({"reset": {**row["reset"], "profile": "lean"}}, {"environment": "firewatch"}):
        reply = client.post("/seed_session", json={**row, **wrong})
        assert reply.status_code == 422
        assert re.search("was offered: .*list_dates.*scan|'firewatch'", reply.json()["detail"])
        verified = client.post("/verify", json={**row, "response": RESPONSE}).json()
        assert (verified["reward"], verified["mask_sample"]) == (0.0, True)


def test_data_rows_name_every_tool_as_the_responses_interface_wants_it(tmp_path):
    assert write_rows(tmp_path / "example.jsonl", iter_data_rows("train", count=2)) == 2
    for line in (tmp_path / "example.jsonl").read_text().splitlines():
        given = json.loads(line)["responses_create_params"]
        for offered, tool in zip(
            given["tools"], ENVIRONMENT.tools.select_for_episode().chat_tools, strict=True
        ):
            assert offered == {"type": "function", "strict": False, **tool["function"]}
        assert given["input"][0]["content"] == ENVIRONMENT.build_system_prompt()


def test_the_example_configuration_names_the_server_and_its_data():
    config = yaml.safe_load((EXAMPLE / "configs" / "metric_tracker.yaml").read_text())
    server = config["metric_tracker_resources_server"]["resources_servers"]["metric_tracker"]
    assert (EXAMPLE / server["entrypoint"]).exists()
    agent = config["metric_tracker_simple_agent"]["responses_api_agents"]["simple_agent"]
    assert agent["resources_server"]["name"] == "metric_tracker_resources_server"
    for dataset in agent["datasets"]:
        path = EXAMPLE.parent / Path(dataset["jsonl_fpath"]).relative_to("resources_servers")
        assert len(path.read_text().splitlines()) >= 5


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_guide_runs_as_far_as_it_goes_without_a_model(
    environment, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("ENVIRONMENT", environment)
    assert run_blocks("nemo_gym", tmp_path) == 1
    assert "200" in capsys.readouterr().out
