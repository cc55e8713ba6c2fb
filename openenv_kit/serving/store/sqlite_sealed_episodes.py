"""Sealed episodes in the SQLite store. The functions are called within a transaction."""

from __future__ import annotations

from openenv_kit.serving.store.interface import NewEpisode
from openenv_kit.serving.store.sealed_records import (
    SealedEpisode,
    SealedStartRequest,
    SealedStartsUsedUpError,
)
from openenv_kit.serving.store.sqlite_database import SqliteDatabase


def add_sealed_episode_within_max_starts(
    database: SqliteDatabase,
    episode_id: str,
    new_episode: NewEpisode,
    sealed_start: SealedStartRequest,
) -> None:
    """Record the start of a sealed task, with the next number among the participant's episodes.

    Raises:
        SealedStartsUsedUpError: the participant may not start the task again.
    """
    task_set = (sealed_start.participant, sealed_start.task_set_key)
    query = "SELECT COUNT(*) FROM sealed_episodes WHERE participant = ? AND task_set_key = ?"
    start_count = database.fetch_value(f"{query} AND task_index = ?", *task_set, sealed_start.index)
    if start_count >= sealed_start.max_starts:
        raise SealedStartsUsedUpError(sealed_start.max_starts)
    database.insert_row(
        "sealed_episodes",
        {
            "participant": sealed_start.participant,
            "task_set_key": sealed_start.task_set_key,
            "number": database.fetch_value(query, *task_set) + 1,
            "task_index": sealed_start.index,
            "episode_id": episode_id,
            "player_id": new_episode.player_id,
            "start_json": new_episode.start_json,
            "score": None,
            "step_count": 0,
            "actions_digest": "",
        },
    )


def list_sealed_episodes(
    database: SqliteDatabase, participant: str, task_set_key: str
) -> list[SealedEpisode]:
    """Return a participant's episodes of sealed tasks, ordered by `number`."""
    rows = database.fetch_rows(
        "SELECT number, task_index, episode_id, player_id, start_json, score, step_count, "
        "actions_digest FROM sealed_episodes WHERE participant = ? AND task_set_key = ? "
        "ORDER BY number",
        participant,
        task_set_key,
    )
    return [SealedEpisode(*row) for row in rows]


def record_first_sealed_result(
    database: SqliteDatabase, player_id: str, score: float, step_count: int, actions_digest: str
) -> None:
    """Record the result of a sealed episode. Later results are ignored."""
    database.execute_without_result(
        "UPDATE sealed_episodes SET score = ?, step_count = ?, actions_digest = ? "
        "WHERE player_id = ? AND score IS NULL",
        score,
        step_count,
        actions_digest,
        player_id,
    )
