"""Limits of an episode store: time, episodes and bytes, in total and for each client."""

from __future__ import annotations

import math
from dataclasses import dataclass

from openenv_kit.serving.store.errors import RETRY_AFTER_S, StoreFullError

SQLITE_PAGE_BYTES = 4096
FILE_SHARE = 3 / 4
"""Share of `max_bytes` that the SQLite file may use."""
LOG_SHARE = 1 / 16
"""Share of `max_bytes` at which SQLite's write-ahead log is written back to the file. The log can
grow to more than twice this size."""
WRITE_SHARE = 1 / 8
"""Share of `max_bytes` that a single write may use."""
NEW_EPISODES_SHARE = 7 / 8
"""Share of the limits that new episodes may use, in total and for each client. The rest is reserved
for the steps of running episodes."""


@dataclass(frozen=True)
class StoreLimits:
    """Limits on the contents of an episode store.

    Attributes:
        ttl_s: seconds without use after which an episode expires.
        max_episodes: maximum number of stored episodes.
        max_bytes: maximum size on disk, including indexes and log.
        client_percent: percentage of the episodes and bytes that one client may use, 1 to 100.
    """

    ttl_s: float = 3600
    max_episodes: int = 100_000
    max_bytes: int = 32 << 20
    client_percent: int = 25

    @property
    def max_sqlite_pages(self) -> int:
        """Maximum number of pages of the SQLite file."""
        return max(32, int(self.max_bytes * FILE_SHARE) // SQLITE_PAGE_BYTES)

    @property
    def sqlite_log_pages_per_checkpoint(self) -> int:
        """Number of log pages after which SQLite writes the log back to the file."""
        return max(16, min(1000, int(self.max_bytes * LOG_SHARE) // SQLITE_PAGE_BYTES))

    @property
    def max_write_bytes(self) -> int:
        """Maximum number of bytes of one write."""
        return int(self.max_bytes * WRITE_SHARE)

    @property
    def max_client_bytes(self) -> int:
        """Maximum number of bytes that one client may use."""
        return self.max_sqlite_pages * SQLITE_PAGE_BYTES * self.client_percent // 100

    @property
    def max_client_episodes(self) -> int:
        """Maximum number of episodes that one client may have at once."""
        return max(1, self.max_episodes * self.client_percent // 100)

    def get_latest_idle_expiry_s(self, now_s: float) -> float:
        """Return the latest expiry time of an idle episode.

        An episode is idle after a quarter of `ttl_s` without use. An episode that expires later
        counts as running and is not evicted.
        """
        return now_s + self.ttl_s * 3 / 4

    def build_full_error(
        self,
        first_expiry_s: float | None,
        now_s: float,
        *,
        is_client_limit: bool,
        limit_bytes: int | None = None,
    ) -> StoreFullError:
        """Build the error for a limit that is reached while all stored episodes are running.

        Args:
            first_expiry_s: time at which the first running episode expires; None if unknown.
            now_s: current time by the store's clock.
            is_client_limit: whether the client's limit is reached instead of the store's limit.
            limit_bytes: the limit in bytes; None for a store that does not count bytes.
        """
        retry_after_s = (
            RETRY_AFTER_S
            if first_expiry_s is None
            else max(1, math.ceil(first_expiry_s - self.get_latest_idle_expiry_s(now_s)))
        )
        max_episodes = self.max_client_episodes if is_client_limit else self.max_episodes
        limit = f"{max_episodes} episodes" + (f" or {limit_bytes} bytes" if limit_bytes else "")
        if is_client_limit:
            problem = (
                "Your running episodes use up your share of the episode store: "
                f"{self.client_percent} % of it, which is {limit}"
            )
        else:
            problem = f"The episode store is full of running episodes; its limit is {limit}"
        return StoreFullError(
            f"{problem}. Finish one, or retry in {retry_after_s} s.",
            retry_after_s,
            is_client_limit=is_client_limit,
        )
