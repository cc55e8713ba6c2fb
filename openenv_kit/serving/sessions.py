"""WebSocket sessions: the slots of a worker, and how idle ones are freed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from openenv_kit.serving import metrics

RETRY_AFTER_S = 5
"""Seconds after which a refused client should retry."""

logger = logging.getLogger("metric_tracker.sessions")


class CapacityError(Exception):
    """Every slot is taken."""

    def __init__(self, active: int, limit: int) -> None:
        self.active = active
        self.limit = limit
        super().__init__(
            f"All {limit} sessions of this worker are in use ({active} active). "
            f"Retry in {RETRY_AFTER_S} s."
        )


@dataclass(eq=False)
class LiveSession:
    """One open WebSocket session.

    Attributes:
        task: the task that serves it; cancelled to end it from outside.
        episode_id: name of its running episode.
        last_active: clock of its last message, in seconds (monotonic).
        ended: why it was ended from outside, or empty.
    """

    task: asyncio.Task[object] | None = None
    episode_id: str | None = None
    last_active: float = field(default_factory=time.monotonic)
    ended: str = ""

    def end(self, reason: str) -> None:
        """End the session; its task sends a last message if the peer still reads."""
        self.ended = reason
        if self.task is not None:
            self.task.cancel()


class SessionSlots:
    """The sessions of one worker.

    Args:
        limit: sessions at once.
        idle_timeout_s: seconds of silence after which a session is ended; 0 for never.
        beside: of another environment that the worker serves; the limit is for both together.
    """

    def __init__(
        self, limit: int, idle_timeout_s: float, beside: SessionSlots | None = None
    ) -> None:
        self.limit = limit
        self.idle_timeout_s = idle_timeout_s
        self._live: set[LiveSession] = set()
        self._taken: set[LiveSession] = set() if beside is None else beside._taken

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(tuple(self._live))

    def take(self) -> LiveSession:
        """Take a slot for the calling task.

        Raises:
            CapacityError: none is free.
        """
        if len(self._taken) >= self.limit:
            metrics.ERRORS.labels("capacity").inc()
            raise CapacityError(len(self._taken), self.limit)
        session = LiveSession(task=asyncio.current_task())
        self._live.add(session)
        self._taken.add(session)
        metrics.SESSIONS.inc()
        return session

    def free(self, session: LiveSession) -> None:
        """Give a slot back; safe to call twice."""
        if session in self._live:
            self._live.remove(session)
            self._taken.remove(session)
            metrics.SESSIONS.dec()

    def playing(self, episode_id: str) -> LiveSession | None:
        """The session that plays an episode, if any does."""
        return next((each for each in self._live if each.episode_id == episode_id), None)

    def end_idle(self, now: float | None = None) -> int:
        """End every session that has been silent for too long; returns how many.

        Slots are freed at once: a peer that is gone would never answer the closing handshake.
        """
        if not self.idle_timeout_s:
            return 0
        moment = time.monotonic() if now is None else now
        idle = [s for s in self._live if moment - s.last_active > self.idle_timeout_s]
        for session in idle:
            self.free(session)
            session.end("idle")
            logger.info("session ended", extra={"reason": "idle", "episode_id": session.episode_id})
        return len(idle)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """End idle sessions while the block runs."""
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(max(self.idle_timeout_s / 4, 0.05), 5.0))
            self.end_idle()
