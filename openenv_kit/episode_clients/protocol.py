"""The interface of the clients that play an episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

ObservationJson = dict[str, Any]
"""An observation with the names it has on the wire, as JSON values.

`status`, `message`, `reward` and `done` are among its fields. The final observation also has
`metadata`, if the environment reports anything beside the observation.
"""


class EpisodeClient(Protocol):
    """Plays one episode after another, in this process or on a server.

    Bad arguments and bad actions do not raise: they return an observation whose status is `error`.
    """

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        """Start an episode and return its first observation.

        A rejected reset leaves the running episode unchanged.

        Raises:
            ServerError: the server cannot be used.
        """

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Send one action and return the observation that follows.

        Raises:
            ServerError: the server did not reply, or no longer has the episode.
        """

    def state(self) -> dict[str, Any]:
        """Return the public progress of the episode, such as `step_count` and `task_id`.

        Raises:
            ServerError: the server did not reply.
        """

    def close(self) -> None:
        """Release connections. Calling it again has no effect."""
