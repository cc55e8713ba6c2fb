"""Who holds a stored episode: players, generations, ends; the same for every kind of store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest
from store_calls import Calls, sqlite_store

from openenv_kit.serving.store import clock as store_clock
from openenv_kit.serving.store.interface import MEMORY, StoreLimits
from openenv_kit.serving.store.redis import RedisStore


@pytest.fixture(params=["sqlite", "memory", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Calls]:
    if request.param == "redis":
        made = Calls(RedisStore(fakeredis.FakeAsyncRedis(decode_responses=True), StoreLimits(60)))
    else:
        path = tmp_path / "s.db" if request.param == "sqlite" else MEMORY
        made = sqlite_store(path, StoreLimits(60))
    yield made
    made.close()


def test_starting_over_is_counted_and_gives_a_new_player(store: Calls) -> None:
    store.create("a", "http", b"{}", [], player="p1")
    assert store.find("p1") == "a"
    store.create("a", "http", b"{}", [], player="p2")
    found = store.load("a")
    assert found is not None
    assert (found.timeline, found.player) == (2, "p2")
    assert store.find("p2") == "a"
    assert store.find("p3") is None
    assert store.find("") is None


def test_an_episode_that_is_there_is_not_created_again(store: Calls) -> None:
    store.create("a", "ws", b"1", [b"x"])
    assert not store.create("a", "ws", b"2", [], over=False)
    assert store.create("b", "ws", b"2", [], over=False)
    found = store.load("a")
    assert found is not None
    assert (found.start, found.actions) == (b"1", (b"x",))


def test_whoever_takes_an_episode_shuts_out_those_who_had_it(store: Calls) -> None:
    old = store.create("a", "http", b"{}", [b"1"])
    taken = store.load("a", take=True)
    assert taken is not None
    assert taken.actions == (b"1",)
    assert not store.append("a", old, 1, b"2", "")
    assert not store.finish("a", old, "closed")
    assert store.append("a", taken.generation, 1, b"2", "")
    assert store.load("b", take=True) is None
    assert store.load("b") is None


def test_a_taker_that_was_overtaken_holds_nothing(store: Calls) -> None:
    store.create("a", "http", b"{}", [])
    first = store.load("a", take=True)
    assert first is not None
    store.load("a", take=True)
    assert not store.append("a", first.generation, 0, b"1", "")


def test_a_closed_episode_takes_nothing_more_and_stays_closed(store: Calls) -> None:
    generation = store.create("a", "mcp", b"{}", [b"1"])
    assert store.finish("a", generation, "completed")
    assert store.count("mcp") == 1
    assert store.finish("a", generation, "closed")
    assert store.count("mcp") == 0
    assert not store.append("a", generation, 1, b"2", "")
    assert not store.finish("a", generation, "completed")
    found = store.load("a")
    assert found is not None
    assert (found.ended, found.actions) == ("closed", (b"1",))
    assert store.count("mcp") == 0


def test_a_task_is_drawn_once_unless_it_is_given_back(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = (2, 0, 1)
    assert [store.draw("a", order) for _ in range(4)] == [2, 0, 1, None]
    assert store.draw("b", order) == 2
    store.settle("a", 0, played=True)
    store.settle("a", 0, played=False)  # too late
    store.settle("a", 1, played=False)
    assert [store.draw("a", order) for _ in range(2)] == [1, None]
    store.settle("a", 1, played=True)
    now, since_boot = time.time(), store_clock.seconds_since_boot()
    monkeypatch.setattr("time.time", lambda: now + 3600.0)  # fakeredis' own
    clock = "openenv_kit.serving.store.clock.seconds_since_boot"
    monkeypatch.setattr(clock, lambda: since_boot + 3600.0)
    # 2 was neither played nor given back.
    assert [store.draw("a", order) for _ in range(2)] == [2, None]


def test_a_store_keeps_its_secret(store: Calls) -> None:
    assert store.secret() == store.secret()
    assert len(store.secret()) == 64


def test_a_name_of_a_request_comes_back_as_it_was(store: Calls) -> None:
    generation = store.create("a", "http", b"{}", [])
    store.append("a", generation, 0, b"1", "two\nlines")
    found = store.load("a")
    assert found is not None
    assert found.request_ids == ("two\nlines",)
