"""Who holds a stored episode: players, generations, ends; the same for every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest

from openenv_kit.serving.episode_store import MEMORY, EpisodeStore, StoreLimits
from openenv_kit.serving.redis_store import RedisStore
from openenv_kit.serving.store import SqliteStore


@pytest.fixture(params=["sqlite", "memory", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EpisodeStore]:
    if request.param == "redis":
        made: EpisodeStore = RedisStore(fakeredis.FakeRedis(decode_responses=True), StoreLimits(60))
    else:
        path = str(tmp_path / "s.db") if request.param == "sqlite" else MEMORY
        made = SqliteStore(path, StoreLimits(60))
    yield made
    made.close()


def test_starting_over_is_counted_and_gives_a_new_player(store: EpisodeStore) -> None:
    store.create("a", "http", b"{}", [], player="p1")
    assert store.find("p1") == "a"
    store.create("a", "http", b"{}", [], player="p2")
    found = store.load("a")
    assert found is not None
    assert (found.timeline, found.player) == (2, "p2")
    assert store.find("p2") == "a"
    assert store.find("p3") is None
    assert store.find("") is None


def test_an_episode_that_is_there_is_not_created_again(store: EpisodeStore) -> None:
    store.create("a", "ws", b"1", [b"x"])
    assert not store.create("a", "ws", b"2", [], over=False)
    assert store.create("b", "ws", b"2", [], over=False)
    found = store.load("a")
    assert found is not None
    assert (found.start, found.actions) == (b"1", (b"x",))


def test_whoever_takes_an_episode_shuts_out_those_who_had_it(store: EpisodeStore) -> None:
    old = store.create("a", "http", b"{}", [b"1"])
    taken = store.load("a", take=True)
    assert taken is not None
    assert taken.actions == (b"1",)
    assert not store.append("a", old, 1, b"2", "")
    assert not store.finish("a", old, "closed")
    assert store.append("a", taken.generation, 1, b"2", "")
    assert store.load("b", take=True) is None
    assert store.load("b") is None


def test_a_taker_that_was_overtaken_holds_nothing(store: EpisodeStore) -> None:
    store.create("a", "http", b"{}", [])
    first = store.load("a", take=True)
    assert first is not None
    store.load("a", take=True)
    assert not store.append("a", first.generation, 0, b"1", "")


def test_a_closed_episode_takes_nothing_more_and_stays_closed(store: EpisodeStore) -> None:
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


def test_a_counter_gives_each_number_once(store: EpisodeStore) -> None:
    assert [store.next("a") for _ in range(3)] == [0, 1, 2]
    assert store.next("b") == 0


def test_a_name_of_a_request_comes_back_as_it_was(store: EpisodeStore) -> None:
    generation = store.create("a", "http", b"{}", [])
    store.append("a", generation, 0, b"1", "two\nlines")
    found = store.load("a")
    assert found is not None
    assert found.request_ids == ("two\nlines",)
