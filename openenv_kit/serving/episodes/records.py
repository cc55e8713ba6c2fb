"""What is stored of an episode, what a worker holds of it, and what its trainer reads."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import getdoc
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, create_model

from openenv_kit.environment import Environment
from openenv_kit.sealed_split import is_sealed_split, read_sealed_salt
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import EpisodeAccess
from openenv_kit.serving.episodes.live_episode import AssignedTask, LiveEpisode
from openenv_kit.serving.episodes.running_episodes import EpisodeKey, RunningEpisode, level_of
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.store.interface import EndStatus, EpisodeStore, StoredEpisode

logger = logging.getLogger("openenv_kit.episodes")

UNKNOWN_SERVER_ID = (
    "episode_id is {!r}, a name that this server gives out itself, and no episode of that name is "
    "stored; allowed: a name of your own, the id of a stored episode, or none for a new one."
)


SCORE_ONLY_ARGUMENTS = {"feedback": "score"}
"""Reset argument of sessions that named no episode, where the environment takes it."""


@lru_cache(maxsize=16)
def shuffle_task_indices(secret: str, split: str, task_count: int) -> tuple[int, ...]:
    """The tasks of a split in an order that only who has the secret knows."""
    key = secret.encode()
    keyed = [hmac.digest(key, f"{split}|{index}".encode(), "sha256") for index in range(task_count)]
    return tuple(sorted(range(task_count), key=keyed.__getitem__))


class SplitUsedUpError(LookupError):
    """Every task of the split for MCP sessions was given out."""

    def __init__(self, split: str, task_count: int) -> None:
        super().__init__(
            f"All {task_count} tasks of the split {split!r} were given out, and none is "
            "played twice. Reset an episode and attach with ?player_id=, or let the server's "
            "OPENENV_KIT_MCP_SPLIT name another split."
        )


async def assign_next_task(
    environment: Environment, store: EpisodeStore, split: str
) -> tuple[dict[str, Any], AssignedTask]:
    """Reset arguments of the next task of a split, whose end tells the score only; and which it is.

    Raises:
        SplitUsedUpError: every one was drawn.
        ConfigurationError: the environment has no such split.
    """
    size = environment.splits.size(split)
    drawn = f"{environment.name}/{split}"
    order = shuffle_task_indices(await store.get_secret(), drawn, size)
    index = await store.reserve_task(drawn, order)
    if index is None:
        raise SplitUsedUpError(split, size)
    extra = SCORE_ONLY_ARGUMENTS if "feedback" in environment.reset_arguments else {}
    return {**environment.splits.task(split, index).reset_arguments(), **extra}, (drawn, index)


@dataclass(eq=False)
class CachedEpisode:
    """An episode that this worker has made.

    It may be behind the store, which refuses an action in the wrong place.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    live_episode: LiveEpisode | None = None
    lease_id: str = ""
    start_count: int = 1
    end_status: str = ""
    request_ids: list[str] = field(default_factory=list)
    stored_result_indices: set[int] = field(default_factory=set)
    size_bytes: int = 0

    def update_from_store(self, live_episode: LiveEpisode, stored_episode: StoredEpisode) -> None:
        """Hold a play that is where the store is."""
        self.live_episode, self.lease_id = live_episode, stored_episode.lease_id
        self.start_count, self.end_status = stored_episode.start_count, stored_episode.end_status
        self.request_ids = list(stored_episode.request_ids)
        self.stored_result_indices = set(stored_episode.slow_results)


class EpisodeCache(OrderedDict[str, CachedEpisode]):
    """The episodes that this worker has made, the last used one last.

    Args:
        max_bytes: bytes of their sessions together; the last used one is kept in any case.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._bytes = 0

    def enforce_memory_limit(self, added_id: str) -> None:
        """Count the bytes of an episode that was just made, and drop the longest unused others."""
        if (held := self.get(added_id)) is None or held.live_episode is None:
            return
        size_bytes = held.live_episode.session.memory_bytes
        self._bytes += size_bytes - held.size_bytes
        held.size_bytes = size_bytes
        while self._bytes > self._max_bytes and len(self) > 1:
            self.drop(next(iter(self)))

    def drop(self, episode_id: str) -> None:
        """Forget what this worker has made of an episode."""
        if (held := self.pop(episode_id, None)) is not None:
            self._bytes -= held.size_bytes


async def store_slow_results(
    store: EpisodeStore, store_key: str, cached_episode: CachedEpisode
) -> None:
    """Store results of slow calls that are not stored yet; a failure is only logged.

    Args:
        store: where the episode is.
        store_key: name of the episode there.
        cached_episode: the episode, at the step that the store has.
    """
    results = cached_episode.live_episode.slow_results if cached_episode.live_episode else {}
    for index in sorted(results.keys() - cached_episode.stored_result_indices):
        cached_episode.stored_result_indices.add(index)
        try:
            await store.add_slow_result(store_key, cached_episode.lease_id, index, results[index])
        except StoreError as problem:
            logger.warning("failed to store a slow result", extra={"reason": str(problem)})


class StartedEpisode(NamedTuple):
    """An episode that was started or resumed.

    Attributes:
        wire_reply: the reply in the framework's form.
        access: of whoever started it, with a claim; None where the arguments were refused.
        player_id: handle for a player.
        error_text: why the arguments were refused.
    """

    wire_reply: dict[str, Any]
    access: EpisodeAccess | None = None
    player_id: str = ""
    error_text: str = ""

    @property
    def episode_id(self) -> str | None:
        """Its id; None where the arguments were refused."""
        return self.access.episode_id if self.access else None


def build_start_json(
    environment: Environment,
    reset_arguments: Mapping[str, Any],
    assigned_task: AssignedTask | None = None,
    transport: str = "",
) -> bytes:
    """What is stored of a reset; with a transport, also how and when the episode was started."""
    start: dict[str, Any] = {"reset": dict(reset_arguments), "versions": dict(environment.versions)}
    if assigned_task:
        start["drawn"] = assigned_task
    if transport:
        start["started"] = {"transport": transport, "wall_s": round(time.time(), 3)}
    return messages.dumps(start)


def build_running_entry(
    environment: Environment, key: EpisodeKey, stored_episode: StoredEpisode
) -> RunningEpisode:
    """Return an entry for the running episodes, of one that this worker has not played.

    Args:
        environment: what is played.
        key: which episode.
        stored_episode: the episode.
    """
    start = messages.loads(stored_episode.start_json)
    started = start.get("started", {"transport": "http", "wall_s": time.time()})
    return RunningEpisode(
        key,
        started["transport"],
        level_of(environment, start["reset"]),
        stored_episode.player_id,
        step_count=len(stored_episode.actions),
        started_s=time.monotonic() - max(0.0, time.time() - started["wall_s"]),
    )


def versions_at_start(stored_episode: StoredEpisode) -> dict[str, str]:
    """Return the versions under which an episode was started.

    Only under the same ones does playing its record again give the episode that was played.
    """
    return dict(messages.loads(stored_episode.start_json).get("versions") or {})


class EndedEpisode(BaseModel):
    """An episode as its trainer sees it.

    The last three fields stay null until the end; a sealed episode shows no more than its last
    reply did.
    """

    status: str = Field("idle", description="idle, running, completed or closed (left unfinished)")
    timeline: int = Field(0, description="how many times the episode was started under its id")
    score: float | None = Field(None, description="final score; 0 where nothing was graded")
    reward_breakdown: dict[str, float | int | None] | None = Field(
        None, description="parts of the final score; null where nothing was graded"
    )
    config_digest: str | None = Field(
        None,
        description="the same for the same configuration and rules of play, in hexadecimal",
    )


def build_record_model(state_model: type[Any]) -> type[Any]:
    """An environment's state model with the outcome beside it."""
    both: Any = (EndedEpisode, state_model)
    return create_model("EpisodeRecord", __base__=both, __doc__=getdoc(EndedEpisode))


def build_trainer_record(
    record_model: type[Any], live_episode: LiveEpisode, end_status: str, start_count: int
) -> Any:
    """The trainer's view of a play that was started `timeline` times; `ended` is as stored."""
    fields = {**live_episode.get_state(), "timeline": start_count}
    identity = live_episode.session.episode_identity()
    if identity and (live_episode.final_reply or end_status == EndStatus.CLOSED):
        if live_episode.final_reply is None:
            fields["status"] = EndStatus.CLOSED
        sealed = is_sealed_split(live_episode.reset_arguments.get("split"))
        fields |= {
            "score": live_episode.final_reply.reward if live_episode.final_reply else 0.0,
            "reward_breakdown": live_episode.score_components,
            "config_digest": compute_config_digest(identity, is_sealed=sealed),
        }
    return record_model(**fields)


def compute_config_digest(identity: Mapping[str, Any], *, is_sealed: bool) -> str:
    """SHA-256 over the configuration and the rules of play.

    Of a sealed episode it is keyed with the salt: from a plain digest a seed could be found by
    trying.
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()
    if is_sealed:
        return hmac.new(read_sealed_salt().encode(), text, hashlib.sha256).hexdigest()
    return hashlib.sha256(text).hexdigest()
