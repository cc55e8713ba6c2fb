"""WebSocket sessions of one worker: limits their number, and ends idle sessions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypedDict

from openenv_kit.serving import metrics
from openenv_kit.serving.episodes.running_episodes import EndReason
from openenv_kit.serving.metrics import ErrorKind

CAPACITY_RETRY_AFTER_S = 5
"""Time after which a rejected client should retry."""

MIN_IDLE_CHECK_INTERVAL_S = 0.05
MAX_IDLE_CHECK_INTERVAL_S = 5.0

logger = logging.getLogger("openenv_kit.sessions")


class CapacityDetails(TypedDict):
    """Values that a client receives with the message of a `CapacityError`."""

    active_sessions: int
    max_sessions: int
    retry_after_s: int


class CapacityError(Exception):
    """The maximum number of sessions is open.

    Attributes:
        details: values that are sent to the client with the message.
    """

    def __init__(
        self, active_sessions: int, max_sessions: int, scope_text: str = "this worker"
    ) -> None:
        metrics.count_error(ErrorKind.CAPACITY)
        self.details = CapacityDetails(
            active_sessions=active_sessions,
            max_sessions=max_sessions,
            retry_after_s=CAPACITY_RETRY_AFTER_S,
        )
        super().__init__(
            f"All {max_sessions} sessions of {scope_text} are in use ({active_sessions} active). "
            f"Retry in {CAPACITY_RETRY_AFTER_S} s."
        )


@dataclass(eq=False)
class WebSocketSession:
    """One open WebSocket session.

    Attributes:
        environment: name of the environment.
        task: asyncio task that serves the session. Cancelling the task ends the session.
        episode_id: id of the running episode; None if no other connection may resume it.
        last_message_s: `time.monotonic()` of the client's last message.
        end_reason: why the server ended the session; None if the server has not ended it.
    """

    environment: str
    task: asyncio.Task[object] | None = None
    episode_id: str | None = None
    last_message_s: float = field(default_factory=time.monotonic)
    end_reason: EndReason | None = None

    def end_by_cancelling_task(self, reason: EndReason) -> None:
        """Cancel the session's task, which sends the reason and closes the connection."""
        self.end_reason = reason
        if self.task is not None:
            self.task.cancel()


class SessionSlots:
    """Open sessions of one worker for all environments, up to a maximum number.

    Args:
        max_sessions: maximum number of open sessions.
        idle_timeout_s: seconds without a message after which a session is ended; 0 for no limit.
    """

    def __init__(self, max_sessions: int, idle_timeout_s: float) -> None:
        self.max_sessions = max_sessions
        self.idle_timeout_s = idle_timeout_s
        self._sessions: set[WebSocketSession] = set()

    def __iter__(self) -> Iterator[WebSocketSession]:
        return iter(tuple(self._sessions))

    def open_session_in_free_slot(self, environment_name: str) -> WebSocketSession:
        """Open a session that the calling task serves.

        Raises:
            CapacityError: no slot is free.
        """
        if len(self._sessions) >= self.max_sessions:
            raise CapacityError(len(self._sessions), self.max_sessions)
        session = WebSocketSession(environment_name, task=asyncio.current_task())
        self._sessions.add(session)
        metrics.SESSIONS.inc()
        return session

    def free_slot(self, session: WebSocketSession) -> None:
        """Free the slot of a session. A second call has no effect."""
        if session in self._sessions:
            self._sessions.remove(session)
            metrics.SESSIONS.dec()

    def end_idle_sessions(self, now_s: float) -> None:
        """End every session that has been idle for too long.

        The slots of these sessions are freed immediately, because a client that has disappeared
        would never complete the closing handshake.

        Args:
            now_s: current time of `time.monotonic()`.
        """
        max_idle_s = self.idle_timeout_s or float("inf")
        for session in self:
            if now_s - session.last_message_s > max_idle_s:
                self.free_slot(session)
                session.end_by_cancelling_task(EndReason.IDLE)
                fields = {"reason": EndReason.IDLE, "episode_id": session.episode_id}
                logger.info("session ended", extra=fields)

    @asynccontextmanager
    async def end_idle_sessions_periodically(self) -> AsyncIterator[None]:
        """Check for idle sessions periodically while the block runs, and end them."""
        interval_s = min(
            max(self.idle_timeout_s / 4, MIN_IDLE_CHECK_INTERVAL_S), MAX_IDLE_CHECK_INTERVAL_S
        )

        async def repeat_end_of_idle_sessions() -> None:
            while True:
                await asyncio.sleep(interval_s)
                self.end_idle_sessions(time.monotonic())

        task = asyncio.create_task(repeat_end_of_idle_sessions())
        try:
            yield
        finally:
            task.cancel()
