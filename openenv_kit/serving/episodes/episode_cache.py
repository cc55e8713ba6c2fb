"""Cache of the stored episodes that this worker has rebuilt or started."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from openenv_kit.serving.episodes.ids import EpisodeAccess
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.store.interface import EndStatus, StoredEpisode

MAX_CACHED_EPISODES = 1024
"""Maximum number of cached episodes."""
MAX_CACHED_BYTES = 256 << 20
"""Maximum total size of the sessions of all cached episodes."""


@dataclass(eq=False)
class CachedEpisode:
    """The live copy of a stored episode.

    The copy can be out of date. This is safe, because the store rejects an action if another action
    is already stored under its index.

    Attributes:
        lock: lock that a request holds while it reads or changes the copy.
        live_episode: the copy; None until it is built.
        lease_id, start_count, end_status, request_ids: see `StoredEpisode`.
        stored_result_indices: indices of the actions whose slow results are in the store.
        size_bytes: size of the session, as counted towards the cache's limit.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    live_episode: LiveEpisode | None = None
    lease_id: str = ""
    start_count: int = 1
    end_status: EndStatus = EndStatus.NOT_ENDED
    request_ids: list[str] = field(default_factory=list)
    stored_result_indices: set[int] = field(default_factory=set)
    size_bytes: int = 0

    def get_live_episode_if_access_is_valid(self, access: EpisodeAccess) -> LiveEpisode | None:
        """Return the live episode if the access is valid for it, else None."""
        if self.live_episode is None:
            return None
        is_player = access.player_id in ("", self.live_episode.player_id)
        has_lease = access.lease_id in ("", self.lease_id)
        return self.live_episode if is_player and has_lease else None

    def has_stored_action_of_request(self, request_id: str) -> bool:
        """Return whether an action is already stored for a request with this id."""
        return bool(request_id) and request_id in self.request_ids

    def replace_with_new_episode(self, live_episode: LiveEpisode, lease_id: str) -> None:
        """Replace the copy with an episode that was just stored."""
        self.live_episode, self.lease_id = live_episode, lease_id
        self.end_status = EndStatus.NOT_ENDED
        self.request_ids = []
        self.stored_result_indices = set()

    def replace_with_stored_episode(
        self, live_episode: LiveEpisode, stored_episode: StoredEpisode
    ) -> None:
        """Replace the copy with an episode to which every stored action was applied."""
        self.live_episode, self.lease_id = live_episode, stored_episode.lease_id
        self.start_count, self.end_status = stored_episode.start_count, stored_episode.end_status
        self.request_ids = list(stored_episode.request_ids)
        self.stored_result_indices = set(stored_episode.slow_results)


class EpisodeCache:
    """Cached episodes by id. If a limit is exceeded, the least recently used ones are dropped."""

    def __init__(self) -> None:
        self._episodes: OrderedDict[str, CachedEpisode] = OrderedDict()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._episodes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._episodes)

    def get_or_add_entry_within_max_episodes(self, episode_id: str) -> CachedEpisode:
        """Return the entry of an episode. If no entry exists, add one that has no live episode."""
        cached_episode = self._episodes.setdefault(episode_id, CachedEpisode())
        self._episodes.move_to_end(episode_id)
        if len(self._episodes) > MAX_CACHED_EPISODES:
            self._drop_least_recently_used_episode()
        return cached_episode

    def update_size_and_enforce_memory_limit(self, episode_id: str) -> None:
        """Update the size of a rebuilt episode, and drop others if the limit is exceeded."""
        cached_episode = self._episodes.get(episode_id)
        if cached_episode is None or cached_episode.live_episode is None:
            return
        size_bytes = cached_episode.live_episode.session.memory_bytes
        self._size_bytes += size_bytes - cached_episode.size_bytes
        cached_episode.size_bytes = size_bytes
        while self._size_bytes > MAX_CACHED_BYTES and len(self._episodes) > 1:
            self._drop_least_recently_used_episode()

    def drop_episode(self, episode_id: str) -> None:
        """Remove an episode, if it is cached."""
        cached_episode = self._episodes.pop(episode_id, None)
        if cached_episode is not None:
            self._size_bytes -= cached_episode.size_bytes

    def clear(self) -> None:
        """Remove all episodes."""
        self._episodes.clear()
        self._size_bytes = 0

    def _drop_least_recently_used_episode(self) -> None:
        self.drop_episode(next(iter(self._episodes)))
