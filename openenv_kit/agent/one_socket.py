"""The framework's client on one socket."""

from __future__ import annotations

from openenv.core.generic_client import GenericEnvClient


class OneSocketClient(GenericEnvClient):
    """A client whose lost socket is an error.

    The framework's client reconnects by itself, to a new session without an episode, and the
    next step would fail as if the player had made a mistake.
    """

    async def _ensure_connected(self) -> None:
        # A closed socket that is still there fails by itself, once its last frame is read, which
        # may say why.
        if self._ws is None:
            raise ConnectionResetError("the socket is closed")
