"""A program that shares no code with this project plays a task of each product to 1.0."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.serving.http_episodes import Episodes
from openenv_kit.serving.settings import Settings

STRANGER = Path(__file__).with_name("stranger.py")


@pytest.mark.slow
@pytest.mark.parametrize("door", ["ws", "http", "mcp"])
@pytest.mark.parametrize("product", DOMAINS)
def test_a_stranger_plays_a_task_of_each_product_to_one(
    product: str, door: str, server_url: str
) -> None:
    command = [sys.executable, "-I", str(STRANGER), server_url, f"drill_easy_{product}", door]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["reward"]) == ("evaluated", 1.0)
    assert told["reward_breakdown"]["total_score"] == 1.0


def test_the_stranger_imports_nothing_of_ours() -> None:
    tree = ast.parse(STRANGER.read_text())
    names = {
        each.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for each in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert names - sys.stdlib_module_names == {"websockets"}


@pytest.mark.slow
def test_mcp_lists_the_tools_of_the_episode_that_its_session_plays(server_url: str) -> None:
    def listed(reset: dict[str, str]) -> list[str]:
        player = httpx.post(f"{server_url}/reset", json=reset).json()["player_id"]
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        headers = {"mcp-session-id": player}
        answer = httpx.post(f"{server_url}/mcp", json=request, headers=headers).json()
        return [tool["name"] for tool in answer["result"]["tools"]]

    assert "slice" in listed({"task_id": "drill_saas_trial"})
    assert "list_dates" not in listed({"task_id": "drill_saas_trial"})
    assert "slice" not in listed({"task_id": "easy_single_spike"})


@pytest.mark.slow
def test_a_reset_that_is_refused_leaves_the_server_and_the_episode(server_url: str) -> None:
    good = httpx.post(f"{server_url}/reset", json={"difficulty": "drill", "causes": 0}).json()
    for bad in ({"difficulty": "drill", "causes": 9}, {"split": "drill_test", "index": -1}):
        answer = httpx.post(f"{server_url}/reset", json=bad).json()
        assert answer["observation"]["status"] == "error"
    action = {"analysis_method": "submit_report", "analysis_args": {"rows": []}}
    body = {"action": action, "episode_id": good["episode_id"]}
    assert httpx.post(f"{server_url}/step", json=body).json()["reward"] == 1.0


async def test_an_episode_is_made_in_a_thread_before_its_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_in = []

    def note(**_: object) -> Callable[[], object]:
        return lambda: made_in.append(threading.current_thread())

    monkeypatch.setattr(ENVIRONMENT.__class__, "preparation", lambda _, episode: note(**episode))
    episodes = Episodes(Settings(episode_store="memory"), ENVIRONMENT)
    started = await episodes.reset({"difficulty": "drill_easy", "causes": 0, "seed": 9})
    assert started.handle is not None
    assert [each is threading.main_thread() for each in made_in] == [False]
    await episodes.close()


def test_only_episodes_that_take_long_are_made_ahead() -> None:
    assert ENVIRONMENT.preparation({"task_id": "easy_single_spike"}) is None
    assert ENVIRONMENT.preparation({}) is None
    make = ENVIRONMENT.preparation({"difficulty": "drill_easy", "causes": 1, "seed": 77})
    assert make is not None
    before = ENVIRONMENT.cache.misses()
    make()
    assert ENVIRONMENT.cache.misses() == before + 1
    ENVIRONMENT.session().reset(difficulty="drill_easy", causes=1, seed=77)
    assert ENVIRONMENT.cache.misses() == before + 1
