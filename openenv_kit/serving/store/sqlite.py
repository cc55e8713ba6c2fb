"""Episode store in one SQLite file, shared by all workers of a machine.

Each method runs in one transaction that locks the file for other writers, so the data that the
method reads cannot change before it writes.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from openenv_kit.serving.store import sqlite_assigned_tasks, sqlite_sealed_episodes
from openenv_kit.serving.store.interface import (
    EndStatus,
    LeaseId,
    NewEpisode,
    StoredEpisode,
    StoredEpisodeId,
    StoreUsage,
    TaskIndex,
)
from openenv_kit.serving.store.limits import SQLITE_PAGE_BYTES, StoreLimits
from openenv_kit.serving.store.sealed_records import SealedEpisode
from openenv_kit.serving.store.sqlite_database import SqliteDatabase
from openenv_kit.serving.store.sqlite_eviction import (
    EpisodeEvictor,
    estimate_episode_bytes,
    estimate_row_bytes,
)

T = TypeVar("T")
P = ParamSpec("P")


def _as_async_transaction(
    call_label: str,
) -> Callable[
    [Callable[Concatenate[SqliteStore, P], T]],
    Callable[Concatenate[SqliteStore, P], Coroutine[Any, Any, T]],
]:
    """Return a decorator that runs a method in a transaction on the store's thread.

    Args:
        call_label: label of the call in the metrics, which must stay the same if the method is
            renamed.
    """

    def decorate(
        method: Callable[Concatenate[SqliteStore, P], T],
    ) -> Callable[Concatenate[SqliteStore, P], Coroutine[Any, Any, T]]:
        @wraps(method)
        async def run_on_thread(store: SqliteStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
            work = partial(method, store, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(
                store._thread, store._database.run_transaction, call_label, work
            )

        return run_on_thread

    return decorate


class SqliteStore:
    """Episodes in one SQLite file, or in the memory of this process; see `EpisodeStore`.

    Args:
        path: path of the file, or `MEMORY_STORE`.
        limits: limits of the store.
    """

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self.path = path
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="episode-store")
        self._database = SqliteDatabase(path, limits)
        self._evictor = EpisodeEvictor(self._database, limits)

    @_as_async_transaction("create")
    def create_or_replace_episode(
        self, episode_id: str, new_episode: NewEpisode, *, overwrite: bool = True
    ) -> LeaseId | None:
        database, now_s = self._database, self._database.get_store_time_s()
        database.save_store_time()
        self._evictor.delete_up_to_eight_expired(now_s)
        query = "SELECT start_count FROM episodes WHERE episode_id = ? AND expires_s > ?"
        earlier_starts = database.fetch_value(query, episode_id, now_s) or 0
        if earlier_starts and not overwrite:
            return None
        size_bytes = estimate_episode_bytes(episode_id, new_episode)
        database.execute_without_result("DELETE FROM episodes WHERE episode_id = ?", episode_id)
        self._evictor.evict_until_new_episode_fits(new_episode.client_address, size_bytes)
        lease_id = secrets.token_hex(8)
        database.insert_row(
            "episodes",
            {
                "episode_id": episode_id,
                "lease_id": lease_id,
                "transport": new_episode.transport,
                "client_address": new_episode.client_address,
                "player_id": new_episode.player_id,
                "start_count": earlier_starts + 1,
                "start_json": new_episode.start_json,
                "size_bytes": size_bytes,
                "step_count": len(new_episode.actions),
                "end_status": EndStatus.NOT_ENDED,
                "expires_s": now_s + self._limits.ttl_s,
            },
        )
        for index, action_json in enumerate(new_episode.actions):
            self._insert_action(episode_id, index, action_json, "")
        for index, compressed_result in new_episode.slow_results.items():
            self._insert_slow_result(episode_id, index, compressed_result)
        if new_episode.sealed_start is not None:
            sqlite_sealed_episodes.add_sealed_episode_within_max_starts(
                database, episode_id, new_episode, new_episode.sealed_start
            )
        return lease_id

    @_as_async_transaction("find_by_player")
    def find_episode_id_by_player_id(self, player_id: str) -> StoredEpisodeId | None:
        episode_id: str | None = self._database.fetch_value(
            "SELECT episode_id FROM episodes "
            "WHERE player_id = ? AND player_id <> '' AND expires_s > ?",
            player_id,
            self._database.get_store_time_s(),
        )
        return episode_id

    @_as_async_transaction("load")
    def load_and_extend_expiry(
        self, episode_id: str, *, replace_lease: bool = False
    ) -> StoredEpisode | None:
        now_s = self._database.get_store_time_s()
        row = self._database.fetch_row(
            "UPDATE episodes SET expires_s = ?, lease_id = COALESCE(?, lease_id) "
            "WHERE episode_id = ? AND expires_s > ? "
            "RETURNING lease_id, start_json, player_id, start_count, end_status",
            now_s + self._limits.ttl_s,
            secrets.token_hex(8) if replace_lease else None,
            episode_id,
            now_s,
        )
        if row is None:
            return None
        lease_id, start_json, player_id, start_count, end_status = row
        actions = self._database.fetch_rows(
            "SELECT action_json, request_id FROM actions WHERE episode_id = ? "
            "ORDER BY action_index",
            episode_id,
        )
        slow_results = self._database.fetch_rows(
            "SELECT action_index, compressed_result FROM slow_results WHERE episode_id = ?",
            episode_id,
        )
        return StoredEpisode(
            lease_id=lease_id,
            start_json=start_json,
            actions=tuple(action_json for action_json, _ in actions),
            request_ids=tuple(request_id for _, request_id in actions),
            player_id=player_id,
            start_count=start_count,
            end_status=EndStatus(end_status),
            slow_results=dict(slow_results),
        )

    @_as_async_transaction("append_action")
    def append_action_if_index_is_next(
        self,
        episode_id: str,
        lease_id: str,
        action_index: int,
        action_json: bytes,
        request_id: str = "",
    ) -> bool:
        size_bytes = estimate_row_bytes(episode_id, action_json, request_id)
        now_s = self._database.get_store_time_s()
        client_address = self._database.fetch_value(
            "UPDATE episodes SET step_count = step_count + 1, size_bytes = size_bytes + ?, "
            "expires_s = ? WHERE episode_id = ? AND lease_id = ? AND step_count = ? "
            "AND expires_s > ? AND end_status <> 'closed' RETURNING client_address",
            size_bytes,
            now_s + self._limits.ttl_s,
            episode_id,
            lease_id,
            action_index,
            now_s,
        )
        if client_address is None:
            return False
        self._evictor.evict_until_addition_to_episode_fits(client_address, size_bytes)
        self._insert_action(episode_id, action_index, action_json, request_id)
        return True

    @_as_async_transaction("remove_last_action")
    def remove_action_if_last(self, episode_id: str, lease_id: str, action_index: int) -> bool:
        query = (
            "SELECT action_json, request_id FROM actions WHERE episode_id = ? AND action_index = ?"
        )
        action = self._database.fetch_row(query, episode_id, action_index)
        was_last = self._database.fetch_value(
            "UPDATE episodes SET step_count = step_count - 1, size_bytes = size_bytes - ? "
            "WHERE episode_id = ? AND lease_id = ? AND step_count = ? RETURNING 1",
            0 if action is None else estimate_row_bytes(episode_id, *action),
            episode_id,
            lease_id,
            action_index + 1,
        )
        if not was_last:
            return False
        for table in ("actions", "slow_results"):
            self._database.execute_without_result(
                f"DELETE FROM {table} WHERE episode_id = ? AND action_index = ?",
                episode_id,
                action_index,
            )
        return True

    @_as_async_transaction("add_slow_result")
    def add_slow_result_if_missing(
        self, episode_id: str, lease_id: str, action_index: int, compressed_result: bytes
    ) -> bool:
        size_bytes = estimate_row_bytes(episode_id, compressed_result)
        client_address = self._database.fetch_value(
            "UPDATE episodes SET size_bytes = size_bytes + ? "
            "WHERE episode_id = ? AND lease_id = ? AND step_count > ? AND expires_s > ? "
            "AND NOT EXISTS (SELECT 1 FROM slow_results "
            "WHERE slow_results.episode_id = episodes.episode_id AND action_index = ?) "
            "RETURNING client_address",
            size_bytes,
            episode_id,
            lease_id,
            action_index,
            self._database.get_store_time_s(),
            action_index,
        )
        if client_address is None:
            return False
        self._evictor.evict_until_addition_to_episode_fits(client_address, size_bytes)
        self._insert_slow_result(episode_id, action_index, compressed_result)
        return True

    @_as_async_transaction("mark_ended")
    def mark_ended_if_lease_is_valid(
        self, episode_id: str, lease_id: str, end_status: EndStatus
    ) -> bool:
        return bool(
            self._database.fetch_value(
                "UPDATE episodes SET end_status = ? WHERE episode_id = ? AND lease_id = ? "
                "AND expires_s > ? AND end_status <> 'closed' RETURNING 1",
                end_status,
                episode_id,
                lease_id,
                self._database.get_store_time_s(),
            )
        )

    @_as_async_transaction("get_secret")
    def get_secret(self) -> str:
        return self._database.read_secret()

    @_as_async_transaction("reserve_task")
    def reserve_first_free_task(
        self, split_key: str, task_order: Sequence[int]
    ) -> TaskIndex | None:
        return sqlite_assigned_tasks.reserve_first_free_task(
            self._database, split_key, task_order, self._limits.ttl_s
        )

    @_as_async_transaction("confirm_or_release_task")
    def confirm_or_release_task(self, split_key: str, task_index: int, *, is_played: bool) -> None:
        sqlite_assigned_tasks.confirm_or_release_task(
            self._database, split_key, task_index, is_played=is_played
        )

    @_as_async_transaction("list_sealed_episodes")
    def list_sealed_episodes(self, participant: str, task_set_key: str) -> list[SealedEpisode]:
        return sqlite_sealed_episodes.list_sealed_episodes(
            self._database, participant, task_set_key
        )

    @_as_async_transaction("record_sealed_result")
    def record_first_sealed_result(
        self, player_id: str, score: float, step_count: int, actions_digest: str
    ) -> None:
        sqlite_sealed_episodes.record_first_sealed_result(
            self._database, player_id, score, step_count, actions_digest
        )

    @_as_async_transaction("count_open_episodes")
    def count_open_episodes(self, transport: str) -> int:
        return int(
            self._database.fetch_value(
                "SELECT COUNT(*) FROM episodes "
                "WHERE transport = ? AND expires_s > ? AND end_status <> 'closed'",
                transport,
                self._database.get_store_time_s(),
            )
        )

    @_as_async_transaction("check_writable")
    def require_store_is_writable(self) -> None:
        written_at_s = self._database.get_store_time_s()
        self._database.insert_row(
            "heartbeat", {"id": 1, "written_at_s": written_at_s}, replace=True
        )
        self._database.save_store_time()
        if self._database.fetch_value("SELECT written_at_s FROM heartbeat") != written_at_s:
            raise sqlite3.DatabaseError("the value read differs from the value written")
        self._database.require_unchanged_store_secret()

    @_as_async_transaction("get_usage")
    def get_usage_and_limit(self) -> StoreUsage:
        return StoreUsage(
            self._evictor.count_episodes(),
            self._database.count_used_pages() * SQLITE_PAGE_BYTES,
            self._limits.max_sqlite_pages * SQLITE_PAGE_BYTES,
        )

    async def close(self) -> None:
        # The store's thread closes the file, after the calls that are still running.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)

    def _insert_action(
        self, episode_id: str, action_index: int, action_json: bytes, request_id: str
    ) -> None:
        self._database.execute_without_result(
            "INSERT INTO actions VALUES (?, ?, ?, ?)",
            episode_id,
            action_index,
            action_json,
            request_id,
        )

    def _insert_slow_result(
        self, episode_id: str, action_index: int, compressed_result: bytes
    ) -> None:
        self._database.execute_without_result(
            "INSERT INTO slow_results VALUES (?, ?, ?)", episode_id, action_index, compressed_result
        )
