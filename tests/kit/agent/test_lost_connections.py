"""Lost connections and restarted servers: the episode is replayed or the task fails."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv_kit.agent.servers import Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.episode_clients.replaying_websocket import ReplayingWebSocketEpisode
from openenv_kit.errors import ServerError
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.replay import iter_replayed_steps
from support.agent_runs import EnvironmentServer, Play
from support.fake_model import FakeModel
from support.tcp_relay import Relay, relay

pytestmark = pytest.mark.slow

ONE = ("--tasks", "medium_mixed_pair")
TOKEN = "a-token-of-the-server"


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_KIT_TOKEN", TOKEN)


@pytest.fixture
def wire(server_url: str) -> Iterator[Relay]:
    with relay(int(server_url.rsplit(":", 1)[1])) as server:
        yield server


@pytest.fixture(scope="module")
def mortal() -> Iterator[EnvironmentServer]:
    """A server of two sessions that asks for a token; a test may kill it and start it again."""
    server = EnvironmentServer(MAX_CONCURRENT_ENVS="2", OPENENV_KIT_TOKEN=TOKEN)
    try:
        server.wait()
        yield server
    finally:
        server.end()


def test_a_server_killed_in_mid_episode_and_started_again_costs_nothing(
    play: Play, model: FakeModel, mortal: EnvironmentServer, token: None
) -> None:
    unharmed = play("--base-url", mortal.url, *ONE, model="good", server=model)
    already = len(model.requests)

    def kill(number: int) -> None:
        if number == already + 4:
            mortal.end(signal.SIGKILL)
            mortal.start()  # it answers only seconds later

    model.before_answer = kill
    harmed = play("--base-url", mortal.url, *ONE, model="good", server=model)
    assert harmed.code == 0
    assert harmed.tasks[0]["reconnects"] == 1
    assert harmed.tasks[0]["score"] == unharmed.tasks[0]["score"] == 1.0
    assert harmed.out == unharmed.out


def test_run_waits_for_a_server_at_capacity(
    play: Play, model: FakeModel, mortal: EnvironmentServer, token: None
) -> None:
    model.delay_s = 0.02
    ran = play(
        "--base-url", mortal.url, "--episodes", "2", "--concurrency", "6",
        model="good", server=model,
    )  # fmt: skip
    assert ran.code == 0
    assert {task["score"] for task in ran.tasks} == {1.0}
    assert len(ran.blocks) == 6
    assert "The environment server is full" in ran.err
    assert TOKEN not in ran.out + ran.err


def test_server_with_a_token_fails_a_run_without_it(
    play: Play, mortal: EnvironmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENENV_CONNECT_TIMEOUT_S", "0.3")
    ran = play("--base-url", mortal.url, *ONE)
    assert ran.code == 1
    assert ran.tasks[0]["score"] is None
    assert "OPENENV_KIT_TOKEN" in ran.err


@pytest.mark.parametrize("request_number", [1, 3, 7])
def test_a_socket_cut_while_the_model_thinks_is_replaced_without_a_trace(
    play: Play, model: FakeModel, wire: Relay, request_number: int
) -> None:
    whole = play("--base-url", wire.url, *ONE, model="good", server=model)
    already = len(model.requests)
    model.before_answer = lambda number: wire.cut() if number == already + request_number else None
    cut = play("--base-url", wire.url, *ONE, "--record", "runs", model="good", server=model)
    assert cut.code == 0
    assert cut.out == whole.out
    assert cut.tasks[0]["reconnects"] == 1
    assert "replaying" in cut.err
    (run,) = read_runs(Path("runs/medium_mixed_pair.jsonl"))
    assert all(same for _, _, same in iter_replayed_steps(run))


def test_a_socket_that_breaks_too_often_fails_the_task_and_prints_its_end(
    play: Play, model: FakeModel, wire: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENENV_TASK_RETRY_COUNT", "1")
    model.before_answer = lambda number: wire.cut() if number in (2, 4) else None
    ran = play(
        "--base-url", wire.url, "--tasks", "medium_mixed_pair,easy_single_spike",
        model="good", server=model,
    )  # fmt: skip
    assert ran.code == 1
    assert [task["status"] for task in ran.tasks] == ["failed", "evaluated"]
    assert [block.score for block in ran.blocks] == [0.01, 0.99]
    assert "OPENENV_TASK_RETRY_COUNT" in ran.err


async def test_an_episode_that_comes_back_different_is_refused(wire: Relay) -> None:
    server = Server(wire.url, "a server")
    episode = ReplayingWebSocketEpisode(server, AgentSettings(), lambda _: None)
    await episode.reset({})
    await episode.step({"analysis_method": "list_dates", "analysis_args": {}})
    episode._observation_digests[1] = "what another version of the server would have said"
    wire.cut()
    with pytest.raises(ServerError, match="the replayed episode differed at step 1"):
        await episode.step({"analysis_method": "list_dates", "analysis_args": {}})
    await episode.close()


async def test_rejected_reset_fails_the_task_with_the_servers_message(
    server_url: str,
) -> None:
    server = Server(server_url, "a server")
    episode = ReplayingWebSocketEpisode(server, AgentSettings(), lambda _: None)
    with pytest.raises(ServerError, match="refused the reset: Unknown task_id 'no_such'"):
        await episode.reset({"task_id": "no_such"})
    await episode.close()


async def test_no_server_at_all_is_an_error_after_the_time_allowed() -> None:
    server = Server("http://127.0.0.1:9", "a server")
    settings = AgentSettings(connect_timeout_s=0.3)
    episode = ReplayingWebSocketEpisode(server, settings, lambda _: None)
    with pytest.raises(ServerError, match="OPENENV_CONNECT_TIMEOUT_S"):
        await episode.reset({})


def test_recordings_of_a_model_hold_its_steps_and_replay_bit_for_bit(
    play: Play, model: FakeModel
) -> None:
    ran = play("--record", "runs", model="broken-json", server=model)
    assert ran.code == 0
    files = sorted(each.name for each in Path("runs").iterdir())
    assert files == ["easy_single_spike.jsonl", "hard_mixed_multi.jsonl", "medium_mixed_pair.jsonl"]
    for name in files:
        (run,) = read_runs(Path("runs") / name)
        assert run.player == "broken-json"
        assert run.score == 1.0
        assert all(same for _, _, same in iter_replayed_steps(run))
        lines = [json.loads(line) for line in (Path("runs") / name).read_text().splitlines()]
        assert [line["event"] for line in lines] == ["start", *["step"] * len(run.steps), "end"]
