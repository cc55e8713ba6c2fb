"""Sealed episodes in the Redis store: one list for each participant and task set."""

from __future__ import annotations

import json
from typing import Any

from openenv_kit.serving.store.interface import NewEpisode
from openenv_kit.serving.store.redis_client import EpisodeTransaction, StoreErrorClient
from openenv_kit.serving.store.redis_records import KEY_PREFIX
from openenv_kit.serving.store.sealed_records import (
    SealedEpisode,
    SealedStartRequest,
    SealedStartsUsedUpError,
)


def build_sealed_episodes_key(participant: str, task_set_key: str) -> str:
    """Return the key of a participant's list of sealed episodes. The list never expires."""
    return f"{KEY_PREFIX}sealed-episodes:{participant}/{task_set_key}"


def add_sealed_episode_within_max_starts(
    transaction: EpisodeTransaction,
    episode_id: str,
    new_episode: NewEpisode,
    sealed_start: SealedStartRequest,
) -> None:
    """Record the start of a sealed task, in the transaction that stores its episode.

    Raises:
        SealedStartsUsedUpError: the participant may not start the task again.
    """
    entries = transaction.sealed_entries
    start_count = sum(json.loads(entry)["index"] == sealed_start.index for entry in entries)
    if start_count >= sealed_start.max_starts:
        raise SealedStartsUsedUpError(sealed_start.max_starts)
    list_key = build_sealed_episodes_key(sealed_start.participant, sealed_start.task_set_key)
    entry = {
        "index": sealed_start.index,
        "episode_id": episode_id,
        "player_id": new_episode.player_id,
        "start_json": new_episode.start_json.decode(),
        "score": None,
        "step_count": 0,
        "actions_digest": "",
    }
    transaction.pipeline.rpush(list_key, json.dumps(entry))
    position = {"list_key": list_key, "list_index": len(entries)}
    transaction.pipeline.set(
        _build_sealed_list_position_key(new_episode.player_id), json.dumps(position)
    )


async def list_sealed_episodes(
    redis: StoreErrorClient, participant: str, task_set_key: str
) -> list[SealedEpisode]:
    """Return a participant's episodes of sealed tasks, ordered by `number`."""
    entries = await redis.lrange(build_sealed_episodes_key(participant, task_set_key), 0, -1)
    return [
        _parse_sealed_list_entry(number, entry) for number, entry in enumerate(entries, start=1)
    ]


async def record_first_sealed_result(
    redis: StoreErrorClient, player_id: str, score: float, step_count: int, actions_digest: str
) -> None:
    """Record the result of a sealed episode. Later results are ignored."""
    position_json = await redis.get(_build_sealed_list_position_key(player_id))
    if position_json is None:
        return
    position = json.loads(position_json)
    list_key, list_index = position["list_key"], position["list_index"]
    entry = json.loads(await redis.lindex(list_key, list_index))
    if entry["score"] is None:
        entry |= {"score": score, "step_count": step_count, "actions_digest": actions_digest}
        await redis.lset(list_key, list_index, json.dumps(entry))


def _build_sealed_list_position_key(player_id: str) -> str:
    """Return the key under which the list and position of a sealed episode are stored."""
    return f"{KEY_PREFIX}sealed-position:{player_id}"


def _parse_sealed_list_entry(number: int, entry: str) -> SealedEpisode:
    fields: dict[str, Any] = json.loads(entry)
    return SealedEpisode(number, **{**fields, "start_json": fields["start_json"].encode()})
