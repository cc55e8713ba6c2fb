"""Leases, start counts, task assignment and request ids of stored episodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv_kit.serving.store import clock as store_clock
from openenv_kit.serving.store.limits import StoreLimits
from support.blocking_store import STORE_KINDS, BlockingStore, open_blocking_store


@pytest.fixture(params=STORE_KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockingStore]:
    store = open_blocking_store(request.param, tmp_path, StoreLimits(60))
    yield store
    store.close()


def test_starting_over_is_counted_and_gives_a_new_player(store: BlockingStore) -> None:
    store.create("a", "http", b"{}", [], player_id="p1")
    assert store.find_episode_id_by_player_id("p1") == "a"
    store.create("a", "http", b"{}", [], player_id="p2")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert (found.start_count, found.player_id) == (2, "p2")
    assert store.find_episode_id_by_player_id("p2") == "a"
    assert store.find_episode_id_by_player_id("p3") is None
    assert store.find_episode_id_by_player_id("") is None


def test_existing_episode_is_not_created_again(store: BlockingStore) -> None:
    store.create("a", "ws", b"1", [b"x"])
    assert not store.create("a", "ws", b"2", [], over=False)
    assert store.create("b", "ws", b"2", [], over=False)
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert (found.start_json, found.actions) == (b"1", (b"x",))


def test_new_lease_invalidates_earlier_leases(store: BlockingStore) -> None:
    old = store.create("a", "http", b"{}", [b"1"])
    taken = store.load_and_extend_expiry("a", replace_lease=True)
    assert taken is not None
    assert taken.actions == (b"1",)
    assert not store.append_action_if_index_is_next("a", old, 1, b"2", "")
    assert not store.mark_ended_if_lease_is_valid("a", old, "closed")
    assert store.append_action_if_index_is_next("a", taken.lease_id, 1, b"2", "")
    assert store.load_and_extend_expiry("b", replace_lease=True) is None
    assert store.load_and_extend_expiry("b") is None


def test_overtaken_lease_is_invalid(store: BlockingStore) -> None:
    store.create("a", "http", b"{}", [])
    first = store.load_and_extend_expiry("a", replace_lease=True)
    assert first is not None
    store.load_and_extend_expiry("a", replace_lease=True)
    assert not store.append_action_if_index_is_next("a", first.lease_id, 0, b"1", "")


def test_a_closed_episode_takes_nothing_more_and_stays_closed(store: BlockingStore) -> None:
    generation = store.create("a", "mcp", b"{}", [b"1"])
    assert store.mark_ended_if_lease_is_valid("a", generation, "completed")
    assert store.count_open_episodes("mcp") == 1
    assert store.mark_ended_if_lease_is_valid("a", generation, "closed")
    assert store.count_open_episodes("mcp") == 0
    assert not store.append_action_if_index_is_next("a", generation, 1, b"2", "")
    assert not store.mark_ended_if_lease_is_valid("a", generation, "completed")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert (found.end_status, found.actions) == ("closed", (b"1",))
    assert store.count_open_episodes("mcp") == 0


def test_task_is_assigned_once_unless_it_is_returned(
    store: BlockingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = (2, 0, 1)
    assert [store.reserve_first_free_task("a", order) for _ in range(4)] == [2, 0, 1, None]
    assert store.reserve_first_free_task("b", order) == 2
    store.confirm_or_release_task("a", 0, is_played=True)
    store.confirm_or_release_task("a", 0, is_played=False)  # too late
    store.confirm_or_release_task("a", 1, is_played=False)
    assert [store.reserve_first_free_task("a", order) for _ in range(2)] == [1, None]
    store.confirm_or_release_task("a", 1, is_played=True)
    now, since_boot = time.time(), store_clock.get_seconds_since_boot()
    monkeypatch.setattr("time.time", lambda: now + 3600.0)  # fakeredis' own
    clock = "openenv_kit.serving.store.clock.get_seconds_since_boot"
    monkeypatch.setattr(clock, lambda: since_boot + 3600.0)
    # 2 was neither played nor given back.
    assert [store.reserve_first_free_task("a", order) for _ in range(2)] == [2, None]


def test_a_store_keeps_its_secret(store: BlockingStore) -> None:
    assert store.get_secret() == store.get_secret()
    assert len(store.get_secret()) == 64


def test_request_id_is_stored_unchanged(store: BlockingStore) -> None:
    generation = store.create("a", "http", b"{}", [])
    store.append_action_if_index_is_next("a", generation, 0, b"1", "two\nlines")
    found = store.load_and_extend_expiry("a")
    assert found is not None
    assert found.request_ids == ("two\nlines",)
