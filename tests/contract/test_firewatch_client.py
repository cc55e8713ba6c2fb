"""Existing Firewatch clients: plain HTTP, no episode id, many on one host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from firewatch_env.tasks.levels import LEVELS
from firewatch_env.tasks.named import NAMED
from support.live_server import served
from support.paths import TESTS

pytestmark = pytest.mark.slow
CLIENT = TESTS / "support" / "firewatch_client.py"
END = re.compile(r"\[END\] success=(true|false) steps=\d+ score=(\d\.\d\d) rewards=[\d.,]+")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose callers have played nothing before."""
    store = tmp_path_factory.mktemp("store") / "episodes.db"
    own = {**os.environ, "OPENENV_KIT_EPISODE_STORE": str(store)}
    with served("--environment", "firewatch", "--workers", "2", env=own) as url:
        yield url


def start(url: str, *tasks: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, CLIENT, url, *tasks], stdout=subprocess.PIPE, text=True
    )


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_client_without_an_id_plays_its_three_tasks(url: str) -> None:
    client = start(url)
    out, _ = client.communicate(timeout=120)
    assert client.returncode == 0
    assert [line.split()[0] for line in out.splitlines() if line[:5] != "[STEP"] == [
        "[START]", "[END]",
    ] * 3  # fmt: skip
    assert all(END.fullmatch(line) for line in out.splitlines() if line.startswith("[END]"))


def test_three_copies_at_once_write_the_same_lines(url: str) -> None:
    copies = [start(f"{url}/as/copy-{number}") for number in range(3)]
    outputs = [copy.communicate(timeout=120)[0] for copy in copies]
    assert [copy.returncode for copy in copies] == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0].count("[STEP]") > 10


def test_all_sixty_tasks_are_played(url: str) -> None:
    tasks = [
        f"{each.task_id}:{each.difficulty}:{each.seed}:{LEVELS[each.difficulty].ticks}"
        for each in NAMED.values()
    ]
    client = start(f"{url}/as/all", *tasks)
    out, _ = client.communicate(timeout=300)
    scores = [float(END.fullmatch(line)[2]) for line in out.splitlines() if line[:4] == "[END"]  # type: ignore[index]
    assert len(scores) == 60
    print(f"mean over 60 tasks: {sum(scores) / 60:.3f}")
    assert 0.02 < sum(scores) / 60 < 0.6, "simple rules see something, and do not solve it"


def test_every_mistake_is_answered_200_and_the_episode_goes_on(url: str) -> None:
    base = f"{url}/as/mistaken"
    early = post(f"{base}/step", {"action": {"action_type": "fetch_logs"}})
    assert "reset first" in early["info"]["error"]
    assert (early["done"], early["observation"]["services"]) == (False, {})
    opened = post(f"{base}/reset", {"difficulty": "easy", "seed": 42})
    assert (opened["reward"], opened["done"]) == (None, False)
    for number, action in enumerate(
        (
            {"action_type": "reboot"},
            {"action_type": "restart_service"},
            {"action_type": "restart_service", "target_service": "nothing"},
            {"action_type": 7, "target_service": [], "parameters": "no"},
            {},
        ),
        start=1,
    ):
        reply = post(f"{base}/step", {"action": action})
        assert reply["info"]["error"], action
        assert reply["observation"]["sim_tick"] == number
    refused = post(f"{base}/reset", {"difficulty": "impossible"})
    assert "impossible" in refused["info"]["error"]
    last = post(f"{base}/step", {"action": {"action_type": "declare_resolved"}})
    assert (last["done"], last["info"]["error"]) == (True, None)
    assert isinstance(last["observation"]["episode_score"], int | float)
    after = post(f"{base}/step", {"action": {"action_type": "declare_resolved"}})
    assert after["done"]
    assert after["info"]["error"]


def test_callers_do_not_see_each_other_and_an_id_cannot_be_guessed(url: str) -> None:
    one = post(f"{url}/as/one/reset", {"difficulty": "easy", "seed": 42})
    two = post(f"{url}/as/two/reset", {"difficulty": "hard", "seed": 512})
    assert one["episode_id"] != two["episode_id"]
    with urllib.request.urlopen(f"{url}/as/one/state", timeout=30) as answer:
        assert json.load(answer)["task_id"] == "task_easy_oom_baseline"
    assert re.fullmatch(r"anonymous-[0-9a-f]{32}", one["episode_id"])


def test_an_id_that_is_null_is_no_id(url: str) -> None:
    base = f"{url}/as/null"
    post(f"{base}/reset", {"episode_id": None, "difficulty": "easy", "seed": 42})
    reply = post(f"{base}/step", {"episode_id": None, "action": {"action_type": "escalate"}})
    assert reply["info"]["error"] is None
    assert reply["observation"]["sim_tick"] == 1
