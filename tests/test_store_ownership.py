"""Who holds a stored episode: players, generations, ends; the same for every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from openenv_kit.serving.episode_store import MEMORY, EpisodeStore, StoreLimits
from openenv_kit.serving.redis_store import RedisStore
from openenv_kit.serving.store import SqliteStore


@pytest.fixture(params=["sqlite", "memory", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EpisodeStore]:
    if request.param == "redis":
        made: EpisodeStore = RedisStore("", StoreLimits(60), client=fakeredis.FakeRedis())
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
    taken = store.take("a")
    assert taken is not None
    assert taken.actions == (b"1",)
    assert not store.append("a", old, 1, b"2", "")
    assert not store.finish("a", old, "closed")
    assert store.append("a", taken.generation, 1, b"2", "")
    assert store.take("b") is None
    assert store.load("b") is None


def test_a_taker_that_was_overtaken_holds_nothing(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("a", "http", b"{}", [])
    if isinstance(store, RedisStore):  # its two steps let another one come between
        used = store._used

        def overtaken(episode_id: str) -> Any:
            monkeypatch.undo()
            store.take(episode_id)
            return used(episode_id)

        monkeypatch.setattr(store, "_used", overtaken)
    first = store.take("a")
    assert first is not None
    if not isinstance(store, RedisStore):
        store.take("a")
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
