"""Many episodes of one process on a server, with a limit of open ones."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.episode_clients import retry
from openenv_kit.errors import ConfigurationError, InvalidValueError, ServerError
from openenv_kit.trainers.async_tool_episode import (
    DEFAULT_MAX_OPEN_EPISODES,
    AsyncToolEpisode,
    ServerSlots,
)
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode
from support.live_server import served

LEAN = {"profile": "lean"}


async def play_reference(slots: ServerSlots, row: dict[str, Any]) -> tuple[str, float, int]:
    """Play a task; return its first message, its reward and the open episodes at its start."""
    async with AsyncToolEpisode(slots) as episode:
        opening = await episode.reset(row)
        open_count, results = slots.open_count, []
        while call := get_next_scripted_call("reference", results, first_user_message=opening):
            results.append(await episode.call_tool(call.name, call.arguments))
        return opening, episode.reward, open_count


def test_episodes_above_the_limit_wait_and_each_gets_its_own_task(server_url: str) -> None:
    rows = list_task_rows("train", count=8, extra_reset_arguments=LEAN)

    async def play_all() -> list[tuple[str, float, int]]:
        slots = ServerSlots(server_url, max_open_episodes=3)
        played = await asyncio.gather(*(play_reference(slots, row) for row in rows))
        assert slots.open_count == 0
        return played

    played = asyncio.run(play_all())
    assert [opening for opening, _, _ in played] == [ToolEpisode().reset(row) for row in rows]
    assert [reward for _, reward, _ in played] == [1.0] * len(rows)
    assert max(open_count for _, _, open_count in played) == 3


@pytest.mark.parametrize(("world_size", "limit"), [("", 1024), ("6", 170), ("5000", 1)])
def test_limit_is_the_share_of_a_rank_of_the_servers_sessions(
    server_url: str, monkeypatch: pytest.MonkeyPatch, world_size: str, limit: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world_size)

    async def find_limit() -> int:
        return await ServerSlots(server_url).find_max_open_episodes()

    assert asyncio.run(find_limit()) == limit


def test_limit_is_read_once_though_many_episodes_start_together(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = ServerSlots(server_url)
    read, reads = slots._client.read_max_sessions, []
    monkeypatch.setattr(slots._client, "read_max_sessions", lambda: reads.append(1) or read())

    async def find_limits() -> list[int]:
        return await asyncio.gather(*(slots.find_max_open_episodes() for _ in range(8)))

    assert asyncio.run(find_limits()) == [1024] * 8
    assert reads == [1]


def test_server_without_a_number_of_sessions_gets_the_default_limit(
    server_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slots = ServerSlots(server_url)
    monkeypatch.setattr(slots._client, "read_max_sessions", lambda: None)
    assert asyncio.run(slots.find_max_open_episodes()) == DEFAULT_MAX_OPEN_EPISODES
    assert "does not report max_sessions" in caplog.text


def test_limit_below_one_is_rejected(server_url: str) -> None:
    with pytest.raises(InvalidValueError, match="max_open_episodes is 0"):
        ServerSlots(server_url, max_open_episodes=0)


def test_rejected_reset_releases_its_slot(server_url: str) -> None:
    async def reset_twice() -> None:
        slots = ServerSlots(server_url, max_open_episodes=1)
        async with AsyncToolEpisode(slots) as episode:
            with pytest.raises(ConfigurationError, match="Did you mean 'hard'"):
                await episode.reset({"difficulty": "hardd"})
            assert slots.open_count == 0
            await episode.reset({"split": "train", "index": 0})
            assert slots.open_count == 1

    asyncio.run(reset_twice())


def test_next_episode_of_the_same_player_keeps_one_slot(server_url: str) -> None:
    async def reset_twice() -> None:
        slots = ServerSlots(server_url, max_open_episodes=1)
        async with AsyncToolEpisode(slots) as episode:
            await episode.reset({"split": "train", "index": 0})
            await episode.reset({"split": "train", "index": 1})
            assert slots.open_count == 1
        assert slots.open_count == 0

    asyncio.run(reset_twice())


SMALL_STORE = {"OPENENV_KIT_MAX_STORED_EPISODES": "2", "OPENENV_KIT_CLIENT_STORE_PERCENT": "100"}


@pytest.fixture
def full_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose store has room for two running episodes."""
    for name, value in SMALL_STORE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENENV_KIT_EPISODE_STORE", str(tmp_path / "s.db"))
    with served() as url:
        yield url


@pytest.mark.slow
def test_full_server_delays_episodes_and_scores_none_of_them_zero(
    full_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "MAX_RETRY_PAUSE_S", 0.05)
    rows = list_task_rows("train", count=6, extra_reset_arguments=LEAN)

    async def play_all() -> list[float]:
        slots = ServerSlots(full_server, max_open_episodes=6)
        return [
            reward
            for _, reward, _ in await asyncio.gather(*(play_reference(slots, row) for row in rows))
        ]

    assert asyncio.run(play_all()) == [1.0] * 6
    assert "waiting for room on the server" in caplog.text


@pytest.mark.slow
def test_server_that_stays_full_is_an_error_and_no_score(
    full_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "CAPACITY_TIMEOUT_S", 0.0)
    running = [ToolEpisode(full_server) for _ in range(2)]
    for episode in running:
        episode.reset({"split": "train", "index": 0})

    async def reset_third() -> None:
        slots = ServerSlots(full_server, max_open_episodes=3)
        async with AsyncToolEpisode(slots) as episode:
            with pytest.raises(ServerError, match="It had no room for 0 s"):
                await episode.reset({"split": "train", "index": 1})
        assert slots.open_count == 0

    asyncio.run(reset_third())
    assert json.loads(running[0].call_tool("list_dates", {}))["status"] == "analyzed"
    for episode in running:
        episode.close()
