"""What a store keeps of plays of sealed tasks."""

from __future__ import annotations

from dataclasses import dataclass


class SealedStartsUsedUpError(Exception):
    """A participant has started a sealed task as often as is allowed.

    Attributes:
        max_starts: how often that is.
    """

    def __init__(self, max_starts: int) -> None:
        self.max_starts = max_starts
        super().__init__(f"the task was started {max_starts} times already")


@dataclass(frozen=True)
class SealedStartRequest:
    """What a store needs to count a play of a sealed task.

    Attributes:
        participant: whose plays are counted.
        task_set_key: the tasks that are counted together: environment, split, versions, commitment.
        index: position of the task in its split.
        max_starts: how often the participant may start this task.
    """

    participant: str
    task_set_key: str
    index: int
    max_starts: int


@dataclass(frozen=True)
class SealedEpisode:
    """A play of a sealed task that was started.

    Attributes:
        number: running number of the participant's plays of these tasks, from 1.
        index: position of the task in its split.
        episode_id: id of its episode in the store, which may be gone or started over since.
        player: the player's handle, which identifies this start of the episode.
        start: as in `StoredEpisode`.
        score: in [0, 1]; None until the play has ended.
        steps: number of its actions; 0 until the play has ended.
        actions_digest: `digest_actions` of them; empty until the play has ended.
    """

    number: int
    index: int
    episode_id: str
    player: str
    start: bytes
    score: float | None = None
    steps: int = 0
    actions_digest: str = ""
