"""The environment of the tutorial works over every interface of the kit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from openenv_kit.environment import (
    DEFAULT_ENVIRONMENT,
    Environment,
    find_environment_entry_points,
    get_environment,
)
from openenv_kit.errors import UnknownNameError
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.replay import iter_replayed_steps
from openenv_kit.rollouts.run_policy import iter_policy_steps, run_policy
from openenv_kit.trainers.trl import environment_class
from openenv_kit.trust.exploits import ExploitRunner
from research.scripted_endpoint import ScriptedEndpoint
from support.command_line import run_cli
from support.environment_members import members
from support.live_server import served
from support.paths import ROOT
from support.recorded_runs import record_runs
from support.server_requests import call_mcp

pytestmark = pytest.mark.slow

NAME = "pipe_leak"
FILE = ROOT / "examples" / NAME / f"{NAME}.py"
TASK = {"split": "test", "index": 3}


@pytest.fixture(scope="module")
def pipe() -> Environment:
    return get_environment(NAME)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served("--environment", NAME) as url:
        yield url


def leak_of(pipe: Environment) -> int:
    """The answer, from a play by the reference in process."""
    session = pipe.create_session()
    opening = session.reset(**TASK)
    *_, (last, _) = iter_policy_steps(session, pipe.policies["reference"], opening)
    return int(last["arguments"]["segment"])


def call(tool: str, segment: int) -> dict[str, Any]:
    """The action of a tool call."""
    return {"tool": tool, "arguments": {"segment": segment}}


def test_pipe_leak_is_one_formatted_file_of_less_than_150_lines() -> None:
    assert len(FILE.read_text().splitlines()) < 150
    ruff = [sys.executable, "-m", "ruff", "format", "--check", FILE]
    assert subprocess.run(ruff, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert f'{NAME} = "{NAME}:ENVIRONMENT"' in FILE.with_name("pyproject.toml").read_text()


def test_pipe_leak_has_at_most_twelve_members(pipe: Environment) -> None:
    assert len(members(type(pipe))) <= 12


def test_pipe_leak_is_found_by_name_and_a_wrong_name_names_it() -> None:
    assert {NAME, DEFAULT_ENVIRONMENT} <= set(find_environment_entry_points())
    with pytest.raises(UnknownNameError, match="Did you mean 'pipe_leak'"):
        get_environment("pipe_leek")


def test_websocket_plays_pipe_leak(url: str, pipe: Environment) -> None:
    with connect(url.replace("http", "ws") + "/ws") as socket:

        def ask(kind: str, data: Any = None) -> Any:
            socket.send(json.dumps({"type": kind} | ({"data": data} if data else {})))
            return json.loads(socket.recv())["data"]

        assert ask("reset", TASK)["observation"]["status"] == "ready"
        reply = ask("step", call("gauge", 99))
        assert "segment is 99" in reply["observation"]["message"]
        assert ask("state")["step_count"] == 1
        last = ask("step", call("report", leak_of(pipe)))
    assert (last["reward"], last["done"]) == (1.0, True)


def test_http_plays_pipe_leak_and_rejects_a_wrong_argument(url: str, pipe: Environment) -> None:
    with httpx.Client(base_url=url) as client:
        refused = client.post("/reset", json={"sed": 1}).json()["observation"]
        assert refused["status"] == "error"
        assert "Did you mean 'seed'" in refused["message"]
        episode = client.post("/reset", json=TASK).json()["episode_id"]
        report = call("report", leak_of(pipe))
        last = client.post("/step", json={"episode_id": episode, "action": report}).json()
        assert last["reward"] == 1.0
        outcome = client.get("/state", params={"episode_id": episode}).json()
        assert (outcome["status"], outcome["score"]) == ("completed", 1.0)
        assert client.get("/metadata").json()["name"] == NAME
        schema = client.get("/schema").json()["action"]
        assert set(schema["properties"]) >= {"tool", "arguments"}


def test_mcp_lists_the_tools_of_pipe_leak_and_plays_it(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        ask = partial(call_mcp, client)
        opened = ask("initialize", protocolVersion="2025-06-18")
        client.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
        assert "water main" in opened.json()["result"]["instructions"]
        tools = [tool["name"] for tool in ask("tools/list").json()["result"]["tools"]]
        assert tools == ["gauge", "listen", "report"]
        arguments = {"segment": 5}
        result = ask("tools/call", name="gauge", arguments=arguments).json()["result"]
        assert result["structuredContent"]["message"].endswith(" bar at 5.")


def test_model_player_plays_pipe_leak_through_a_chat_endpoint(url: str, tmp_path: Path) -> None:
    with ScriptedEndpoint("reference", NAME) as endpoint:
        environ = {
            **{"PATH": "", "API_KEY": "none", "API_BASE_URL": endpoint.base_url},
            **{"MODEL_NAME": "scripted", "BASE_URL": url},
        }
        ran = subprocess.run(
            [sys.executable, ROOT / "inference.py", "--environment", NAME, "--tasks", "test:0-2"],
            **{"cwd": tmp_path, "env": environ, "capture_output": True, "text": True},
            timeout=300,
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count(f"env={NAME} model=scripted") == 2
    results = json.loads((tmp_path / "results.json").read_text())
    assert [each["score"] for each in results["tasks"]] == [1.0, 1.0]


def test_recording_of_pipe_leak_replays(pipe: Environment, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    record_runs(file, "reference", [TASK], pipe)
    (run,) = read_runs(file)
    assert all(same for _, _, same in iter_replayed_steps(run, pipe))
    ran = run_cli("replay", str(file), "--environment", NAME)
    assert ran.exit_code == 0, ran.output


def test_audit_plays_pipe_leak(pipe: Environment) -> None:
    assert (
        ExploitRunner(pipe).run_policy_beyond_episode_end(pipe.policies["reference"], TASK).score
        == 1.0
    )
    ran = run_cli("audit", "--environment", NAME, "--episodes", "20")
    assert ran.exit_code == 0, ran.output
    assert "reference" in ran.output


def test_trl_class_of_pipe_leak_has_its_tools() -> None:
    kind = environment_class(NAME)
    player = kind()
    assert "leaks in one" in player.reset(**TASK)
    assert "bar at 3" in player.gauge(segment=3)  # type: ignore[attr-defined]
    assert player.get_reward() == 0.0


def test_pipe_leak_in_process_needs_no_server(pipe: Environment) -> None:
    session = pipe.create_session()
    assert run_policy(session, pipe.policies["reference"], session.reset(seed=4)).score == 1.0
