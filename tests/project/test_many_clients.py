"""The load test with many clients detects what it is for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks.client_connections import FullError
from benchmarks.expected_episodes import ExpectedEpisode, play_expected_episodes
from benchmarks.load import LoadError
from benchmarks.load_record import LoadRecord, find_percentile_ms, summarize
from benchmarks.many_clients import SimulatedClient, run_clients
from benchmarks.memory_trend import MemorySample, fit_memory_trend
from benchmarks.server_process import run_server
from benchmarks.warm_up import (
    count_episodes_to_fill_caches,
    play_episodes_of_each_environment,
)
from openenv_kit.environment import get_environment
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.serving.episodes.episode_cache import MAX_CACHED_EPISODES

CLIENTS = 32
SECONDS = 20.0


@pytest.mark.slow
def test_clients_of_two_workers_lose_and_mix_up_nothing() -> None:
    episodes = [play_expected_episodes(number) for number in range(CLIENTS)]
    with run_server(workers=2) as server:
        record = asyncio.run(run_clients(server, episodes, SECONDS, (0.2, 1.0)))
    figures = {figure.name: figure for figure in summarize(record, SECONDS)}
    assert record.examples == []
    assert figures["episodes lost"].value == 0
    assert figures["replies mixed up"].value == 0
    assert record.finished > CLIENTS
    assert record.reconnected > 0
    assert record.left > 0
    assert record.memory[0].resident_bytes > 0


class FakeConnection:
    """Plays the given episode in process, whatever is asked for."""

    def __init__(self, played: ExpectedEpisode, problems: dict[int, Exception]) -> None:
        self._played, self._problems = played, problems
        self._episode = InProcessEpisode(get_environment(played.kind.environment))
        self._requests = 0
        self.reconnects = 0

    def _raise_problem(self) -> None:
        self._requests += 1
        if problem := self._problems.pop(self._requests, None):
            raise problem

    async def reset(self, path: str, arguments: Any) -> dict[str, Any]:
        self._raise_problem()
        return self._episode.reset(self._played.reset_arguments)

    async def step(self, action: Any) -> dict[str, Any]:
        self._raise_problem()
        return self._episode.step(action)

    async def reconnect(self) -> None:
        self.reconnects += 1
        self._raise_problem()

    def drop(self) -> None:
        """Do nothing."""


def play_once(
    expected: ExpectedEpisode,
    played: ExpectedEpisode,
    monkeypatch: pytest.MonkeyPatch,
    *,
    problems: dict[int, Exception] | None = None,
    luck: float = 1.0,
) -> LoadRecord:
    """Let one client play one episode; the server plays another one if they differ."""
    monkeypatch.setattr("benchmarks.many_clients.FULL_PAUSE_S", 0.0)
    record, stop = LoadRecord(), asyncio.Event()
    connection = FakeConnection(played, dict(problems or {}))

    async def play() -> None:
        client = SimulatedClient(0, connection, [expected], record, stop, (0.0, 0.0))
        monkeypatch.setattr(client._random, "random", lambda: luck)
        asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(stop_later(client)))
        await client.play_until_stop()

    async def stop_later(client: SimulatedClient) -> None:
        while not record.started:
            await asyncio.sleep(0)
        stop.set()

    asyncio.run(play())
    return record


@pytest.fixture(scope="module")
def lean_episodes() -> tuple[ExpectedEpisode, ExpectedEpisode]:
    """The lean episodes of two clients."""
    return play_expected_episodes(0)[0], play_expected_episodes(1)[0]


def test_client_expected_replies_finishes_without_errors(
    lean_episodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = play_once(lean_episodes[0], lean_episodes[0], monkeypatch)
    assert (record.started, record.finished, record.lost, record.mixed_up) == (1, 1, 0, 0)
    assert len(record.step_s) + record.steps_after_stop == len(lean_episodes[0].actions)


def test_client_replies_of_another_episode_are_mixed_up(
    lean_episodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = play_once(*lean_episodes, monkeypatch)
    assert record.mixed_up > 0
    assert record.errors["mixed up"] == record.mixed_up


def test_client_error_of_the_server_loses_the_episode(
    lean_episodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = play_once(
        lean_episodes[0], lean_episodes[0], monkeypatch, problems={2: LoadError("HTTP 500")}
    )
    assert (record.lost, dict(record.errors)) == (1, {"LoadError": 1})


def test_client_full_server_is_waited_for(
    lean_episodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = play_once(
        lean_episodes[0], lean_episodes[0], monkeypatch, problems={1: FullError("full")}
    )
    assert (record.full, record.finished, sum(record.errors.values())) == (1, 1, 0)


@pytest.mark.parametrize(
    ("luck", "counts"), [(0.01, (1, 0, 1)), (0.06, (0, 1, 0)), (0.5, (0, 0, 1))]
)
def test_client_reconnects_or_leaves_by_its_luck(
    lean_episodes: Any, monkeypatch: pytest.MonkeyPatch, luck: float, counts: tuple[int, int, int]
) -> None:
    record = play_once(lean_episodes[0], lean_episodes[0], monkeypatch, luck=luck)
    assert (record.reconnected, record.left, record.finished) == counts
    assert record.lost == 0


def test_warm_up_plays_the_given_number_of_whole_episodes_of_each_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.warm_up.FULL_PAUSE_S", 0.0)
    resets: list[str] = []
    steps: list[str] = []
    full = [FullError("full")]

    class CountingConnection:
        async def reset(self, path: str, arguments: Any) -> dict[str, Any]:
            if full:
                raise full.pop()
            self.path = path
            resets.append(path)
            return {}

        async def step(self, action: Any) -> dict[str, Any]:
            steps.append(self.path)
            return {}

        def drop(self) -> None:
            """Do nothing."""

    lean, firewatch = play_expected_episodes(2)
    asyncio.run(
        play_episodes_of_each_environment(CountingConnection, [lean, firewatch, lean], count=5)
    )
    assert sorted(resets) == [""] * 5 + ["/firewatch"] * 5
    assert steps.count("") == 5 * len(lean.actions)
    assert steps.count("/firewatch") == 5 * len(firewatch.actions)


def test_warm_up_fills_the_cache_of_a_worker_with_fewer_episodes_than_the_other() -> None:
    assert count_episodes_to_fill_caches(2) * 0.4 >= MAX_CACHED_EPISODES


def samples(values: list[float]) -> list[MemorySample]:
    return [MemorySample(10.0 * n, int(1e9 + value)) for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "is_stable"),
    [
        ([0.0] * 20, True),
        ([1e6 * n for n in range(20)], False),
        ([-1e6 * n for n in range(20)], True),
        ([1e7 * (-1) ** n + 2e5 * n for n in range(20)], True),
    ],
    ids=["constant", "growing", "shrinking", "noisy"],
)
def test_memory_trend_is_stable_unless_it_grows(values: list[float], is_stable: bool) -> None:
    trend = fit_memory_trend(samples(values))
    assert trend is not None
    assert trend.is_stable is is_stable


def test_memory_trend_of_a_line_is_its_slope() -> None:
    trend = fit_memory_trend(samples([1e6 * n for n in range(5)]))
    assert trend is not None
    assert trend.growth_per_hour == pytest.approx(3600 * 1e5 / (1e9 + 2e6))
    assert trend.standard_error == pytest.approx(0.0, abs=1e-6)
    assert fit_memory_trend(samples([1.0, 2.0])) is None


def test_summarize_fails_for_lost_and_mixed_up_episodes() -> None:
    record = LoadRecord(started=3, finished=1, left=1, mixed_up=2)
    record.add_error("mixed up", "text")
    outside = [figure.name for figure in summarize(record, 10.0) if not figure.is_within_bound]
    assert outside == ["episodes lost", "replies mixed up", "errors"]


def test_find_percentile_ms_of_no_values_is_zero() -> None:
    assert find_percentile_ms([], 0.5) == 0.0
    assert find_percentile_ms([0.001 * n for n in range(101)], 0.99) == pytest.approx(99.0)
