"""Episode stores of every kind: contents, limits and eviction."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from openenv_kit.serving.store.errors import StoreFullError
from openenv_kit.serving.store.interface import NewEpisode
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.redis import RedisStore
from openenv_kit.serving.store.sqlite import SqliteStore
from support.blocking_store import BlockingStore, sqlite_store
from support.manual_clock import ManualClock

MIB = 1 << 20
ORDINARY = b"x" * 1400
"""About what an ordinary episode's start and actions take."""


def living(store: BlockingStore, names: str) -> str:
    """Those of the names that are stored."""
    return "".join(name for name in names if store.load_and_extend_expiry(name))


def test_stored_episode_is_loaded_unchanged(store: BlockingStore) -> None:
    generation = store.create("a", "http", b"{}", [b"1"])
    assert store.append_action_if_index_is_next("a", generation, 1, b'{"x":"\\n"}', "r1")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert (found.lease_id, found.start_json) == (generation, b"{}")
    assert found.actions == (b"1", b'{"x":"\\n"}')
    assert found.request_ids == ("", "r1")
    assert store.load_and_extend_expiry("b") is None


def test_an_action_number_is_taken_only_once(store: BlockingStore) -> None:
    generation = store.create("a", "http", b"{}", [])
    assert store.append_action_if_index_is_next("a", generation, 0, b"1", "")
    assert not store.append_action_if_index_is_next("a", generation, 0, b"2", "")
    assert not store.append_action_if_index_is_next("a", generation, 2, b"3", "")
    assert not store.append_action_if_index_is_next("a", "another generation", 1, b"4", "")
    assert not store.append_action_if_index_is_next("b", generation, 0, b"5", "")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert found.actions == (b"1",)


def test_starting_over_forgets_the_actions_and_shuts_out_old_writers(store: BlockingStore) -> None:
    old = store.create("a", "http", b"1", [b"x"])
    new = store.create("a", "http", b"2", [])
    assert not store.append_action_if_index_is_next("a", old, 1, b"y", "")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert (found.lease_id, found.start_json, found.actions) == (new, b"2", ())


def test_episodes_are_counted_by_their_source(store: BlockingStore) -> None:
    store.create("a", "mcp", b"{}", [])
    store.create("b", "mcp", b"{}", [])
    store.create("c", "http", b"{}", [])
    assert (store.count_open_episodes("mcp"), store.count_open_episodes("http")) == (2, 1)
    store.create("a", "http", b"{}", [])  # started over through another door
    assert (store.count_open_episodes("mcp"), store.count_open_episodes("http")) == (1, 2)


def test_an_unused_episode_expires_and_a_used_one_does_not(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(60))
    generation = store.create("used", "http", b"{}", [])
    store.create("unused", "http", b"{}", [])
    clock.now += 40
    assert store.append_action_if_index_is_next("used", generation, 0, b"1", "")
    clock.now += 30
    assert store.load_and_extend_expiry("unused") is None
    assert not store.append_action_if_index_is_next("unused", generation, 0, b"1", "")
    assert store.load_and_extend_expiry("used") is not None
    assert store.count_open_episodes("http") == 1
    store.close()


# Who makes room.


def test_eviction_order_is_expired_finished_idle_and_never_running(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(60, 5))
    store.create("e", "http", b"{}", [])
    clock.now += 30
    store.create("i", "http", b"{}", [b"1", b"2"])
    clock.now += 31
    for name in "fgr":
        clock.now += 1
        generation = store.create(name, "http", b"{}", [])
        if name != "r":
            store.mark_ended_if_lease_is_valid(name, generation, "completed")
    for name, left in (("1", "ifgr1"), ("2", "igr12"), ("3", "ir123"), ("4", "r1234")):
        with sqlite3.connect(tmp_path / "s.db") as db:
            store.create(name, "http", b"{}", [])
            found = db.execute("SELECT group_concat(episode_id, '') FROM episodes").fetchone()[0]
        db.close()
        assert sorted(found) == sorted(left), name
    with pytest.raises(StoreFullError, match=r"running.* 5 episodes.* in 1\d s") as refused:
        store.create("5", "http", b"{}", [])
    assert not refused.value.is_client_limit
    assert refused.value.retry_after_s in (14, 15)
    assert living(store, "r12345") == "r1234"
    clock.now += refused.value.retry_after_s
    store.create("5", "http", b"{}", [])
    store.close()


def test_client_evicts_only_its_own_episodes(store: BlockingStore, clock: ManualClock) -> None:
    store.create("s", "http", b"{}", [], client_address="stranger")
    store.mark_ended_if_lease_is_valid("s", store.load_and_extend_expiry("s").lease_id, "completed")  # type: ignore[union-attr]
    clock.now += 1
    done = store.create("a", "http", b"{}", [], client_address="me")
    store.create("b", "http", b"{}", [], client_address="me")
    clock.now += 1
    store.create("c", "http", b"{}", [], client_address="me")
    with pytest.raises(StoreFullError, match=r"3 % of it.*3 episodes.* in 14 s") as refused:
        store.create("d", "http", b"{}", [], client_address="me")
    assert (refused.value.retry_after_s, refused.value.is_client_limit) == (14, True)
    store.create("c", "http", b"{}", [], client_address="me")  # starting over takes no more room
    store.mark_ended_if_lease_is_valid("a", done, "completed")
    store.create("d", "http", b"{}", [], client_address="me")
    clock.now += 14
    store.create("e", "http", b"{}", [], client_address="me")
    assert living(store, "sabcde") == "scde"
    store.create("t", "http", b"{}", [], client_address="another")
    for name in "12345":  # a caller without a share
        store.create(name, "http", b"{}", [])
    assert living(store, "scdet12345") == "scdet12345"


def test_a_finished_episode_can_still_be_read(store: BlockingStore) -> None:
    generation = store.create("a", "http", b"{}", [b"1"], client_address="me")
    store.mark_ended_if_lease_is_valid("a", "another generation", "completed")
    store.mark_ended_if_lease_is_valid("a", generation, "completed")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert found.actions == (b"1",)


def test_steps_count_against_a_client_s_share(tmp_path: Path, clock: ManualClock) -> None:
    limits = StoreLimits(60, max_bytes=2 * MIB, client_percent=10)
    store = sqlite_store(tmp_path / "s.db", limits)
    generation = store.create("a", "http", b"{}", [], client_address="me")
    other = store.create("b", "http", b"{}", [], client_address="another")
    steps = 0

    def play() -> None:
        nonlocal steps
        while store.append_action_if_index_is_next("a", generation, steps, b"x" * 10_000, ""):
            steps += 1

    with pytest.raises(StoreFullError) as refused:
        play()
    assert refused.value.is_client_limit
    assert 8 < steps < 16
    assert store.append_action_if_index_is_next("b", other, 0, b"x" * 10_000, "")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert len(found.actions) == steps  # what was refused was not half done
    store.close()


def test_an_episode_that_never_fits_is_refused_for_good(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(60, max_bytes=MIB))
    with pytest.raises(StoreFullError, match="131072 at a time") as refused:
        store.create("a", "http", b"x" * MIB, [])
    assert refused.value.retry_after_s is None
    store.close()


def check(path: Path) -> None:
    """The file is whole, and the sums by client are what they should be."""
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    counted = (
        "SELECT client_address, COUNT(*), SUM(size_bytes) FROM episodes GROUP BY client_address"
    )
    assert db.execute(counted).fetchall() == db.execute("SELECT * FROM clients").fetchall()
    db.close()


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


@pytest.mark.parametrize("size", [pytest.param(8000, marks=pytest.mark.slow), 60_000])
def test_a_store_never_takes_more_than_its_bytes_and_always_finds_room(
    tmp_path: Path, clock: ManualClock, size: int
) -> None:
    limit = 2 * MIB
    store = sqlite_store(tmp_path / "s.db", StoreLimits(3600, max_bytes=limit))
    most = 0
    for number in range(2 * limit // size):
        generation = store.create(f"{number:032}", "http", b"x" * size, [])
        assert store.append_action_if_index_is_next(f"{number:032}", generation, 0, b"y" * 200, "")
        store.mark_ended_if_lease_is_valid(f"{number:032}", generation, "completed")
        clock.now += 1
        most = max(most, on_disk(tmp_path))
    assert limit // 2 < most <= limit
    check(tmp_path / "s.db")
    kept = [n for n in range(number + 1) if store.load_and_extend_expiry(f"{n:032}")]
    assert kept == list(range(kept[0], number + 1))  # the oldest went first
    store.close()


@pytest.mark.slow
def test_full_store_accepts_actions_of_running_episodes(tmp_path: Path, clock: ManualClock) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(3600, max_bytes=2 * MIB))
    running: list[str] = []

    def fill() -> None:
        while True:
            running.append(store.create(f"{len(running)}", "http", ORDINARY, []))

    with pytest.raises(StoreFullError, match="full of running episodes"):
        fill()
    assert len(running) > 200
    for number, generation in enumerate(running):
        assert store.append_action_if_index_is_next(f"{number}", generation, 0, b"y" * 100, "")
    store.close()


# A disk that is really full.


# Opening.


# Redis.


# Whose share.


@pytest.mark.slow
@pytest.mark.parametrize(("start", "action"), [(20, 0), (20, 1100), (1003, 0)])
def test_client_share_is_counted_in_database_pages(tmp_path: Path, start: int, action: int) -> None:
    """Names in five places, and rows with pages of their own; one client took all of it."""
    store = sqlite_store(tmp_path / "s.db", StoreLimits(3600, max_bytes=4 * MIB))

    def fill(client: str) -> None:
        while True:
            name = secrets.token_hex(32)
            player = f"pl-{secrets.token_hex(16)}"
            made = store.create(
                name, "http", b"x" * start, [], client_address=client, player_id=player
            )
            if action:
                store.append_action_if_index_is_next(name, made, 0, b"x" * action, "")

    for number in range(3):
        with pytest.raises(StoreFullError) as refused:
            fill(f"203.0.113.{number}")
        assert refused.value.is_client_limit
    store.create("mine", "http", b"x" * start, [], client_address="another")
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_store_removes_the_last_action_only(kind: str, tmp_path: Path) -> None:
    store: Any = (
        SqliteStore(str(tmp_path / "s.db"), StoreLimits())
        if kind == "sqlite"
        else RedisStore(fakeredis.FakeAsyncRedis(decode_responses=True), StoreLimits())
    )
    generation = await store.create_or_replace_episode("e", NewEpisode("http", b"{}", [b"1", b"2"]))
    assert await store.remove_action_if_last("e", "another", 1) is False
    assert await store.remove_action_if_last("e", generation, 0) is False
    assert await store.remove_action_if_last("e", generation, 1) is True
    assert (await store.load_and_extend_expiry("e")).actions == (b"1",)
    assert await store.append_action_if_index_is_next("e", generation, 1, b"3")
    assert (await store.load_and_extend_expiry("e")).actions == (b"1", b"3")
    await store.close()
