"""Data of an episode on a server: its start, its actions, and the result of starting it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import EpisodeAccess
from openenv_kit.serving.episodes.task_assignment import AssignedTask
from openenv_kit.serving.messages import JsonObject

RESET_ACTION_INDEX = -1
"""Value of an action index that represents the reset."""


class StartedEpisode(NamedTuple):
    """The result of a request to start or resume an episode.

    Attributes:
        wire_reply: the reply in the framework's format.
        access: access to the episode, with its lease; None if the reset was rejected.
        player_id: id for a player of the episode.
        error_text: why the reset was rejected; empty if it succeeded.
    """

    wire_reply: JsonObject
    access: EpisodeAccess | None = None
    player_id: str = ""
    error_text: str = ""

    @property
    def episode_id(self) -> str | None:
        """Id of the episode; None if the reset was rejected."""
        return self.access.episode_id if self.access else None


@dataclass(frozen=True)
class EpisodeStart:
    """How a stored episode was started.

    Attributes:
        reset_arguments: arguments of the reset, except the episode id.
        versions: versions of the environment. Other versions may not rebuild the same episode.
        assigned_task: task that the server assigned; None if the client chose the task.
        transport: transport through which the episode was started.
        started_at_s: Unix time of the start, in seconds.
    """

    reset_arguments: Mapping[str, Any]
    versions: Mapping[str, str]
    assigned_task: AssignedTask | None = None
    transport: str = "http"
    started_at_s: float = field(default_factory=time.time)

    @property
    def age_s(self) -> float:
        """Seconds since the start, by the wall clock."""
        return max(0.0, time.time() - self.started_at_s)

    def to_json(self) -> bytes:
        """Serialize this object to JSON for the store."""
        start: JsonObject = {
            "reset": dict(self.reset_arguments),
            "versions": dict(self.versions),
            "transport": self.transport,
            "started_at_s": round(self.started_at_s, 3),
        }
        if self.assigned_task is not None:
            start["assigned_task"] = self.assigned_task._asdict()
        return messages.to_json_bytes(start)

    @classmethod
    def from_json(cls, text: bytes) -> EpisodeStart:
        """Parse the stored JSON.

        Raises:
            ValueError, KeyError, TypeError: the JSON does not describe the start of an episode.
        """
        start = messages.parse_json_within_limits(text)
        task = start.get("assigned_task")
        return cls(
            reset_arguments=dict(start["reset"]),
            versions=dict(start["versions"]),
            assigned_task=None if task is None else AssignedTask(**task),
            transport=start.get("transport", "http"),
            started_at_s=start.get("started_at_s", time.time()),
        )


class ReplayError(Exception):
    """The record of an episode cannot be replayed.

    Attributes:
        action_index: index of the action that fails; `RESET_ACTION_INDEX` if the reset fails.
    """

    def __init__(self, action_index: int, reason: str) -> None:
        self.action_index = action_index
        super().__init__(reason)


@dataclass
class ActionRecord:
    """The actions of an episode since its reset, from which the episode can be rebuilt.

    Attributes:
        max_bytes: maximum size. A record that becomes larger is discarded, because an incomplete
            record cannot be replayed.
        actions: each action as JSON, in order.
        slow_results: compressed results of slow calls, by the index of their action.
        size_bytes: total size of the actions and results.
        is_complete: whether the record contains every action.
    """

    max_bytes: int
    actions: list[bytes] = field(default_factory=list)
    slow_results: dict[int, bytes] = field(default_factory=dict)
    size_bytes: int = 0
    is_complete: bool = True

    def append_action_or_discard_full_record(
        self, action_json: bytes, slow_result: JsonObject | None
    ) -> None:
        """Append an action, and the result of its slow call if it made one.

        If the record becomes too large, it is discarded.
        """
        if not self.is_complete:
            return
        self.size_bytes += len(action_json)
        if self.size_bytes > self.max_bytes:
            self.is_complete = False
            self.actions.clear()
            self.slow_results.clear()
            return
        if slow_result is not None:
            compressed_result = zlib.compress(messages.to_json_bytes(slow_result))
            self.slow_results[len(self.actions)] = compressed_result
            self.size_bytes += len(compressed_result)
            self.is_complete = self.size_bytes <= self.max_bytes
        self.actions.append(action_json)

    def get_slow_result(self, action_index: int) -> JsonObject | None:
        """Return the result of the slow call that an action made; None if it made no slow call."""
        return decompress_slow_result(self.slow_results.get(action_index))


def decompress_slow_result(compressed_result: bytes | None) -> JsonObject | None:
    """Decompress the stored result of a slow call; return None if there is no result."""
    if compressed_result is None:
        return None
    return dict(messages.parse_json_within_limits(zlib.decompress(compressed_result)))
