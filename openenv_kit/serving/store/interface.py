"""Interface of an episode store, and the types of its arguments and results.

A store contains the reset arguments and the actions of each episode. Any worker can rebuild the
episode from them, even after a restart, because episodes are deterministic. Results of slow calls
are stored with their actions, so that they are not computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from openenv_kit.serving.store.sealed_records import SealedEpisode, SealedStartRequest

LeaseId = str
TaskIndex = int
StoredEpisodeId = str
"""Id of an episode in the store: name of the environment, a slash and the episode id."""

MEMORY_STORE = "memory"
"""Address of a store in the memory of this process."""


class EndStatus(StrEnum):
    """How a stored episode ended. Only a CLOSED episode rejects further actions."""

    NOT_ENDED = ""
    COMPLETED = "completed"
    CLOSED = "closed"


@dataclass(frozen=True)
class StoredEpisode:
    """An episode that was read from a store.

    Attributes:
        lease_id: id of the lease, which a writer needs to append actions. Starting the episode
            again or resuming it replaces the lease.
        start_json: the serialized `EpisodeStart`.
        actions: each action as JSON, in order.
        request_ids: the request id of each action; empty if the client sent no id.
        player_id: id of the player. Starting the episode again replaces the id.
        start_count: number of times that the episode was started under its id.
        end_status: how the episode ended.
        slow_results: compressed results of slow calls, by the index of their action.
    """

    lease_id: str
    start_json: bytes
    actions: tuple[bytes, ...]
    request_ids: tuple[str, ...]
    player_id: str = ""
    start_count: int = 1
    end_status: EndStatus = EndStatus.NOT_ENDED
    slow_results: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class NewEpisode:
    """A new episode to store.

    Attributes:
        transport: transport that started the episode: `ws`, `http`, `mcp` or `page`.
        start_json, actions, player_id, slow_results: see `StoredEpisode`.
        client_address: address of the client, used for the limit per client; empty if there is no
            limit.
        sealed_start: participant and task, if the task is sealed; else None.
    """

    transport: str
    start_json: bytes
    actions: Sequence[bytes] = ()
    client_address: str = ""
    player_id: str = ""
    slow_results: Mapping[int, bytes] = field(default_factory=dict)
    sealed_start: SealedStartRequest | None = None


class StoreUsage(NamedTuple):
    """Number of episodes and bytes in a store.

    Attributes:
        episode_count: number of stored episodes.
        size_bytes: bytes in use.
        limit_bytes: maximum number of bytes; infinity if there is no limit.
    """

    episode_count: int
    size_bytes: int
    limit_bytes: float


class EpisodeStore(Protocol):
    """An episode store. Other processes may use the same store at the same time.

    Every method may raise a StoreUnavailableError.
    """

    async def create_or_replace_episode(
        self, episode_id: str, new_episode: NewEpisode, *, overwrite: bool = True
    ) -> LeaseId | None:
        """Store a new episode, and count its start if its task is sealed.

        Args:
            episode_id: id of the episode, unique in the store.
            new_episode: the episode.
            overwrite: whether the episode replaces a stored episode with the same id.

        Returns:
            The id of the episode's lease, or None if an episode with the same id exists and
            `overwrite` is False.

        Raises:
            StoreFullError: a limit is reached, and no stored episode may be evicted.
            SealedStartsUsedUpError: the participant may not start the sealed task again.
        """

    async def find_episode_id_by_player_id(self, player_id: str) -> StoredEpisodeId | None:
        """Return the id of the episode that has this player id; None if no episode has it."""

    async def load_and_extend_expiry(
        self, episode_id: str, *, replace_lease: bool = False
    ) -> StoredEpisode | None:
        """Return an episode and renew its expiry time; return None if it is unknown or expired.

        Args:
            episode_id: id of the episode.
            replace_lease: whether to replace the lease. Holders of the old lease can no longer
                append actions.
        """

    async def append_action_if_index_is_next(
        self,
        episode_id: str,
        lease_id: str,
        action_index: int,
        action_json: bytes,
        request_id: str = "",
    ) -> bool:
        """Append an action, if `action_index` is the next index.

        Returns:
            False if another writer has already stored an action with this index, or the lease is
            no longer valid.

        Raises:
            StoreFullError: a limit is reached, and no stored episode may be evicted.
        """

    async def remove_action_if_last(
        self, episode_id: str, lease_id: str, action_index: int
    ) -> bool:
        """Remove the last action; return False if the index is wrong or the lease is invalid."""

    async def add_slow_result_if_missing(
        self, episode_id: str, lease_id: str, action_index: int, compressed_result: bytes
    ) -> bool:
        """Store the result of the slow call of the action with this index.

        Returns:
            False if a result is stored already, or the lease is no longer valid.

        Raises:
            StoreFullError: a limit is reached, and no stored episode may be evicted.
        """

    async def mark_ended_if_lease_is_valid(
        self, episode_id: str, lease_id: str, end_status: EndStatus
    ) -> bool:
        """Mark an episode as completed or closed, so that it is evicted before running ones.

        A closed episode accepts no further actions and stays closed.

        Returns:
            False if the lease is no longer valid or the episode is closed.
        """

    async def get_secret(self) -> str:
        """Return the secret that was created with the store, in hexadecimal. It never changes."""

    async def reserve_first_free_task(
        self, split_key: str, task_order: Sequence[int]
    ) -> TaskIndex | None:
        """Reserve the first unreserved task for the lifetime of an unused episode.

        Args:
            split_key: environment and split.
            task_order: indices of the tasks, in the order in which they are assigned.

        Returns:
            The index of the task, or None if all tasks are reserved.
        """

    async def confirm_or_release_task(
        self, split_key: str, task_index: int, *, is_played: bool
    ) -> None:
        """Reserve a task permanently if it was played, or else release it."""

    async def list_sealed_episodes(
        self, participant: str, task_set_key: str
    ) -> list[SealedEpisode]:
        """Return a participant's episodes of sealed tasks, ordered by `number`."""

    async def record_first_sealed_result(
        self, player_id: str, score: float, step_count: int, actions_digest: str
    ) -> None:
        """Record the result of a sealed episode. Later results are ignored."""

    async def count_open_episodes(self, transport: str) -> int:
        """Return the number of open episodes that were started through a transport."""

    async def require_store_is_writable(self) -> None:
        """Check the store by writing a value and reading it back.

        Raises:
            StoreReplacedError: the storage has been replaced since the server was started.
        """

    async def get_usage_and_limit(self) -> StoreUsage:
        """Return the number of episodes and bytes in the store."""

    async def close(self) -> None:
        """Close files and connections, after running calls have finished."""
