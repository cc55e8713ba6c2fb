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
from openenv_kit.sealed_split import is_sealed_split, sealed_salt
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import Handle
from openenv_kit.serving.episodes.live_episode import Drawn, Play
from openenv_kit.serving.episodes.running_episodes import EpisodeKey, RunningEpisode, level_of
from openenv_kit.serving.store.interface import CLOSED, EpisodeStore, StoredEpisode, StoreError

logger = logging.getLogger("openenv_kit.episodes")

NOT_YOURS = (
    "episode_id is {!r}, a name that this server gives out itself, and no episode of that name is "
    "stored; allowed: a name of your own, the id of a stored episode, or none for a new one."
)


SCORE_ONLY = {"feedback": "score"}
"""Reset argument of sessions that named no episode, where the environment takes it."""


@lru_cache(maxsize=16)
def keyed_order(secret: str, split: str, size: int) -> tuple[int, ...]:
    """The tasks of a split in an order that only who has the secret knows."""
    key = secret.encode()
    keyed = [hmac.digest(key, f"{split}|{index}".encode(), "sha256") for index in range(size)]
    return tuple(sorted(range(size), key=keyed.__getitem__))


class SplitUsedUpError(LookupError):
    """Every task of the split for MCP sessions was given out."""

    def __init__(self, split: str, size: int) -> None:
        super().__init__(
            f"All {size} tasks of the split {split!r} were given out, and none is "
            "played twice. Reset an episode and attach with ?player_id=, or let the server's "
            "OPENENV_KIT_MCP_SPLIT name another split."
        )


async def draw_task(
    environment: Environment, store: EpisodeStore, split: str
) -> tuple[dict[str, Any], Drawn]:
    """Reset arguments of the next task of a split, whose end tells the score only; and which it is.

    Raises:
        SplitUsedUpError: every one was drawn.
        ConfigurationError: the environment has no such split.
    """
    size = environment.splits.size(split)
    drawn = f"{environment.name}/{split}"
    order = keyed_order(await store.secret(), drawn, size)
    index = await store.draw(drawn, order)
    if index is None:
        raise SplitUsedUpError(split, size)
    extra = SCORE_ONLY if "feedback" in environment.reset_arguments else {}
    return {**environment.splits.task(split, index).reset_arguments(), **extra}, (drawn, index)


@dataclass(eq=False)
class Held:
    """An episode that this worker has made.

    It may be behind the store, which refuses an action in the wrong place.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    play: Play | None = None
    generation: str = ""
    timeline: int = 1
    ended: str = ""
    request_ids: list[str] = field(default_factory=list)
    stored_results: set[int] = field(default_factory=set)
    size_bytes: int = 0

    def update(self, play: Play, stored: StoredEpisode) -> None:
        """Hold a play that is where the store is."""
        self.play, self.generation = play, stored.generation
        self.timeline, self.ended = stored.timeline, stored.ended
        self.request_ids = list(stored.request_ids)
        self.stored_results = set(stored.slow_results)


class HeldEpisodes(OrderedDict[str, Held]):
    """The episodes that this worker has made, the last used one last.

    Args:
        max_bytes: bytes of their sessions together; the last used one is kept in any case.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._bytes = 0

    def bound_memory(self, episode_id: str) -> None:
        """Count the bytes of an episode that was just made, and drop the longest unused others."""
        if (held := self.get(episode_id)) is None or held.play is None:
            return
        size_bytes = held.play.session.memory_bytes
        self._bytes += size_bytes - held.size_bytes
        held.size_bytes = size_bytes
        while self._bytes > self._max_bytes and len(self) > 1:
            self.drop(next(iter(self)))

    def drop(self, episode_id: str) -> None:
        """Forget what this worker has made of an episode."""
        if (held := self.pop(episode_id, None)) is not None:
            self._bytes -= held.size_bytes


async def store_slow_results(store: EpisodeStore, key: str, held: Held) -> None:
    """Store results of slow calls that are not stored yet; a failure is only logged.

    Args:
        store: where the episode is.
        key: name of the episode there.
        held: the episode, at the step that the store has.
    """
    results = held.play.slow_results if held.play else {}
    for index in sorted(results.keys() - held.stored_results):
        held.stored_results.add(index)
        try:
            await store.add_slow_result(key, held.generation, index, results[index])
        except StoreError as problem:
            logger.warning("failed to store a slow result", extra={"reason": str(problem)})


class Started(NamedTuple):
    """An episode that was started or resumed.

    Attributes:
        data: the reply in the framework's form.
        handle: of whoever started it, with a claim; None where the arguments were refused.
        player_id: handle for a player.
        problem: why the arguments were refused.
    """

    data: dict[str, Any]
    handle: Handle | None = None
    player_id: str = ""
    problem: str = ""

    @property
    def episode_id(self) -> str | None:
        """Its id; None where the arguments were refused."""
        return self.handle.episode_id if self.handle else None


def start_text(
    environment: Environment,
    arguments: Mapping[str, Any],
    drawn: Drawn | None = None,
    transport: str = "",
) -> bytes:
    """What is stored of a reset; with a transport, also how and when the episode was started."""
    start: dict[str, Any] = {"reset": dict(arguments), "versions": dict(environment.versions)}
    if drawn:
        start["drawn"] = drawn
    if transport:
        start["started"] = {"transport": transport, "wall_s": round(time.time(), 3)}
    return messages.dumps(start)


def running_of(environment: Environment, key: EpisodeKey, stored: StoredEpisode) -> RunningEpisode:
    """Return an entry for the running episodes, of one that this worker has not played.

    Args:
        environment: what is played.
        key: which episode.
        stored: the episode.
    """
    start = messages.loads(stored.start)
    started = start.get("started", {"transport": "http", "wall_s": time.time()})
    return RunningEpisode(
        key,
        started["transport"],
        level_of(environment, start["reset"]),
        stored.player,
        steps=len(stored.actions),
        started_s=time.monotonic() - max(0.0, time.time() - started["wall_s"]),
    )


def versions_of(stored: StoredEpisode) -> dict[str, str]:
    """Return the versions under which an episode was started.

    Only under the same ones does playing its record again give the episode that was played.
    """
    return dict(messages.loads(stored.start).get("versions") or {})


class Outcome(BaseModel):
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


def record_model(state: type[Any]) -> type[Any]:
    """An environment's state model with the outcome beside it."""
    both: Any = (Outcome, state)
    return create_model("EpisodeRecord", __base__=both, __doc__=getdoc(Outcome))


def record_of(model: type[Any], play: Play, ended: str, timeline: int) -> Any:
    """The trainer's view of a play that was started `timeline` times; `ended` is as stored."""
    fields = {**play.state(), "timeline": timeline}
    identity = play.session.identity()
    if identity and (play.final or ended == CLOSED):
        if play.final is None:
            fields["status"] = CLOSED
        sealed = is_sealed_split(play.arguments.get("split"))
        fields |= {
            "score": play.final.reward if play.final else 0.0,
            "reward_breakdown": play.parts,
            "config_digest": config_digest(identity, sealed=sealed),
        }
    return model(**fields)


def config_digest(identity: Mapping[str, Any], *, sealed: bool) -> str:
    """SHA-256 over the configuration and the rules of play.

    Of a sealed episode it is keyed with the salt: from a plain digest a seed could be found by
    trying.
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()
    if sealed:
        return hmac.new(sealed_salt().encode(), text, hashlib.sha256).hexdigest()
    return hashlib.sha256(text).hexdigest()
