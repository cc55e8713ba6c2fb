"""The interface of the clients that play an episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

ObservationJson = dict[str, Any]
"""An observation as a JSON object, with the field names that the server sends.

Its fields include `status`, `message`, `reward` and `done`. The final observation also has the
field `metadata`, if the environment returns additional information.
"""


class EpisodeClient(Protocol):
    """Plays one episode after another, in this process or on a server.

    Invalid arguments and actions raise no error; they return an observation with status `error`.
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
