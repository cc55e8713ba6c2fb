"""Evicts episodes of the SQLite store to make room for new ones and for further actions.

Expired episodes are evicted first, then finished ones, then idle ones, each in the order of their
last use. If a client has reached its own limit, only episodes of this client are evicted. A running
episode is never evicted: the request is rejected instead, with a retry time.
"""

from __future__ import annotations

import math

from openenv_kit.serving.store.errors import StoreFullError
from openenv_kit.serving.store.interface import NewEpisode
from openenv_kit.serving.store.limits import NEW_EPISODES_SHARE, SQLITE_PAGE_BYTES, StoreLimits
from openenv_kit.serving.store.sqlite_database import SqliteDatabase

SPARE_WRITE_PAGES = 12
"""Pages that a write may use beyond its own bytes: one page split in each B-tree, and a reserve."""
ROW_OVERHEAD_BYTES = 24
"""Size of a row or an index entry, excluding its column values, in bytes."""
TREE_SIZE_FACTOR = 3 / 2
"""Ratio of the size of a B-tree to the size of its rows, because pages are two thirds full."""
MAX_ROW_BYTES_IN_TREE = 1002
"""Size of the longest row that SQLite stores within a B-tree. Most of a longer row is stored on
overflow pages."""


class EpisodeEvictor:
    """Keeps a SQLite store within its limits.

    Args:
        database: database of the store.
        limits: limits of the store.
    """

    def __init__(self, database: SqliteDatabase, limits: StoreLimits) -> None:
        self._database = database
        self._limits = limits

    def evict_until_new_episode_fits(self, client_address: str, size_bytes: int) -> None:
        """Evict episodes until a new episode fits.

        Args:
            client_address: client that starts the episode; empty for a caller that has no limit.
            size_bytes: estimated size of the episode in the file.

        Raises:
            StoreFullError: the episode is too large, or only running episodes are left.
        """
        limits = self._limits
        max_client_bytes = int(limits.max_client_bytes * NEW_EPISODES_SHARE)
        self._require_size_within_write_and_client_limits(
            client_address, size_bytes, max_client_bytes
        )
        if client_address:
            while self._exceeds_client_limits(
                client_address, limits.max_client_episodes - 1, max_client_bytes - size_bytes
            ):
                self._evict_one_episode_or_raise_full(client_address)
        while self.count_episodes() >= limits.max_episodes:
            self._evict_one_episode_or_raise_full("")
        self._evict_until_pages_free(int(limits.max_sqlite_pages * NEW_EPISODES_SHARE), size_bytes)

    def evict_until_addition_to_episode_fits(self, client_address: str, size_bytes: int) -> None:
        """Evict episodes until another action or slow result of a running episode fits.

        Args:
            client_address: client of the episode; empty for a client that has no limit.
            size_bytes: estimated size of the addition, which the episode's row already includes.

        Raises:
            StoreFullError: the addition is too large, or only running episodes are left.
        """
        limits = self._limits
        self._require_size_within_write_and_client_limits(
            client_address, size_bytes, limits.max_client_bytes
        )
        if client_address:
            while self._exceeds_client_limits(
                client_address, limits.max_client_episodes, limits.max_client_bytes
            ):
                self._evict_one_episode_or_raise_full(client_address)
        self._evict_until_pages_free(limits.max_sqlite_pages, size_bytes)

    def delete_up_to_eight_expired(self, now_s: float) -> None:
        """Delete up to eight expired episodes, so that they do not accumulate."""
        # The first condition is always true. With it SQLite uses the index `episodes_by_expiry`.
        self._database.execute_without_result(
            "DELETE FROM episodes WHERE episode_id IN (SELECT episode_id FROM episodes "
            "WHERE (end_status = '') IN (0, 1) AND expires_s <= ? LIMIT 8)",
            now_s,
        )

    def count_episodes(self) -> int:
        """Return the number of stored episodes."""
        return int(self._database.fetch_value("SELECT TOTAL(episode_count) FROM clients"))

    def _require_size_within_write_and_client_limits(
        self, client_address: str, size_bytes: int, max_client_bytes: int
    ) -> None:
        max_bytes = self._limits.max_write_bytes
        if client_address:
            max_bytes = min(max_bytes, max_client_bytes)
        if size_bytes > max_bytes:
            raise StoreFullError(
                f"This takes {size_bytes} bytes; the episode store accepts {max_bytes} at a time.",
                None,
            )

    def _exceeds_client_limits(
        self, client_address: str, max_episodes: int, max_bytes: int
    ) -> bool:
        query = "SELECT episode_count, size_bytes FROM clients WHERE client_address = ?"
        row = self._database.fetch_row(query, client_address)
        if row is None:
            return False
        episode_count, size_bytes = row
        return bool(episode_count > max_episodes or size_bytes > max_bytes)

    def _evict_until_pages_free(self, max_pages: int, size_bytes: int) -> None:
        max_used_pages = max_pages - size_bytes // SQLITE_PAGE_BYTES - SPARE_WRITE_PAGES
        while self._database.count_used_pages() > max_used_pages:
            self._evict_one_episode_or_raise_full("")

    def _evict_one_episode_or_raise_full(self, client_address: str) -> None:
        """Evict the next episode of one client, or of all clients if the address is empty.

        Raises:
            StoreFullError: only running episodes are left.
        """
        now_s = self._database.get_store_time_s()
        latest_idle_expiry_s = self._limits.get_latest_idle_expiry_s(now_s)
        was_evicted = (
            self._evict_first_to_expire(client_address, is_finished=False, latest_expiry_s=now_s)
            or self._evict_first_to_expire(
                client_address, is_finished=True, latest_expiry_s=math.inf
            )
            or self._evict_first_to_expire(
                client_address, is_finished=False, latest_expiry_s=latest_idle_expiry_s
            )
        )
        if not was_evicted:
            raise self._limits.build_full_error(
                self._get_earliest_running_expiry_s(client_address),
                now_s,
                is_client_limit=bool(client_address),
                limit_bytes=(
                    self._limits.max_client_bytes if client_address else self._limits.max_bytes
                ),
            )

    def _evict_first_to_expire(
        self, client_address: str, *, is_finished: bool, latest_expiry_s: float
    ) -> bool:
        """Delete the matching episode that expires first; return False if no episode matches."""
        query = (
            "DELETE FROM episodes WHERE episode_id = (SELECT episode_id FROM episodes "
            f"WHERE {_build_client_condition_sql(client_address)} AND (end_status = '') = ? "
            "AND expires_s <= ? ORDER BY expires_s LIMIT 1) RETURNING 1"
        )
        is_open = not is_finished
        return bool(self._database.fetch_value(query, client_address, is_open, latest_expiry_s))

    def _get_earliest_running_expiry_s(self, client_address: str) -> float | None:
        query = (
            "SELECT MIN(expires_s) FROM episodes "
            f"WHERE {_build_client_condition_sql(client_address)} AND end_status = ''"
        )
        first_expiry_s: float | None = self._database.fetch_value(query, client_address)
        return first_expiry_s


def _build_client_condition_sql(client_address: str) -> str:
    """Return an SQL condition on the address, or one that selects all clients if it is empty."""
    return "client_address = ?" if client_address else "? = ''"


def estimate_episode_bytes(episode_id: str, new_episode: NewEpisode) -> int:
    """Return the estimated size of a new episode in the file, including index entries, in bytes."""
    row_bytes = estimate_row_bytes(
        episode_id, new_episode.client_address, new_episode.player_id, new_episode.start_json
    )
    index_bytes = (
        estimate_row_bytes(episode_id, new_episode.player_id)
        + estimate_row_bytes(episode_id, new_episode.client_address)
        + estimate_row_bytes(episode_id, new_episode.transport)
        + estimate_row_bytes(episode_id)  # by expiry
    )
    action_bytes = sum(estimate_row_bytes(episode_id, action) for action in new_episode.actions)
    result_bytes = sum(
        estimate_row_bytes(episode_id, result) for result in new_episode.slow_results.values()
    )
    return row_bytes + index_bytes + action_bytes + result_bytes


def estimate_row_bytes(*values: str | bytes) -> int:
    """Return the estimated size of a row with these column values in the file, in bytes."""
    size_bytes = ROW_OVERHEAD_BYTES + sum(
        len(value.encode() if isinstance(value, str) else value) for value in values
    )
    if size_bytes > MAX_ROW_BYTES_IN_TREE:
        return size_bytes + SQLITE_PAGE_BYTES
    return int(TREE_SIZE_FACTOR * size_bytes)
