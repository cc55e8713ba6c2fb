"""Tasks as Harbor folders with server and verifier."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from openenv_kit.datasets import harbor
from openenv_kit.datasets.export_rows import add_prompt_and_score_columns
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.serving.one_task import SingleTaskServer
from openenv_kit.serving.settings import load_settings
from support.command_line import run_cli

IMAGE = "some-image:1"


def written(folder: Path, environment: str) -> Path:
    row = add_prompt_and_score_columns(
        environment, {}, {"task": "test-1", "split": "test", "index": 1}
    )
    harbor.write_harbor_task(folder / "test-1", get_environment(environment), row, IMAGE)
    return folder / "test-1"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("funnel"), "metric_tracker_rl")


def server_of(task: Path) -> dict[str, Any]:
    text = (task / "environment/docker-compose.yaml").read_text()
    server: dict[str, Any] = yaml.safe_load(text)["services"]["server"]
    return server


def served(task: Path, outcome: Path, **changed: Any) -> TestClient:
    """The server of a folder, as its compose file starts it."""
    server, limits = server_of(task), load_settings({"HOST": "0.0.0.0"})
    task_file = json.loads(server["command"][3].replace("$$", "$")) | changed
    environment = get_environment(server["environment"]["ENVIRONMENT"])
    return TestClient(SingleTaskServer(environment, task_file, outcome, limits).build_app(limits))


def asked(client: TestClient, method: str, **params: Any) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answered: dict[str, Any] = client.post("/mcp", json=body).json()
    return answered


def verdict(task: Path, outcome: Path, folder: Path) -> float | None:
    """The reward that test.sh writes for a collected outcome; None where it writes none."""
    script = (task / "tests/test.sh").read_text()
    script = script.replace("/tmp/outcome.json", str(outcome)).replace("/logs", str(folder))
    subprocess.run(["sh", "-c", script], check=False, capture_output=True)
    reward = folder / "verifier/reward.txt"
    return float(reward.read_text()) if reward.exists() and reward.read_text() else None


@pytest.mark.slow
def test_solution_script_gets_reward_one_from_the_verifier(task: Path, tmp_path: Path) -> None:
    outcome = tmp_path / "outcome.json"
    with served(task, outcome) as client:
        assert client.get("/health").json() == {"status": "healthy"}
        opened = asked(client, "initialize", protocolVersion="2025-06-18")["result"]
        assert opened["instructions"] in (task / "instruction.md").read_text()
        assert verdict(task, outcome, tmp_path / "before") == 0.0  # nothing was handed in
        calls = json.loads((task / "solution/calls.json").read_text())
        for call in calls:
            asked(client, "initialize", protocolVersion="2025-06-18")  # as a client that reconnects
            assert asked(client, "tools/call", **call)["result"]["isError"] is False
    assert json.loads(outcome.read_text())["status"] == "completed"
    assert verdict(task, outcome, tmp_path / "after") == 1.0


def test_a_trial_without_an_outcome_has_no_reward(task: Path, tmp_path: Path) -> None:
    assert verdict(task, tmp_path / "missing.json", tmp_path) is None


def test_harbor_server_offers_the_agent_mcp_calls_only(task: Path, tmp_path: Path) -> None:
    with served(task, tmp_path / "outcome.json") as client:
        for path in ("/reset", "/state", "/outcome", "/web"):
            assert client.get(path).status_code == client.post(path, json={}).status_code == 404
        assert client.delete("/mcp").status_code == 405
        assert client.post("/mcp", content=b"{").json()["error"]["message"] == "Parse error"
        notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert client.post("/mcp", json=notification).status_code == 202


def test_a_task_of_other_versions_or_of_no_episode_is_not_served(
    task: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError, match=r"versions is .*those of this release"):
        served(task, tmp_path / "outcome.json", versions={"generator": "0"})
    with pytest.raises(InvalidValueError, match="The reset was rejected"):
        served(task, tmp_path / "outcome.json", reset={"split": "tset", "index": 0})


@pytest.mark.parametrize("environment", ["metric_tracker_rl", "firewatch"])
def test_harbor_folder_configures_server_verifier_and_scripts(
    environment: str, tmp_path: Path
) -> None:
    folder = written(tmp_path, environment)
    config = tomllib.loads((folder / "task.toml").read_text())
    assert config["task"]["name"] == f"{environment}/test-1"
    assert config["artifacts"] == [
        {"source": server_of(folder)["command"][-1], "service": "server"}
    ]
    (server,) = config["environment"]["mcp_servers"]
    assert server["url"] == "http://server:8000/mcp"
    assert server_of(folder)["image"] == IMAGE
    assert config["verifier"]["environment_mode"] == "separate"
    for name in ("tests/test.sh", "solution/solve.sh"):
        assert (folder / name).stat().st_mode & 0o100


def test_harbor_package_reads_the_folder(task: Path) -> None:
    harbor_task = pytest.importorskip(
        "harbor.models.task.task", reason="harbor is not installed; it wants Python 3.12"
    )
    read = harbor_task.Task(task)
    assert harbor_task.Task.is_valid_dir(task)
    assert read.config.environment.mcp_servers[0].transport == "streamable-http"
    assert read.instruction == (task / "instruction.md").read_text()


def test_the_command_writes_folders_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    def run(*further: str) -> tuple[int, str]:
        asked = ["export", str(tmp_path / "out"), "--split", "test", "--count", "1", *further]
        done = run_cli(*asked)
        return done.exit_code, " ".join(done.output.split())

    assert run("--layout", "harbor", "--image", "mine:2")[0] == 0
    assert server_of(tmp_path / "out/test-0")["image"] == "mine:2"
    assert "docker build -t mine:2 ." in (tmp_path / "out/README.md").read_text()
    code, output = run("--image", "mine:2")
    assert code == 2
    assert "rows have no image" in output
