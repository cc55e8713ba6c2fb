"""Tasks of tool episodes that are played in this process."""

from __future__ import annotations

from openenv_kit.trainers.tool_episode import ToolEpisode


def task_of(episode: ToolEpisode) -> str:
    """Return the task of an episode that is played in this process."""
    return str(episode._client._session.task_id)  # type: ignore[union-attr]
