"""Records of sealed episodes in a store."""

from __future__ import annotations

from dataclasses import dataclass


class SealedStartsUsedUpError(Exception):
    """A participant has used all allowed starts of a sealed task.

    Attributes:
        max_starts: maximum number of starts of the task.
    """

    def __init__(self, max_starts: int) -> None:
        self.max_starts = max_starts
        super().__init__(f"the task was started {max_starts} times already")


@dataclass(frozen=True)
class SealedStartRequest:
    """A participant's request to start a sealed task.

    Attributes:
        participant: name of the participant.
        task_set_key: key of the tasks that are counted together, see
            `build_task_set_key_of_sealed_split`.
        index: index of the task in its split.
        max_starts: maximum number of starts of this task for the participant.
    """

    participant: str
    task_set_key: str
    index: int
    max_starts: int


@dataclass(frozen=True)
class SealedEpisode:
    """An episode of a sealed task that a participant has started.

    Attributes:
        number: position among the participant's episodes of the same task set, from 1.
        index: index of the task in its split.
        episode_id: id of the episode in the store, which may have been deleted or started again.
        player_id: player id that was generated for this start of the episode.
        start_json: see `StoredEpisode`.
        score: final score in [0, 1]; None until the episode has ended.
        step_count: number of actions; 0 until the episode has ended.
        actions_digest: `compute_actions_digest` of the actions; empty until the episode has ended.
    """

    number: int
    index: int
    episode_id: str
    player_id: str
    start_json: bytes
    score: float | None = None
    step_count: int = 0
    actions_digest: str = ""
