"""Slow calls run in fair turns, apart from resets, and once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from pipe_leak import PipeLeak, PipeSession

from openenv_kit.environment import Reply, get_environment
from openenv_kit.errors import ToolArgumentError
from openenv_kit.serving.episodes import episode_cache, slow_calls
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.slow_calls import SlowCallCounts, SlowCallQueue
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreFullError
from openenv_kit.serving.store.interface import MEMORY_STORE, EpisodeStore
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.redis import RedisStore
from openenv_kit.serving.store.sqlite import SqliteStore
from support.blocking_store import BlockingStore, sqlite_store

PATIENCE_S = 60
GAUGE = {"tool": "gauge", "arguments": {"segment": 3}}
REFUSED = {"tool": "gauge", "arguments": {"segment": 4}}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


# Turns.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(slow_calls, "time", clock)
    return clock


async def test_slow_call_of_an_episode_that_used_little_goes_before_one_that_used_much(
    clock: Clock,
) -> None:
    calls, order = SlowCallQueue(max_running=1), []
    may_end = threading.Event()

    def call(name: str, takes_s: float) -> None:
        order.append(name)
        clock.now += takes_s

    await calls.run_in_thread_at_fair_turn("expensive", lambda: call("expensive", 10.0))
    blocking = asyncio.create_task(
        calls.run_in_thread_at_fair_turn("blocking", lambda: may_end.wait(PATIENCE_S))
    )
    while calls.running_and_waiting_counts.running == 0:
        await asyncio.sleep(0)
    waiting = []
    for name in ("expensive", "cheap", "cheap too"):
        waiting.append(
            asyncio.create_task(
                calls.run_in_thread_at_fair_turn(name, lambda name=name: call(name, 1.0))
            )
        )
        await asyncio.sleep(0)
    assert calls.running_and_waiting_counts == SlowCallCounts(running=1, waiting=3)
    may_end.set()
    await asyncio.gather(blocking, *waiting)
    assert order == ["expensive", "cheap", "cheap too", "expensive"]
    assert calls.running_and_waiting_counts == SlowCallCounts(0, 0)


async def test_newcomer_is_not_served_before_an_episode_that_waited_its_turn(clock: Clock) -> None:
    """An episode that used much is only as far behind as its last call took."""
    calls, order = SlowCallQueue(max_running=1), []

    def call(name: str, takes_s: float) -> None:
        order.append(name)
        clock.now += takes_s

    await calls.run_in_thread_at_fair_turn("expensive", lambda: call("expensive", 3.0))
    for number in range(3):  # others, each of which uses as much
        await calls.run_in_thread_at_fair_turn(
            "other", lambda number=number: call(f"other {number}", 3.0)
        )
    tasks = [
        asyncio.create_task(
            calls.run_in_thread_at_fair_turn(name, lambda name=name: call(name, 1.0))
        )
        for name in ("blocker", "expensive", "newcomer")
    ]
    await asyncio.gather(*tasks)
    assert order[-3:] == ["blocker", "expensive", "newcomer"]


async def test_queue_remembers_only_the_episodes_used_last(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_calls, "MAX_REMEMBERED_EPISODES", 2)
    calls = SlowCallQueue(max_running=1)
    for name in ("a", "b", "a", "c"):
        await calls.run_in_thread_at_fair_turn(name, lambda: None)
    assert list(calls._virtual_end_s) == ["a", "c"]


async def test_slow_call_cancelled_while_it_waits_never_runs_and_frees_its_turn() -> None:
    calls, may_end, ran = SlowCallQueue(max_running=1), threading.Event(), []
    running = asyncio.create_task(
        calls.run_in_thread_at_fair_turn("a", lambda: may_end.wait(PATIENCE_S))
    )
    await asyncio.sleep(0)
    waiting = asyncio.create_task(calls.run_in_thread_at_fair_turn("b", lambda: ran.append("b")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert calls.running_and_waiting_counts.waiting == 0
    may_end.set()
    await running
    await calls.run_in_thread_at_fair_turn("c", lambda: ran.append("c"))
    assert ran == ["c"]
    assert calls.running_and_waiting_counts == SlowCallCounts(0, 0)


# Stored results.


class Computing:
    """Counts the computations of a slow tool, which can be made to wait."""

    def __init__(self) -> None:
        self.computed: list[int] = []
        self.may_end = threading.Event()
        self.may_end.set()

    def act(self, session: PipeSession, action: Mapping[str, Any]) -> Reply:
        segment = action["arguments"]["segment"]

        def compute() -> dict[str, Any]:
            self.may_end.wait(PATIENCE_S)
            self.computed.append(segment)
            return {"reading": 1.5, "is_refused": action == REFUSED}

        result = session.compute_or_reuse_slow_result(compute)
        if result["is_refused"]:
            raise ToolArgumentError("too much work")
        return Reply(
            "looked", f"{result['reading']} bar.", observation_fields={"reading": result["reading"]}
        )


@pytest.fixture
def computing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Computing]:
    """An environment whose gauge is slow."""
    counted = Computing()
    tools = [replace(tool, is_slow=tool.name == "gauge") for tool in PipeLeak.tools.tools]
    monkeypatch.setattr(PipeLeak, "tools", replace(PipeLeak.tools, tools=tools))
    monkeypatch.setattr(
        PipeSession, "execute_action", lambda self, action: counted.act(self, action)
    )
    yield counted
    counted.may_end.set()


def episodes_in(path: Path) -> EpisodeService:
    return EpisodeService(Settings(episode_store=str(path)), get_environment("pipe_leak"))


async def test_rebuilt_episode_takes_slow_results_and_refusals_from_the_store(
    computing: Computing, tmp_path: Path
) -> None:
    first = episodes_in(tmp_path / "s.db")
    started = await first.reset({"seed": 1})
    assert started.access is not None
    replies = [
        await first.step(started.access, action, f"request {number}")
        for number, action in enumerate((GAUGE, REFUSED))
    ]
    assert replies[1]["observation"]["status"] == "error"
    await first.close_store_and_clear_cache()

    second = episodes_in(tmp_path / "s.db")  # as after a restart
    assert (await second.get_progress_without_id_for_players(started.access))["step_count"] == 2
    again = [
        await second.step(started.access, action, f"request {number}")
        for number, action in enumerate((GAUGE, REFUSED))
    ]
    assert again == replies
    assert computing.computed == [3, 4]
    await second.close_store_and_clear_cache()


async def test_slow_call_lost_in_a_crash_is_computed_once_and_then_stored(
    computing: Computing, tmp_path: Path
) -> None:
    episodes = episodes_in(tmp_path / "s.db")
    started = await episodes.reset({"seed": 1})
    assert started.access is not None
    key = f"pipe_leak/{started.episode_id}"
    # Stored, and killed before it was played.
    await episodes.store.append_action_if_index_is_next(
        key, started.access.lease_id, 0, b'{"tool":"gauge","arguments":{"segment":4}}'
    )
    await episodes.close_store_and_clear_cache()
    for _ in range(2):
        episodes = episodes_in(tmp_path / "s.db")
        assert (await episodes.get_progress_without_id_for_players(started.access))[
            "step_count"
        ] == 1
        await episodes.close_store_and_clear_cache()
    assert computing.computed == [4]


async def test_dropped_session_keeps_its_slow_results(computing: Computing, tmp_path: Path) -> None:
    episodes = episodes_in(tmp_path / "s.db")
    play = episodes.create_live_episode_without_reset("ws", is_stored=False)
    play.reset({"seed": 1})
    play.step(GAUGE)
    assert await episodes.try_to_store_disconnected_episode(play)
    assert play.episode_id is not None
    resumed = await episodes.resume_episode(play.episode_id)
    assert "step 1" in resumed.wire_reply["observation"]["message"]
    assert computing.computed == [3]
    await episodes.close_store_and_clear_cache()


async def test_reset_goes_on_while_slow_calls_fill_their_threads(computing: Computing) -> None:
    episodes = EpisodeService(Settings(episode_store=MEMORY_STORE), get_environment("pipe_leak"))
    handles = [(await episodes.reset({"seed": seed})).access for seed in range(9)]
    computing.may_end.clear()
    steps = [asyncio.create_task(episodes.step(each, GAUGE)) for each in handles if each]
    for handle in handles:  # their actions are stored, so their calls run or wait
        assert handle is not None
        key = f"pipe_leak/{handle.episode_id}"
        while (
            not (stored := await episodes.store.load_and_extend_expiry(key)) or not stored.actions
        ):
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    other = asyncio.create_task(episodes.reset({"seed": 99}))
    done, _ = await asyncio.wait([other], timeout=10)
    computing.may_end.set()
    assert done
    await asyncio.gather(*steps)
    await episodes.close_store_and_clear_cache()


async def test_live_episodes_are_bounded_by_their_bytes_and_go_on_after_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PipeSession, "memory_bytes", 1000)
    monkeypatch.setattr(episode_cache, "MAX_CACHED_BYTES", 3500)
    episodes = EpisodeService(Settings(episode_store=MEMORY_STORE), get_environment("pipe_leak"))
    handles = [(await episodes.reset({"seed": seed})).access for seed in range(6)]
    assert len(episodes._loader.cache) == 3
    for handle in handles:
        assert handle is not None
        await episodes.step(handle, GAUGE)
        assert len(episodes._loader.cache) <= 4
        assert (await episodes.get_progress_without_id_for_players(handle))["step_count"] == 1
    await episodes.close_store_and_clear_cache()


# The stores.


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockingStore]:
    limits = StoreLimits(60, 100)
    made: EpisodeStore = SqliteStore(str(tmp_path / "s.db"), limits)
    if request.param == "redis":
        made = RedisStore(fakeredis.FakeAsyncRedis(decode_responses=True), limits)
    calls = BlockingStore(made)
    yield calls
    calls.close()


def test_store_gives_back_slow_results_by_the_index_of_their_action(store: BlockingStore) -> None:
    generation = store.create("a", "http", b"{}", [b"1", b"2"], slow_results={1: b"\x00\xff"})
    assert store.load_and_extend_expiry("a").slow_results == {1: b"\x00\xff"}
    assert store.add_slow_result_if_missing("a", generation, 0, b"zero")
    assert store.load_and_extend_expiry("a").slow_results == {0: b"zero", 1: b"\x00\xff"}


def test_store_takes_a_slow_result_once_and_only_from_the_writer_of_its_action(
    store: BlockingStore,
) -> None:
    generation = store.create("a", "http", b"{}", [b"1"])
    assert not store.add_slow_result_if_missing("a", "another generation", 0, b"x")
    assert not store.add_slow_result_if_missing("a", generation, 1, b"x")  # no such action
    assert not store.add_slow_result_if_missing("b", generation, 0, b"x")
    assert store.add_slow_result_if_missing("a", generation, 0, b"first")
    assert not store.add_slow_result_if_missing("a", generation, 0, b"second")
    assert store.load_and_extend_expiry("a").slow_results == {0: b"first"}


def test_starting_over_forgets_the_slow_results(store: BlockingStore) -> None:
    store.create("a", "http", b"{}", [b"1"], slow_results={0: b"old"})
    store.create("a", "http", b"{}", [b"1"])
    assert store.load_and_extend_expiry("a").slow_results == {}


def test_slow_results_count_against_the_share_of_a_client(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(60, 100, max_bytes=4 << 20))
    actions = [b"1"] * 40
    generation = store.create("a", "http", b"{}", actions, client_address="203.0.113.1")

    def fill() -> None:
        for index in range(len(actions)):
            store.add_slow_result_if_missing("a", generation, index, b"x" * 50_000)

    with pytest.raises(StoreFullError) as refused:
        fill()
    assert refused.value.is_client_limit
    store.close()
